"""What an audit claims of a model, and of two: each claim with the numbers of the images that it rests on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robustkit.auditing.request import Thresholds
from robustkit.findings.certify.record import chances
from robustkit.findings.clean.record import CleanRecord, gap
from robustkit.findings.finding import ModelRecords
from robustkit.findings.hazard.summary import changed
from robustkit.findings.sweep.record import SweepRecord, losses, third
from robustkit.stats import Claim, claim_of_calibration, claim_of_means, holm, p_above, p_below


def claims_of(found: ModelRecords, limits: Thresholds) -> list[Claim]:
    """The claims about one model that its records can answer."""
    claims = []
    if found.clean:
        record = next(iter(found.clean.values()))
        if len(np.unique(record.labels)) > 1 or len(record.constant_right):
            claims.append(_beats_constant_answers(record, limits.gain))
        if record.confident:
            most = limits.calibration_error
            claims.append(claim_of_calibration("calibration_error", record.scores, record.labels, most))
    lost = gap(found.clean)
    if lost is not None:
        claims.append(claim_of_means("domain_gap", lost, limits.domain_gap, low=-1))
    if found.sweep is not None:
        costs = losses(found.sweep)
        if "exposure" in costs:
            claims.append(claim_of_means("exposure_loss", costs["exposure"], limits.exposure_loss, low=-1))
        claims.append(_of_each("fault_loss", costs, limits.fault_loss))
    hazard = found.records.get("hazard")
    if hazard is not None and (hit := changed(hazard)) is not None:
        claims.append(claim_of_means("accidents", hit[0], limits.accidents, high=hit[1]))
    if found.attack is not None and found.attack.correct.any():
        flipped = found.attack.flipped_images()[found.attack.correct]
        claims.append(claim_of_means("flip_rate", flipped, limits.flip_rate))
    if found.certificate is not None and len(of_each := chances(found.certificate)):
        claims.append(claim_of_means("random_extreme", of_each, limits.random_extreme))
    return claims


def claims_of_pair(one: ModelRecords, other: ModelRecords, limits: Thresholds) -> list[Claim]:
    """The claims that the one is better than the other, or loses nothing to it, image by image.

    Where both were asked about a source and a target, the one was adapted: on the source it should lose nothing.
    """
    claims = []
    for domain in [name for name in one.clean if name in other.clean]:
        first, second = one.clean[domain], other.clean[domain]
        if not np.array_equal(first.ids, second.ids):
            continue
        more = first.right.astype(float) - second.right
        if domain == "source" and "target" in one.clean:
            claims.append(claim_of_means("keeps_accuracy_on_the_source", -more, limits.lost_to_base, low=-1))
        else:
            name = "better_accuracy" if domain == "images" else f"better_accuracy_on_the_{domain}"
            claims.append(claim_of_means(name, more, 0.0, most=False, low=-1))
    if one.attack is not None and other.attack is not None:
        both = one.attack.correct & other.attack.correct
        if both.any():
            flips = [record.flipped_images()[both].astype(float) for record in (one.attack, other.attack)]
            claims.append(claim_of_means("better_flip_rate", flips[1] - flips[0], 0.0, most=False, low=-1))
    if one.sweep is not None and other.sweep is not None:
        apart = apart_of(one.sweep, other.sweep)
        if "exposure" in apart:
            claims.append(claim_of_means("better_exposure", apart["exposure"], 0.0, most=False, low=-1))
        claims.append(_of_each("keeps_under_perturbations", {k: -v for k, v in apart.items()}, limits.lost_to_base))
    return claims


def apart_of(one: SweepRecord, other: SweepRecord) -> dict[str, np.ndarray]:
    """How much more often the one is right than the other under each perturbation at its third level, shape (N,)."""
    steps = {name: third(one, name) for name in dict.fromkeys(one.name.tolist())}
    return {name: one.right[step] - other.right[step] for name, step in steps.items()}


def movers(changes: Mapping[str, np.ndarray], alpha: float = 0.05) -> tuple[list[str], list[str]]:
    """Perturbations under which something is lost, and gained, for certain: those whose interval excludes 0.

    Args:
        changes: What each image loses under each perturbation, in [-1, 1], shape (N,).
        alpha: How often any of them is named wrongly, at most.
    """
    if not changes:
        return [], []
    rows = np.stack(list(changes.values()))
    ups, downs = np.atleast_1d(p_above(rows, 0, low=-1)), np.atleast_1d(p_below(rows, 0, low=-1))
    named = holm(np.minimum(2 * np.minimum(ups, downs), 1)) <= alpha
    lost = [name for name, yes, up, down in zip(changes, named, ups, downs, strict=True) if yes and up < down]
    return lost, [name for name, yes in zip(changes, named, strict=True) if yes and name not in lost]


def _of_each(name: str, changes: Mapping[str, np.ndarray], margin: float) -> Claim:
    """The claim that none of several perturbations costs more than the margin."""
    return claim_of_means(name, np.stack(list(changes.values())), margin, low=-1, series=list(changes))


def _beats_constant_answers(record: CleanRecord, gain: float) -> Claim:
    """The claim that accuracy goes a part of the way from every constant answer to all right.

    Every class is tried as the answer, so that none is chosen with the labels that it is held against; of a regression
    the number that would be right most often, which is chosen so, to its favour.
    """
    right = record.right.astype(float)
    classes = np.unique(record.labels)
    constant = (record.labels == classes[:, None]).astype(float)  # (K, N)
    if len(record.constant_right):
        classes, constant = classes[:1], record.constant_right[None].astype(float)
    ahead = right - constant - gain * (1 - constant)
    return claim_of_means(
        "better_than_chance", ahead, 0.0, most=False, low=-1, high=1 - gain, series=[str(k) for k in classes]
    )
