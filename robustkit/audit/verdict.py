"""The verdict: each claim with its number, its interval, what it is held against, where its evidence is, what to do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from robustkit.audit.findings import Findings
from robustkit.audit.request import Thresholds
from robustkit.report.section import Check, Status
from robustkit.stats import Estimate, against_chance, reliability, wilson

RULE = (
    "A claim passes where the whole 95% interval lies on the good side of its threshold, fails where all of it "
    "lies on the bad side, and is a warning where the interval includes the threshold: then more images are needed. "
    "The calibration error has no interval: above its threshold it fails where fewer than 5 in 100 calibrated "
    "classifiers would reach it, and is a warning otherwise. The thresholds are settings of the audit, not laws of "
    "nature."
)
# What to do about a claim that fails; about a warning there is one answer to all.
ADVICE = {
    "preflight": "Read the findings: each says what to do.",
    "better_than_chance": "Check the stretch, the order of the classes and the images first: until it holds, the other "
    "numbers mean little.",
    "calibration_error": "Recalibrate its probabilities on validation images, by temperature scaling for example, or "
    "use its class alone.",
    "domain_gap": "Adapt it to the target (robustkit train --method mmd), or train it on images like those.",
    "exposure_loss": "Use it above the exposure that costs 5 points of accuracy (see the evidence), or train it on "
    "shallower images too.",
    "fault_loss": "Keep images beyond the level that costs 5 points of accuracy (see the evidence) away from it, "
    "correct them, or train it with such images.",
    "flip_rate": "Reject or repair outlying pixels before it sees an image: the gallery shows their size.",
    "random_hit": "Reject or repair outlying pixels before it sees an image: the maps show where they hurt most.",
}
_MORE = "The interval includes the threshold: audit more images where there are more."
_MORE_CALIBRATION = "So few images do not tell it from a calibrated classifier: audit more where there are more."


def checks_of(found: Findings, numbers: dict[str, Estimate], thresholds: Thresholds) -> list[Check]:
    """The verdict on one model; what was not run is listed as such."""
    checks = [_sound(found), _knows(found), _calibrated(found, thresholds.calibration_error)]
    if "target" in found.clean:
        claim = "It is as good on the target as on the source"
        loss = _at_most("domain_gap", claim, numbers.get("domain_gap"), thresholds.domain_gap, "accuracy lost", "clean")
        checks.append(loss)
    claim, lost = "A tenth of the exposure costs it little", f"accuracy lost{_at_third(found, 'exposure')}"
    one = _at_most("exposure_loss", claim, numbers.get("loss.exposure"), thresholds.exposure_loss, lost, "sweeps")
    checks += [one, _worst_fault(found, numbers, thresholds.fault_loss)]
    claim = "One pixel, set on purpose, seldom changes its mind"
    what = "correct images flipped"
    checks.append(_at_most("flip_rate", claim, numbers.get("flip_rate"), thresholds.flip_rate, what, "one-pixel"))
    claim = "One pixel, hit at random, seldom changes its mind"
    what = "chance that a random pixel and value flip a correct image"
    checks.append(_at_most("random_hit", claim, numbers.get("random_hit"), thresholds.random_hit, what, "one-pixel"))
    return [_advised(check, found) for check in checks]


def _advised(check: Check, found: Findings) -> Check:
    """The check with what to do about it."""
    if check.status == "pass":
        return check
    if check.status == "not run":
        return replace(check, advice=_why_not(check.name, found))
    failed = check.status == "fail" or check.name == "preflight"
    more = _MORE_CALIBRATION if check.name == "calibration_error" else _MORE
    return replace(check, advice=ADVICE[check.name] if failed else more)


def _why_not(name: str, found: Findings) -> str:
    """Why there is no number, and how to get it."""
    step = {"preflight": "preflight", "better_than_chance": "clean", "calibration_error": "clean",
            "domain_gap": "clean", "exposure_loss": "sweep", "fault_loss": "sweep", "flip_rate": "attack",
            "random_hit": "certify"}[name]  # fmt: skip
    there = {"clean": bool(found.clean), "sweep": found.sweep is not None, "attack": found.attack is not None,
             "certify": found.certificate is not None}.get(step, False)  # fmt: skip
    if not there:
        return found.why_missing(step)
    return {
        "domain_gap": "The source and the target show no object in common.",
        "exposure_loss": "The exposure was not swept: it needs images that say how they were taken.",
        "random_hit": "Not every cell of every image was tried: raise the seconds of [certify] in audit.toml, or give "
        "--full.",
    }.get(name, "There is no image to measure it on.")


def _sound(found: Findings) -> Check:
    name, claim, evidence = "preflight", "It is sound: the same answer twice, alone and in a batch", "preflight"
    if not found.preflight:
        return _not_run(name, claim, evidence)
    counts = {verdict: sum(f["verdict"] == verdict for f in found.preflight) for verdict in ("warning", "refusal")}
    status: Status = "fail" if counts["refusal"] else "warn" if counts["warning"] else "pass"
    measured = f"{len(found.preflight)} findings, {counts['warning']} warnings, {counts['refusal']} refusals"
    return Check(name, claim, measured, "no warning and no refusal", status, evidence)


def _knows(found: Findings) -> Check:
    name, claim, evidence = "better_than_chance", "It knows its classes better than a constant answer", "clean"
    if not found.clean:
        return _not_run(name, claim, evidence)
    record = next(iter(found.clean.values()))
    compared = against_chance(record.probabilities.argmax(1), record.labels)
    status: Status = "pass" if compared.distinguishable else "fail"
    right = record.probabilities.argmax(1) == record.labels
    best = np.bincount(record.labels).max() / len(record.labels)
    measured = f"accuracy: {wilson(int(right.sum()), len(right))}"
    return Check(name, claim, measured, f"above {best:.3f}, the best constant answer", status, evidence)


def _calibrated(found: Findings, limit: float) -> Check:
    name, claim, evidence = "calibration_error", "Its probabilities can be believed", "clean"
    if not found.clean:
        return _not_run(name, claim, evidence)
    record = next(iter(found.clean.values()))
    one = reliability(record.scores, record.labels, rng=np.random.default_rng(0))
    # It has no interval: beyond the limit it fails only where a calibrated classifier would hardly reach it.
    status: Status = "pass" if one.ece <= limit else "fail" if one.p < 0.05 else "warn"
    measured = (
        f"expected calibration error (ECE, {len(one.counts)} bins): {one.ece:.3f}, n = {one.n}; a calibrated "
        f"classifier has {one.null_mean:.3f} on average"
    )
    return Check(name, claim, measured, f"at most {limit:g}", status, evidence)


def _worst_fault(found: Findings, numbers: dict[str, Estimate], limit: float) -> Check:
    name, claim = "fault_loss", "No perturbation that was tried costs it much at its third level"
    losses = {key.partition(".")[2]: one for key, one in numbers.items() if key.startswith("loss.")}
    if not losses:
        return _not_run(name, claim, "sweeps")
    worst = max(losses, key=lambda key: float(losses[key].value))
    status = _status(losses[worst], limit)
    if status == "pass" and any(_status(one, limit) != "pass" for one in losses.values()):
        status = "warn"
    over = sum(_status(one, limit) == "fail" for one in losses.values())
    measured = (
        f"accuracy lost to the worst, {worst}{_at_third(found, worst)}: {losses[worst]}; {over} of {len(losses)} fail"
    )
    return Check(name, claim, measured, f"at most {limit:g}", status, "sweeps")


def _at_third(found: Findings, name: str) -> str:
    """The third level of a perturbation in words, empty where it was not swept."""
    if found.sweep is None or name not in found.sweep.name:
        return ""
    steps = found.sweep.steps(name)
    step = int(steps[min(2, len(steps) - 1)])
    return f" at {found.sweep.level[step]:.4g} {found.sweep.settings['perturbations'][step]['unit']}"


def _at_most(name: str, claim: str, one: Estimate | None, limit: float, what: str, evidence: str) -> Check:
    if one is None:
        return _not_run(name, claim, evidence)
    return Check(name, claim, f"{what}: {one}", f"at most {limit:g}", _status(one, limit), evidence)


def _status(one: Estimate, limit: float) -> Status:
    low, high, value = float(one.low), float(one.high), float(one.value)
    if math.isnan(value):
        return "not run"
    if math.isnan(low) or math.isnan(high):
        return "pass" if value <= limit else "fail"
    return "pass" if high <= limit else "fail" if low > limit else "warn"


def _not_run(name: str, claim: str, evidence: str) -> Check:
    return Check(name, claim, "not measured", "", "not run", evidence)
