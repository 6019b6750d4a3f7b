"""The numbers of an audit by name, as gates and machines read them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from robustkit.audit.findings import Findings
from robustkit.findings.attack.summary import ANY, summarize
from robustkit.stats import (
    Estimate,
    bootstrap_weights,
    bounded_mean,
    newcombe_paired,
    paired_counts,
    reliability,
    weighted_mean,
    wilson,
)

# Name -> what it is; those with a dot are there once for each perturbation, class or domain.
MEANING = {
    "accuracy": "rate of right answers on all images of the part",
    "accuracy.DOMAIN": "the same, of each domain",
    "calibration_error": "expected calibration error on the images of the part, 15 equal bins from 1/K to 1",
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
    if {"source", "target"} <= found.clean.keys():
        gap = _gap(found)
        if gap is not None:
            numbers["domain_gap"] = gap
    if found.attack is not None:
        summary = summarize(found.attack)
        one = summary.searches.get(ANY) or next(iter(summary.searches.values()))
        numbers["flip_rate"] = one.flipped
        numbers |= {f"flip_rate.{name}": rate for name, rate in one.per_class.items()}
    if found.certificate is not None:
        record = found.certificate
        attacked = int(record.correct.sum())
        numbers["certified_rate"] = wilson(int(record.certified.sum()), attacked)
        chances = record.chance_low[record.complete]
        if len(chances) > 1 and len(chances) == attacked:
            numbers["random_hit"] = _mean(chances)
    if found.sweep is not None:
        numbers |= _losses(found)
    return numbers


def _losses(found: Findings) -> dict[str, Estimate]:
    record = found.sweep
    assert record is not None
    was_right, right = record.clean_class == record.true, record.right
    numbers = {}
    for name in dict.fromkeys(record.name.tolist()):
        steps = record.steps(name)
        numbers[f"loss.{name}"] = bounded_mean(was_right - right[steps[min(2, len(steps) - 1)]], low=-1)
    by_name = [right[record.name == name].mean(0) for name in dict.fromkeys(record.name.tolist())]
    numbers["mpc"] = _mean(np.mean(by_name, axis=0))
    return numbers


def _gap(found: Findings) -> Estimate | None:
    """Accuracy lost from source to target, object by object; `None` where they show no object in common."""
    right = {}
    for domain in ("source", "target"):
        record = found.clean[domain]
        hit = record.probabilities.argmax(1) == record.labels
        right[domain] = {str(i).partition("#")[0]: bool(h) for i, h in zip(record.ids, hit, strict=True)}
    common = sorted(right["source"].keys() & right["target"].keys())
    if not common:
        return None
    first, second = (np.array([right[domain][one] for one in common]) for domain in ("source", "target"))
    return _paired(first, second)


def _paired(first: np.ndarray, second: np.ndarray) -> Estimate:
    counts = paired_counts(first, second)
    return newcombe_paired(counts.both, counts.first_only, counts.second_only, counts.neither)


def _mean(values: np.ndarray) -> Estimate:
    rng = np.random.default_rng(0)
    return bootstrap_weights(lambda weights: weighted_mean(values, weights), len(values), rng=rng)


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
