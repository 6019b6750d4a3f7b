from pathlib import Path

import numpy as np
import pytest

from robustkit.audit.clean import CleanRecord
from robustkit.audit.findings import Findings
from robustkit.audit.request import Thresholds
from robustkit.audit.verdict import ADVICE, checks_of
from robustkit.stats import Estimate

NAMES = ["preflight", "better_than_chance", "calibration_error", "exposure_loss", "fault_loss", "flip_rate",
         "random_hit"]  # fmt: skip


def _findings(**more):
    return Findings("net", Path("audit/model"), {"model": "net.pt", "class_names": ["a", "b"]}, {}, **more)


def _clean(labels, confidence, domain="images"):
    """Images of which class 0 is said with some confidence."""
    probabilities = np.stack([confidence, 1 - np.asarray(confidence)], axis=1)
    ids = np.arange(len(labels)).astype(str)
    return CleanRecord(domain, "galaxies", "test", ["a", "b"], ids, np.asarray(labels), probabilities, len(labels), 0.5)


def _rate(value, low, high):
    return Estimate(value, low, high, 100, 0.95, "Wilson")


def _checks(found, numbers=None):
    return {check.name: check for check in checks_of(found, numbers or {}, Thresholds())}


def test_what_was_not_run_says_how_to_get_it():
    checks = _checks(_findings())
    assert list(checks) == NAMES
    assert {check.status for check in checks.values()} == {"not run"}
    assert "robustkit inspect --model net.pt" in checks["preflight"].advice
    assert "robustkit sweep --model net.pt" in checks["exposure_loss"].advice
    assert "robustkit certify --model net.pt" in checks["random_hit"].advice


@pytest.mark.parametrize(
    ("one", "status", "advice"),
    [
        (_rate(0.05, 0.01, 0.1), "pass", ""),
        (_rate(0.05, 0.01, 0.11), "warn", "The interval includes the threshold: audit more images"),
        (_rate(0.12, 0.1, 0.2), "warn", "The interval includes the threshold: audit more images"),
        (_rate(0.15, 0.11, 0.2), "fail", ADVICE["flip_rate"]),
        (_rate(np.nan, np.nan, np.nan), "not run", "the step 'attack' is not in"),
    ],
)
def test_the_whole_interval_decides(one, status, advice):
    check = _checks(_findings(), {"flip_rate": one})["flip_rate"]
    assert check.status == status
    assert advice in check.advice
    assert bool(advice) == bool(check.advice)
    assert check.measured.startswith("correct images flipped: ")
    assert check.threshold == "at most 0.1"


def test_one_perturbation_of_several_decides():
    numbers = {"loss.psf": _rate(0.2, 0.15, 0.3), "loss.shift": _rate(0.12, 0.05, 0.2), "mpc": _rate(0.5, 0.4, 0.6)}
    check = _checks(_findings(), numbers)["fault_loss"]
    assert check.status == "fail"
    assert check.measured.startswith("accuracy lost to the worst, psf: 0.2")
    assert check.measured.endswith("1 of 2 fail")
    mild = {"loss.psf": _rate(0.08, 0.07, 0.09), "loss.shift": _rate(0.02, -0.1, 0.14)}
    assert _checks(_findings(), mild)["fault_loss"].status == "warn"


def test_a_refusal_fails_and_a_warning_warns():
    def status(*verdicts):
        found = [{"name": "a", "verdict": verdict, "text": "", "advice": ""} for verdict in verdicts]
        return _checks(_findings(preflight=found))["preflight"].status

    assert [status("ok", "ok"), status("ok", "warning"), status("warning", "refusal")] == ["pass", "warn", "fail"]


def test_a_classifier_is_held_against_the_constant_answer():
    labels = [0] * 50 + [1] * 50
    always = _clean(labels, np.full(100, 0.9))
    good = _clean(labels, [0.99] * 50 + [0.01] * 50)
    assert _checks(_findings(clean={"images": always}))["better_than_chance"].status == "fail"
    check = _checks(_findings(clean={"images": good}))["better_than_chance"]
    assert check.status == "pass"
    assert check.threshold == "above 0.500, the best constant answer"


def test_probabilities_fail_only_where_a_calibrated_classifier_would_hardly_come():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 60)
    drawn = _clean((rng.uniform(size=60) > confidence).astype(int), confidence)
    check = _checks(_findings(clean={"images": drawn}))["calibration_error"]
    assert check.status == "warn"  # few images: above 0.05, as a calibrated one would be
    assert check.advice.startswith("So few images do not tell it from a calibrated classifier")
    boast = _clean([0, 1] * 100, np.full(200, 0.99))
    assert _checks(_findings(clean={"images": boast}))["calibration_error"].status == "fail"
    exact = _clean([0] * 800 + [1] * 200, np.full(1000, 0.8))
    assert _checks(_findings(clean={"images": exact}))["calibration_error"].status == "pass"


def test_the_gap_between_domains_is_asked_where_there_are_two():
    both = {name: _clean([0, 1] * 20, np.full(40, 0.9), name) for name in ("source", "target")}
    check = _checks(_findings(clean=both), {"domain_gap": _rate(-0.03, -0.07, 0.01)})["domain_gap"]
    assert (check.status, check.measured[:22]) == ("pass", "accuracy lost: -0.030 ")
    unpaired = _checks(_findings(clean=both))["domain_gap"]
    assert (unpaired.status, unpaired.advice) == ("not run", "The source and the target show no object in common.")
