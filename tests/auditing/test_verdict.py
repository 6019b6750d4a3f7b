from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from robustkit.auditing.request import Thresholds
from robustkit.auditing.sentences import headline
from robustkit.auditing.verdict import LINES, checks_of
from robustkit.findings.clean.record import CleanRecord
from robustkit.findings.finding import ModelRecords
from robustkit.findings.hazard.record import HazardRecord
from robustkit.findings.registry import built_in
from robustkit.records import BAND

NAMES = ["preflight", "better_than_chance", "calibration_error", "exposure_loss", "fault_loss", "flip_rate",
         "random_extreme"]  # fmt: skip


def _findings(n=200, label="net", **more):
    about = {"model": "net.pt", "class_names": ["a", "b", "c"], "ids": [str(i) for i in range(n)], "available": 5000}
    commands = {kind.name: kind.alone for kind in built_in()}
    return ModelRecords(label, Path("audit/model"), about, {}, more, commands)


def _clean(labels, said, domain="images", available=5000, classes=3):
    """Images of which a class is said with confidence 0.9."""
    said, labels = np.asarray(said), np.asarray(labels)
    probabilities = np.full((len(labels), classes), 0.1 / (classes - 1))
    probabilities[np.arange(len(labels)), said] = 0.9
    ids = np.arange(len(labels)).astype(str)
    names = ["a", "b", "c"][:classes]
    nothing = np.zeros(len(ids), dtype=bool), float("nan"), np.zeros(0, bool)
    return CleanRecord(domain, "galaxies", "test", names, ids, labels, probabilities, available, 0.5, *nothing)


def _sweep(rng, n=200, right=0.9, **losses):
    """A sweep whose perturbations cost some accuracy at their only level, of images that are mostly right."""
    true, clean = np.zeros(n, int), (rng.random(n) > right).astype(int)
    new = np.stack([np.where(rng.random(n) < loss, 1, clean) for loss in losses.values()])
    names = np.array([name.replace("_", "-") for name in losses])
    return SimpleNamespace(
        ids=np.arange(n).astype(str), true=true, clean_class=clean, name=names, level=np.full(len(names), 0.1),
        right=(new == true).astype(float), settings={"perturbations": [{"unit": "units"}] * len(names)},
        steps=lambda name: np.flatnonzero(names == name),
    )  # fmt: skip


def _attack(flipped, correct=None):
    flipped = np.asarray(flipped)
    correct = np.ones(len(flipped), bool) if correct is None else correct
    return SimpleNamespace(correct=correct, flipped_images=lambda: flipped & correct)


def _certificate(chances):
    chances = np.asarray(chances, float)
    yes = np.ones(len(chances), bool)
    return SimpleNamespace(complete=yes, correct=yes, chance_low=chances)


def _hazard(hits, rate, n=200, events=40):
    """A fault that changes the class of the first images in some of the events."""
    became = np.zeros((1, n, 4), int)
    became[0, :, 0] = events
    for i, changed in enumerate(hits):
        became[0, i, :2] = events - changed, changed
    return HazardRecord(
        ids=np.arange(n).astype(str), true=np.zeros(n, int), clean=np.zeros(n, int), faults=["cosmic-ray"],
        became=became, level=np.ones((1, events)), units=["pixels"], rate=np.array([rate]), source=["here (2026)"],
        kept=0.01, depth="Y10", class_names=["a", "b", "c"], settings={}, rare=np.empty((1, 0, n)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("hits", "rate", "status"), [([], 1.0, "pass"), ([40] * 60, 2.0, "fail"), ([8] * 30, 2.0, "warn")]
)
def test_a_line_of_the_verdict_is_about_accidents_of_known_rate(hits, rate, status):
    found = _checks(_findings(hazard=_hazard(hits, rate)))["accidents"]
    assert (found.status, found.evidence) == (status, "accidents-by-fault")
    assert "accidents" not in _checks(_findings(hazard=_hazard(hits, np.nan)))
    assert "accidents" not in _checks(_findings())


def _checks(*found, **limits):
    return {check.name: check for check in checks_of(found, Thresholds(**limits))}


def test_what_was_not_run_says_how_to_get_it():
    checks = _checks(_findings())
    assert list(checks) == NAMES
    assert {check.status for check in checks.values()} == {"not run"}
    assert "robustkit inspect --model net.pt" in checks["preflight"].advice
    assert "robustkit sweep --model net.pt" in checks["exposure_loss"].advice
    assert "robustkit certify --model net.pt" in checks["random_extreme"].advice
    assert headline(list(checks.values())) == "Cannot be said: of 7 claims 7 not run."


def test_a_classifier_that_is_worse_than_a_constant_answer_fails():
    """The classes are in the wrong order: what is said is right as seldom as may be."""
    labels = np.arange(240) % 3
    wrong = _checks(
        _findings(clean={"images": _clean(labels, np.where(np.arange(240) < 19, labels, (labels + 1) % 3))})
    )
    check = wrong["better_than_chance"]
    assert (check.status, check.decision.status) == ("fail", "fail")
    assert check.decision.value == pytest.approx(19 / 240)
    assert check.advice == LINES["better_than_chance"].advice
    good = _checks(_findings(clean={"images": _clean(labels, labels)}))["better_than_chance"]
    assert good.status == "pass"
    assert good.claim == "It beats always answering a"
    assert good.threshold == "above 40 %"  # a tenth of the way from 1/3 to 1


def test_ties_among_constant_answers_are_tried():
    """Against a it does well and against b badly; two answers tie, and the claim is about both."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    said = np.where(rng.random(200) < 0.99, 1, labels)
    check = _checks(_findings(clean={"images": _clean(labels, said)}))["better_than_chance"]
    assert check.claim == "It beats always answering b"
    assert check.status == "fail"  # it nearly always says b


def test_a_constant_classifier_fails_and_one_class_cannot_be_asked():
    labels = np.repeat([0, 1], 100)
    always = _checks(_findings(clean={"images": _clean(labels, np.zeros(200, int))}))
    assert always["better_than_chance"].status == "fail"
    alike = _checks(_findings(clean={"images": _clean(np.zeros(200, int), np.zeros(200, int))}))["better_than_chance"]
    assert (alike.status, alike.advice[:28]) == ("not run", "All images are of one class,")


def test_losing_nothing_means_nothing_where_nothing_is_known():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 3
    both = {name: _clean(labels, (labels + 1) % 3, name) for name in ("source", "target")}
    checks = _checks(_findings(clean=both, sweep=_sweep(rng, exposure=0.0)))
    assert checks["better_than_chance"].status == "fail"
    assert [checks[name].status for name in ("domain_gap", "exposure_loss", "fault_loss")] == ["not run"] * 3
    assert "nothing to lose" in checks["domain_gap"].advice or "losing nothing" in checks["domain_gap"].advice


def test_rates_pass_fail_or_say_what_would_settle_them():
    n = 200

    def of(flips, correct=None):
        return _checks(_findings(attack=_attack(np.arange(n) < flips, correct)))["flip_rate"]

    assert (of(2).status, of(60).status) == ("pass", "fail")
    assert (of(2).advice, of(60).advice) == ("", LINES["flip_rate"].advice)
    open_ = of(14)
    assert (open_.status, open_.word) == ("warn", "undecided, leans to pass")
    assert open_.decision.status == "undecided"
    assert "of 5,000 that are there" in open_.advice
    assert of(26).word == "undecided, leans to fail"
    assert "no number of images" in of(20).advice
    half = of(7, np.arange(n) < 100)  # of 100 correct ones; the number of images to draw is twice that
    assert half.decision.n == 100
    assert 2 * half.decision.needed <= int(half.advice.split("About ")[1].split(" ")[0].replace(",", "")) * 1.1


def test_there_may_be_no_more_images():
    labels = np.arange(100) % 2
    found = _clean(labels, np.where(np.arange(100) < 58, labels, 1 - labels), available=100)
    check = _checks(_findings(clean={"images": found}))["better_than_chance"]
    assert check.status == "warn"
    assert "no more than 100 in this part" in check.advice


def test_a_regression_is_held_against_the_best_constant_answer():
    """150 of 200 numbers lie in their bands: 0.5 lies in 40 of these bands, or in 140."""
    found = _clean(np.zeros(200, int), np.where(np.arange(200) < 150, 0, 2))
    found = CleanRecord(**(vars(found) | {"class_names": list(BAND), "constant": 0.5}))
    for share, status in ((40, "pass"), (140, "warn"), (180, "fail")):
        record = CleanRecord(**(vars(found) | {"constant_right": np.arange(200) >= 200 - share}))
        check = _checks(_findings(clean={"images": record}))["better_than_chance"]
        assert check.status == status
        assert check.claim == "It beats always answering 0.5"
        assert check.decision.margin == pytest.approx(share / 200 + Thresholds().gain * (1 - share / 200))


def test_chances_of_nought_have_their_bound():
    """Three images without a flip prove nothing; some hundred show that a hit seldom flips."""
    few, many = (_checks(_findings(certificate=_certificate(np.zeros(n))))["random_extreme"] for n in (3, 150))
    assert (few.status, many.status) == ("warn", "pass")
    assert few.decision.high > 0.6
    assert many.decision.high == pytest.approx(1 - 0.05 ** (1 / 150))


def test_faults_are_one_claim_and_every_one_that_counts_is_named():
    rng = np.random.default_rng(0)
    losses = {f"f{i}": 0.0 for i in range(24)}
    checks = _checks(_findings(n=400, sweep=_sweep(rng, n=400, exposure=0.02, psf=0.35, **losses)))
    check = checks["fault_loss"]
    assert check.status == "fail"
    assert check.decision.worst.startswith("psf at 0.1 units")
    assert check.lost == ("exposure", "psf") or check.lost == ("psf",)
    mild = _checks(_findings(n=400, sweep=_sweep(rng, n=400, exposure=0.0, **losses)))["fault_loss"]
    assert (mild.status, mild.lost, mild.gained) == ("pass", (), ())


def test_adaptation_must_lose_nothing_on_the_source_and_gain_on_the_target():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3

    def model(label, source, target, **losses):
        said = {
            name: np.where(rng.random(300) < rate, labels, (labels + 1) % 3)
            for name, rate in (("source", source), ("target", target))
        }
        clean = {name: _clean(labels, one, name) for name, one in said.items()}
        return _findings(300, label, clean=clean, sweep=_sweep(rng, n=300, right=1.0, **losses))

    base = model("base", 0.98, 0.6, exposure=0.5, psf=0.0)
    adapted = model("adapted", 0.98, 0.95, exposure=0.1, psf=0.3)
    checks = _checks(adapted, base)
    assert checks["keeps_accuracy_on_the_source"].status == "pass"
    assert checks["better_accuracy_on_the_target"].status == "pass"
    assert checks["better_exposure"].status == "pass"
    worse = checks["keeps_under_perturbations"]
    assert (worse.status, worse.lost, worse.gained) == ("fail", ("psf",), ("exposure",))
    assert worse.advice == "Here base is better."


def test_two_equal_models_are_seldom_told_apart():
    rng = np.random.default_rng(0)
    labels, wrong = np.arange(150) % 3, 0
    for _ in range(20):
        models = []
        for label in ("one", "two"):
            said = np.where(rng.random(150) < 0.8, labels, (labels + 1) % 3)
            sweep = _sweep(rng, n=150, right=0.8, exposure=0.1)
            attack = _attack(rng.random(150) < 0.5)
            models.append(_findings(150, label, clean={"images": _clean(labels, said)}, sweep=sweep, attack=attack))
        checks = _checks(*models)
        wrong += any(check.status in ("pass", "fail") for name, check in checks.items() if name.startswith("better_a"))
        wrong += any(checks[name].status in ("pass", "fail") for name in ("better_exposure", "better_flip_rate"))
    assert wrong <= 3


def test_a_refusal_fails_and_a_warning_warns():
    def check(*verdicts):
        found = [{"name": "a", "verdict": verdict, "text": "", "advice": ""} for verdict in verdicts]
        return _checks(_findings(preflight=found))["preflight"]

    assert [check(*v).status for v in (("ok",), ("ok", "warning"), ("warning", "refusal"))] == ["pass", "warn", "fail"]
    assert check("ok", "ok", "warning").measured == "2 checks passed, 1 warning"
    assert check("ok").measured == "1 check passed"


def test_the_gap_between_domains_is_asked_where_there_are_two():
    labels = np.arange(200) % 3
    both = {name: _clean(labels, labels, name) for name in ("source", "target")}
    assert _checks(_findings(clean=both))["domain_gap"].status == "pass"
    both["target"] = CleanRecord(**(vars(both["target"]) | {"ids": np.array([f"x{i}" for i in range(200)])}))
    check = _checks(_findings(clean=both))["domain_gap"]
    assert (check.status, check.advice) == ("not run", "The source and the target have no object in common.")


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_images_are_said_and_settle_nothing(n):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    found = _findings(
        n, clean={"images": _clean(labels, labels)}, sweep=_sweep(rng, n=n, exposure=0.1),
        certificate=_certificate([0] * n), attack=_attack(np.zeros(n, bool)),
    )  # fmt: skip
    checks = _checks(found)
    assert {checks[name].status for name in NAMES[2:]} == {"warn"}
    assert all(checks[name].advice for name in NAMES[2:])


@pytest.mark.parametrize(
    ("correct", "words"), [([0, 0], "No image is left"), ([1, 0], "Not every cell of every image")]
)
def test_a_chance_that_was_not_measured_says_why(correct, words):
    from robustkit.auditing.verdict import _why_not

    certificate = SimpleNamespace(correct=np.array(correct, dtype=bool))
    found = SimpleNamespace(
        clean={"source": 1}, sweep=None, attack=None, certificate=certificate, class_names=("a", "b")
    )
    assert words in _why_not("random_extreme", found)
