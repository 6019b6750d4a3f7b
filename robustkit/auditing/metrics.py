"""The numbers of an audit by name, as gates and machines read them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from robustkit.auditing.claims import chances_of, gap_of, losses_of
from robustkit.auditing.findings import Findings
from robustkit.findings.attack.summary import ANY, summarize
from robustkit.stats import Estimate, bounded_mean, claim_of_calibration, reliability, wilson

# Name -> what it is; those with a dot are there once for each perturbation, class or domain.
MEANING = {
    "accuracy": "rate of right answers on all images of the part",
    "accuracy.DOMAIN": "the same, of each domain",
    "calibration_error": "expected calibration error on the images of the part, 15 equal bins from 1/K to 1",
    "calibration_rms": "root mean square difference of confidence and accuracy, what chance adds subtracted",
    "domain_gap": "accuracy on the source less that on the target, the same objects",
    "flip_rate": "rate of correctly classified images that some search flipped by one pixel",
    "flip_rate.CLASS": "the same, of each true class",
    "certified_rate": "rate of correctly classified images that no cell flips",
    "random_hit": "mean chance that a random hit flips a correctly classified image",
    "loss.PERTURBATION": "accuracy lost at the third of its levels, the same images",
    "mpc": "mean accuracy over perturbations and levels",
}


def metrics_of(found: Findings) -> dict[str, Estimate]:
    """The numbers of one model; what was not run is not there."""
    numbers: dict[str, Estimate] = {}
    for domain, record in found.clean.items():
        right = int((record.probabilities.argmax(1) == record.labels).sum())
        numbers[f"accuracy.{domain}"] = wilson(right, len(record.labels))
    if found.clean:
        first = next(iter(found.clean.values()))
        numbers["accuracy"] = numbers[f"accuracy.{first.domain}"]
        rng = np.random.default_rng(0)
        error = reliability(first.scores, first.labels, rng=rng)
        numbers["calibration_error"] = _plain(error.ece, error.n, "no interval; see its null")
        off = claim_of_calibration("calibration_rms", first.scores, first.labels, 0.1)
        numbers["calibration_rms"] = Estimate(off.value, *off.ends(0.025, 0.025), off.n, 0.95, "noncentral chi-squared")
    gap = gap_of(found)
    if gap is not None:
        numbers["domain_gap"] = bounded_mean(gap, low=-1)
    if found.attack is not None:
        summary = summarize(found.attack)
        one = summary.searches.get(ANY) or next(iter(summary.searches.values()))
        numbers["flip_rate"] = one.flipped
        numbers |= {f"flip_rate.{name}": rate for name, rate in one.per_class.items()}
    if found.certificate is not None:
        record = found.certificate
        attacked = int(record.correct.sum())
        numbers["certified_rate"] = wilson(int(record.certified.sum()), attacked)
        chances = chances_of(found)
        if len(chances):
            numbers["random_hit"] = bounded_mean(chances)
    if found.sweep is not None:
        numbers |= _losses(found)
    return numbers


def _losses(found: Findings) -> dict[str, Estimate]:
    record = found.sweep
    assert record is not None
    numbers = {f"loss.{name}": bounded_mean(change, low=-1) for name, change in losses_of(found).items()}
    by_name = [record.right[record.name == name].mean(0) for name in dict.fromkeys(record.name.tolist())]
    numbers["mpc"] = bounded_mean(np.mean(by_name, axis=0))
    return numbers


def _plain(value: float, n: int, method: str) -> Estimate:
    return Estimate(value, math.nan, math.nan, n, 0.95, method)


def estimate_json(one: Estimate) -> dict[str, Any]:
    """An estimate as JSON values."""
    return {
        "value": _number(one.value),
        "low": _number(one.low),
        "high": _number(one.high),
        "n": int(one.n),
        "level": one.level,
        "method": one.method,
    }


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
