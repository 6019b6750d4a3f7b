"""The verdict: every claim of a page, decided together, and said in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robustkit.auditing.claims import apart_of, claims_of, claims_of_pair, movers
from robustkit.auditing.request import Thresholds
from robustkit.auditing.sentences import Line, check_of, not_run
from robustkit.findings.clean.record import CleanRecord, domain_names
from robustkit.findings.finding import ModelRecords
from robustkit.findings.sweep.record import losses, third
from robustkit.records import BAND
from robustkit.report.section import Chapter, Check
from robustkit.stats import Decision, decide

# What each claim about one model is in words; a page asks them in this order.
LINES = {
    line.name: line
    for line in (
        Line("better_than_chance", "It beats always giving the same answer", "accuracy", "recalls",
             "Check the stretch, the order of the classes and the images first: until it holds, the other numbers mean "
             "little.", side="above", rate=True),
        Line("calibration_error", "Its probabilities are calibrated",
             "confidence off by (root mean square, what chance adds subtracted)", "calibration",
             "Recalibrate its probabilities on validation images, by temperature scaling for example, or use its class "
             "alone."),
        Line("domain_gap", "It is as good on the target as on the source", "accuracy lost", "recalls",
             "Adapt it to the target (robustkit train --method mmd), or train it on images like those."),
        Line("exposure_loss", "Accuracy holds up at a tenth of the exposure", "accuracy lost", "exposure",
             "Use it above the exposure that costs 5 points of accuracy (see the evidence), or train it on shallower "
             "images too."),
        Line("fault_loss", "No simulated fault of moderate strength costs much accuracy",
             "accuracy lost at the third level (s3)", "perturbations",
             "Do not use it on images worse than the level that costs 5 points of accuracy (see the evidence), correct "
             "them, or train it with such images."),
        Line("accidents", "Few objects change class because of the detector", "objects changed, before masking",
             "accidents-by-fault",
             "Mask and reject what the detector leaves before classifying: the chapter says which fault does "
             "most, and what is left after masking.", rate=True),
        Line("flip_rate", "Few images can be flipped by setting one pixel on purpose", "correct images flipped",
             "flips-by-queries",
             "Reject or repair outlying pixels before classifying: the gallery shows their size.", rate=True),
        Line("random_extreme", "A pixel at an extreme value, at a random place, seldom flips an image",
             "chance that it flips a correct image", "random-extremes",
             "Reject or repair outlying pixels before classifying: the maps show where they hurt most.",
             rate=True),
    )
}  # fmt: skip
# Claims that mean nothing of a classifier that does no better than one answer: it has nothing to lose.
_OF_WHAT_IT_KNOWS = ("domain_gap", "exposure_loss", "fault_loss")
_STEPS = {"better_than_chance": "clean", "calibration_error": "clean", "domain_gap": "clean", "exposure_loss": "sweep",
          "fault_loss": "sweep", "accidents": "hazard", "flip_rate": "attack", "random_extreme": "certify"}  # fmt: skip
# Where each section is, or would be if it had been made.
_CHAPTERS = {"recalls": "clean", "calibration": "clean", "exposure": "sweeps", "perturbations": "sweeps",
             "accidents-by-fault": "accidents",
             "flips-by-queries": "one-pixel", "random-extremes": "one-pixel", "differences": "comparison"}  # fmt: skip


def checks_of(models: Sequence[ModelRecords], thresholds: Thresholds) -> list[Check]:
    """The verdict of a page: what is claimed of the first model, and of it against the second where there are two."""
    first = models[0]
    claims = claims_of(first, thresholds)
    pairs = claims_of_pair(first, models[1], thresholds) if len(models) == 2 else []
    decided = {one.name: one for one in decide([*claims, *pairs])}
    checks = [_sound(first)]
    for name, line in LINES.items():
        if name in decided:
            checks.append(_of_one(line, decided[name], first, thresholds))
        elif _asked(name, first):
            checks.append(not_run(line, _why_not(name, first)))
    if any(check.name == "better_than_chance" and check.status == "fail" for check in checks):
        checks = [_idle(check) if check.name in _OF_WHAT_IT_KNOWS and check.status == "pass" else check
                  for check in checks]  # fmt: skip
    return checks + [_of_two(decided[one.name], first, models[1]) for one in pairs]


def with_evidence(checks: Sequence[Check], chapters: Sequence[Chapter]) -> list[Check]:
    """The lines of a verdict, each with a section that the page has, or with the chapter where it would be."""
    there = {one.name for chapter in chapters for one in chapter.sections}
    return [
        check if check.evidence in there else replace(check, evidence=_CHAPTERS.get(check.evidence, check.evidence))
        for check in checks
    ]


def _of_one(line: Line, decision: Decision, found: ModelRecords, thresholds: Thresholds) -> Check:
    """A claim about one model as a line of the page."""
    drawn, available = len(found.about["ids"]), int(found.about.get("available", len(found.about["ids"])))
    if _STEPS[line.name] == "clean":
        record = next(iter(found.clean.values()))
        drawn, available = len(record.labels), record.available
        if line.name == "better_than_chance":
            decision = _as_accuracy(decision, record, thresholds.gain)
            line = replace(line, claim=f"It beats always answering {decision.worst}", what="accuracy")
            decision = replace(decision, worst="")
    lost: list[str] = []
    gained: list[str] = []
    if line.name == "fault_loss" and found.sweep is not None:
        lost, gained = movers(losses(found.sweep))
    if line.name == "domain_gap":
        names = domain_names(found.clean)
        line = replace(line, claim=f"It is as good on {names['target']} as on {names['source']}")
    if line.name in ("exposure_loss", "fault_loss"):
        name = decision.worst or "exposure"
        level = _level(found, name)
        line = replace(line, what=f"accuracy lost at {level}" if line.name == "exposure_loss" else line.what)
        decision = replace(decision, worst=f"{name} at {level}") if decision.worst else decision
    return check_of(line, decision, drawn=drawn, available=available, lost=lost, gained=gained)


def _as_accuracy(decision: Decision, record: CleanRecord, gain: float) -> Decision:
    """The claim against a constant answer said of accuracy itself, with the name of the answer."""
    number = len(record.constant_right) > 0
    share = float((record.constant_right if number else record.labels == int(decision.worst or 0)).mean())
    aim = share + gain * (1 - share)  # the claim is that accuracy minus this is at least 0
    low, high = max(decision.low + aim, 0.0), min(decision.high + aim, 1.0)
    answer = f"{record.constant:.4g}" if number else record.class_names[int(decision.worst)]
    return replace(decision, value=decision.value + aim, low=low, high=high, margin=decision.margin + aim, worst=answer)


def _of_two(decision: Decision, first: ModelRecords, second: ModelRecords) -> Check:
    """A claim about two models as a line of the page."""
    one, two, names = first.label, second.label, domain_names(first.clean)
    lost: list[str] = []
    gained: list[str] = []
    evidence, advice = "differences", f"Here {two} is better."
    if decision.name == "keeps_under_perturbations":
        assert first.sweep is not None
        assert second.sweep is not None
        lost, gained = movers({name: -change for name, change in apart_of(first.sweep, second.sweep).items()})
        line = Line(decision.name, f"{one} loses nothing that matters to {two} under any perturbation",
                    f"accuracy of {two} minus that of {one}", evidence, advice)  # fmt: skip
    elif decision.name == "keeps_accuracy_on_the_source":
        line = Line(decision.name, f"{one} loses nothing that matters to {two} on {names['source']}",
                    f"accuracy of {two} minus that of {one}", evidence, advice)  # fmt: skip
    elif decision.name == "better_flip_rate":
        line = Line(decision.name, f"{one} is flipped by one pixel less often than {two}",
                    f"rate of {two} minus that of {one}, images that both classify correctly", evidence, advice,
                    side="above")  # fmt: skip
    else:
        where = f"at {_level(first, 'exposure')}" if decision.name == "better_exposure" else ""
        domain = decision.name.removeprefix("better_accuracy").removeprefix("_on_the_")
        where = where or (f"on {names[domain]}" if domain else "")
        line = Line(decision.name, " ".join([f"{one} is more accurate than {two}", where]).strip(),
                    f"accuracy of {one} minus that of {two}", evidence, advice, side="above")  # fmt: skip
    clean = decision.name.partition("_")[2].startswith("accuracy")
    record = next(iter(first.clean.values())) if clean else None
    drawn = len(first.about["ids"]) if record is None else len(record.labels)
    available = int(first.about.get("available", drawn)) if record is None else record.available
    return check_of(line, decision, drawn=drawn, available=available, lost=lost, gained=gained)


def _sound(found: ModelRecords) -> Check:
    """Preflight: certain, and therefore not one of the claims that are decided together."""
    line = Line("preflight", "It is sound: two runs give identical output, alone and in a batch", "", "preflight",
                "Read the findings: each says what to do.")  # fmt: skip
    if not found.preflight:
        return not_run(line, found.why_missing("preflight"))
    count = {verdict: sum(f["verdict"] == verdict for f in found.preflight) for verdict in ("ok", "warning", "refusal")}
    status = "fail" if count["refusal"] else "warn" if count["warning"] else "pass"
    words = [f"{count[kind]} {said}{'s' if count[kind] != 1 else ''}"
             for kind, said in (("ok", "check passed"), ("warning", "warning"), ("refusal", "refusal"))
             if count[kind]]  # fmt: skip
    measured = ", ".join(words).replace("check passeds", "checks passed")
    advice, word = ("", "") if status == "pass" else (line.advice, "" if status == "fail" else "warning")
    return Check(line.name, line.claim, measured, "no warning and no refusal", status, line.evidence, advice, word)


def _idle(check: Check) -> Check:
    return replace(check, status="not run", advice="It does no better than always giving one answer, so it has "
                   "nothing to lose.")  # fmt: skip


def _level(found: ModelRecords, name: str) -> str:
    """The third level of a perturbation in words."""
    assert found.sweep is not None
    step = third(found.sweep, name)
    return f"{found.sweep.level[step]:.4g} {found.sweep.settings['perturbations'][step]['unit']}"


def _asked(name: str, found: ModelRecords) -> bool:
    """Whether a claim that has no number is one about these images: a target, and rates of accidents, not all have."""
    return {"domain_gap": "target" in found.clean, "accidents": False}.get(name, True)


def _why_not(name: str, found: ModelRecords) -> str:
    """Why there is no number, and how to get it."""
    step = _STEPS[name]
    there = {"clean": bool(found.clean), "sweep": found.sweep is not None, "attack": found.attack is not None,
             "certify": found.certificate is not None}[step]  # fmt: skip
    if not there:
        return found.why_missing(step)
    if tuple(found.class_names) == BAND:
        regression = "The network gives a number and no classes"
        of_numbers = {
            "calibration_error": f"{regression}, so there is no confidence.",
        }
        if name in of_numbers:
            return of_numbers[name]
    if found.certificate is not None and name == "random_extreme" and not found.certificate.correct.any():
        name = ""  # none was tried, as none is classified correctly
    return {
        "better_than_chance": "All images are of one class, so one answer is correct for all of them.",
        "domain_gap": "The source and the target have no object in common.",
        "exposure_loss": "The exposure was not swept: it needs images that say how they were taken.",
        "random_extreme": "Not every cell of every image was tried: raise the seconds of [certify] in audit.toml, or "
        "give --full.",
    }.get(name, "No image is left to measure it on.")
