"""The verdict: each claim with its number, its interval, what it is held against, and where its evidence is."""

from __future__ import annotations

import math

import numpy as np

from robustkit.audit.findings import Findings
from robustkit.audit.request import Thresholds
from robustkit.report.section import Check, Status
from robustkit.stats import Estimate, against_chance, reliability, wilson

RULE = (
    "A claim passes where the whole 95% interval lies on the good side of its threshold, fails where all of it "
    "lies on the bad side, and is a warning where the interval includes the threshold: then more images are needed. "
    "The thresholds are settings of the audit, not laws of nature."
)


def checks_of(found: Findings, numbers: dict[str, Estimate], thresholds: Thresholds) -> list[Check]:
    """The verdict on one model; what was not run is listed as such."""
    checks = [_sound(found), _knows(found), _calibrated(found, thresholds.calibration_error)]
    if "target" in found.clean:
        checks.append(
            _at_most(
                "domain_gap",
                "It is as good on the target as on the source",
                numbers.get("domain_gap"),
                thresholds.domain_gap,
                "of accuracy lost",
                "clean",
            )
        )
    checks.append(
        _at_most(
            "exposure_loss",
            "A tenth of the exposure costs it little",
            numbers.get("loss.exposure"),
            thresholds.exposure_loss,
            "of accuracy lost",
            "sweeps",
        )
    )
    checks.append(_worst_fault(found, numbers, thresholds.fault_loss))
    checks.append(
        _at_most(
            "flip_rate",
            "One pixel, set on purpose, seldom changes its mind",
            numbers.get("flip_rate"),
            thresholds.flip_rate,
            "of correct images flipped",
            "one-pixel",
        )
    )
    checks.append(
        _at_most(
            "random_hit",
            "One pixel, hit by accident, seldom changes its mind",
            numbers.get("random_hit"),
            thresholds.random_hit,
            "chance of a flip by a random hit",
            "one-pixel",
        )
    )
    return checks


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
    measured = f"accuracy {wilson(int(right.sum()), len(right))}"
    return Check(name, claim, measured, f"above {best:.3f}, the best constant answer", status, evidence)


def _calibrated(found: Findings, limit: float) -> Check:
    name, claim, evidence = "calibration_error", "Its probabilities can be believed", "clean"
    if not found.clean:
        return _not_run(name, claim, evidence)
    record = next(iter(found.clean.values()))
    one = reliability(record.probabilities, record.labels, rng=np.random.default_rng(0))
    # It has no interval: beyond the limit it fails only where a calibrated classifier would hardly reach it.
    status: Status = "pass" if one.ece <= limit else "fail" if one.p < 0.05 else "warn"
    measured = f"ECE {one.ece:.3f}; a calibrated one has {one.null_mean:.3f} on average, n = {one.n}"
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
    measured = f"worst is {worst}: {losses[worst]}; {over} of {len(losses)} are over the threshold"
    return Check(name, claim, measured, f"at most {limit:g} of accuracy lost", status, "sweeps")


def _at_most(name: str, claim: str, one: Estimate | None, limit: float, what: str, evidence: str) -> Check:
    if one is None:
        return _not_run(name, claim, evidence)
    return Check(name, claim, f"{one}", f"at most {limit:g} {what}", _status(one, limit), evidence)


def _status(one: Estimate, limit: float) -> Status:
    low, high, value = float(one.low), float(one.high), float(one.value)
    if math.isnan(value):
        return "not run"
    if math.isnan(low) or math.isnan(high):
        return "pass" if value <= limit else "fail"
    return "pass" if high <= limit else "fail" if low > limit else "warn"


def _not_run(name: str, claim: str, evidence: str) -> Check:
    return Check(name, claim, "not measured", "", "not run", evidence)
