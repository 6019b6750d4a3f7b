"""The numbers of a sweep: accuracy, flips, the level that costs five points, and comparisons with a base model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.sweep.threshold import DROP, Threshold, threshold_of
from robustkit.perturb.boundary import flat_error, implied_distance
from robustkit.perturb.faults.plain_noise import GaussianNoise
from robustkit.perturb.faults.registry import PERTURBATIONS
from robustkit.records import NOT_FINITE, OUT_OF_MEMORY
from robustkit.runs.result import Result
from robustkit.stats import Estimate, wilson, wilson_shares

if TYPE_CHECKING:
    from robustkit.findings.sweep.record import SweepRecord
    from robustkit.perturb.perturbation import Perturbation

_MOST_WEIGHTS = 1 << 20  # of images in resamples that are held at once


@dataclass(frozen=True, eq=False)
class StepSummary:
    """One perturbation at one level.

    Attributes:
        name: The perturbation.
        level: Its level.
        unit: Of the level.
        accuracy: Rate of correct predictions, mean over draws of random numbers, with Wilson's interval; output
            that is not finite is wrong.
        recall: The same within each true class, K values.
        right_to_wrong: Images that were right and are another class, mean over draws of random numbers; those without
            a finite answer in some draw are counted as `not_finite` alone.
        wrong_to_right: The other way round.
        distance: Median distance of the latents, of the images where it is finite.
        margin: Median margin, likewise.
        not_finite: Images whose output is not finite: wrong, but no other class.
        outside: Stored values outside the declared bounds.
        disagreement: Mean share of the members of an ensemble that decide otherwise than all together; nan for a single
            network.
        risk: Expected events per image, before any is rejected, that turn a correct prediction wrong: rate of the event
            times rate of correct predictions that it makes another class or not finite; `None` where nobody knows how
            often it happens.
    """

    name: str
    level: float
    unit: str
    accuracy: Estimate
    recall: Estimate
    right_to_wrong: float
    wrong_to_right: float
    distance: float
    margin: float
    not_finite: int
    outside: int
    disagreement: float
    risk: float | None


@dataclass(frozen=True, eq=False)
class NoiseCheck:
    """White noise on network input against the distances of the boundaries.

    Were the boundaries flat, noise of sigma would lead astray each image at distance d with probability Phi(-d /
    sigma). More errors than that say that something nearer was not found, or that the boundary bends towards the image;
    fewer, that it bends away.

    Attributes:
        sigma: Of the noise, in network input.
        error: Rate of wrong answers among images that were right, with Wilson's interval.
        flat: The rate that flat boundaries at the distances found would give.
        implied: The distance of one flat boundary that gives this error, with interval; infinite for no error.
        distance: Median distance of the boundaries of these images (DeepFool).

    Source: Ford, Gilmer, Carlini & Cubuk 2019, arXiv:1901.10513.
    """

    sigma: float
    error: Estimate
    flat: float
    implied: tuple[float, float, float]
    distance: float

    def __str__(self) -> str:
        value, low, high = self.implied
        return (
            f"white noise of {self.sigma:.3g} misleads {self.error}, flat boundaries would give {self.flat:.3f}; "
            f"implied distance {value:.3g} [{low:.3g}, {high:.3g}], median found {self.distance:.3g}"
        )


@dataclass(frozen=True, eq=False)
class SweepSummary:
    """All numbers of a sweep.

    Attributes:
        clean: Accuracy on the images as they are.
        clean_recall: The same within each true class, K values.
        steps: One for each step, in the order of the record.
        thresholds: One for each perturbation.
        mpc: Mean accuracy over perturbations, each the mean over its levels (mean performance under corruption).
        rpc: `mpc` relative to the clean accuracy; nan where that is 0.
        ce: Error of each perturbation over that of the base model, both summed over levels; `None` without one.
        mce: The mean of `ce`.
        noise: The check of Ford et al. at each level of `gaussian`.
        out_of_memory: Images for which memory ran out even alone; they count as wrong everywhere.
        flagged_by: The front end that flags images, which then get no class; empty without one.

    Source: Michaelis et al. 2019, arXiv:1907.07484 (mPC, rPC); Hendrycks & Dietterich 2019, arXiv:1903.12261 (CE).
    """

    clean: Estimate
    clean_recall: Estimate
    steps: tuple[StepSummary, ...]
    thresholds: tuple[Threshold, ...]
    mpc: float
    rpc: float
    ce: dict[str, float] | None
    mce: float | None
    noise: tuple[NoiseCheck, ...] = ()
    out_of_memory: int = 0
    flagged_by: str = ""

    def to_json(self) -> dict[str, Any]:
        """The numbers as JSON values; what is infinite or not a number as `null`."""
        return _json(vars(self))

    def text(self) -> str:
        """What to print."""
        lines = [f"accuracy on clean images: {self.clean}"]
        if self.out_of_memory:
            lines.append(
                f"WARNING: memory ran out for {self.out_of_memory} images, each alone, and they count as wrong; use a "
                "device with more"
            )
        for step in self.steps:
            lines.append(
                f"{step.name} {step.level:.4g} {step.unit}: {step.accuracy}; "
                f"{step.right_to_wrong:.4g} correct to wrong, {step.wrong_to_right:.4g} wrong to correct"
                + ("" if step.risk is None else f"; by its rate {-100 * math.expm1(-step.risk):.2g} % go wrong")
                + (f"; {step.not_finite} {'flagged' if self.flagged_by else 'not finite'}" if step.not_finite else "")
                + (f"; {step.outside} values out of bounds" if step.outside else "")
                + ("" if math.isnan(step.disagreement) else f"; {step.disagreement:.3g} of the members disagree")
            )
        points = f"{100 * DROP:.0f} points"
        lines += [f"{one.name}: level at which accuracy falls by {points}: {one}" for one in self.thresholds]
        lines += [str(check) for check in self.noise]
        lines.append(f"mPC {self.mpc:.3f}, rPC {self.rpc:.3f}")
        if self.mce is not None:
            assert self.ce is not None
            lines.append(f"mCE against the base model {self.mce:.3f}")
            lines += [f"CE {name} {value:.3f}" for name, value in self.ce.items()]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, repr=False)
class SweepResult(Result):
    """A sweep of a sample, with its numbers.

    Attributes:
        record: The answers at each level of each perturbation.
        base: The same of the base model, if there is one.
        perturbations: The classes of the perturbations by name.
    """

    record: SweepRecord
    base: SweepRecord | None = None
    perturbations: Mapping[str, type[Perturbation]] = field(default_factory=lambda: PERTURBATIONS)

    @cached_property
    def numbers(self) -> SweepSummary:
        """The numbers, with intervals."""
        return summarize_sweep(self.record, self.base, kinds=self.perturbations)

    def summary(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return self.numbers.to_json()

    def describe(self) -> str:
        """The numbers as a few lines."""
        return self.numbers.text()

    def table(self) -> str:
        """The clean images and the steps as CSV, a line each."""
        from robustkit.findings.sweep.show import table

        return table(self.record, self.numbers)

    def plot(self, ax: Any = None) -> Any:
        """Draws accuracy and recalls against the level, a panel for each perturbation."""
        from robustkit.findings.sweep.show import plot

        return plot(self, ax)


def summarize_sweep(
    record: SweepRecord,
    base: SweepRecord | None = None,
    *,
    kinds: Mapping[str, type[Perturbation]] = PERTURBATIONS,
    draws: int = 1999,
) -> SweepSummary:
    """The numbers of a sweep.

    Args:
        record: The sweep.
        base: The same sweep of another model, for CE and mCE.
        kinds: The classes of the perturbations by name; a file is never asked for code.
        draws: Bootstrap resamples of images, for the thresholds.

    Raises:
        InputError: If a perturbation is not among `kinds`, or the base model was swept over other images or levels.
    """
    names = list(dict.fromkeys(record.name.tolist()))
    kind_of = {name: kinds.get(name.partition(",")[0]) for name in names}
    for name, kind in kind_of.items():
        if kind is None:
            raise InputError(f"unknown perturbation {name!r}; pass its class in `kinds`")
    right = record.right  # (S, N)
    was_right = record.clean_class == record.true
    count = right.shape[1]
    answers = np.vstack([was_right[None], right])  # (1 + S, N)
    rates = _resampled(answers, draws, int(record.settings["seed"]))
    by_name = {name: float(right[record.name == name].mean()) for name in names}
    mpc = float(np.mean(list(by_name.values())))
    clean = wilson(int(was_right.sum()), count)
    ce = None if base is None else _corruption_errors(record, base, by_name)
    return SweepSummary(
        clean=clean,
        clean_recall=_recall(record, was_right),
        steps=tuple(_step(record, s, right[s], was_right) for s in range(len(record.name))),
        thresholds=tuple(
            threshold_of(record, name, kind, rates, answers.mean(1)) for name, kind in kind_of.items() if kind
        ),
        mpc=mpc,
        rpc=mpc / float(clean.value) if clean.value else math.nan,
        ce=ce,
        mce=None if ce is None else float(np.mean(list(ce.values()))),
        noise=tuple(
            _check_noise(record, s, right[s], was_right)
            for s in record.steps(GaussianNoise.name)
            if not np.isnan(record.boundary[was_right]).all()  # without gradients no distance is known
        ),
        out_of_memory=int((record.clean_class == OUT_OF_MEMORY).sum()),
        flagged_by=record.settings.get("flagged_by", ""),
    )


def _step(record: SweepRecord, s: int, right: np.ndarray, was_right: np.ndarray) -> StepSummary:
    name = str(record.name[s])
    failed = 1 - right
    rate = record.settings["expected_per_image"].get(name)
    return StepSummary(
        name=name,
        level=float(record.level[s]),
        unit=record.settings["perturbations"][s]["unit"],
        accuracy=wilson_shares(right),
        recall=_recall(record, right),
        right_to_wrong=float(failed[was_right & (record.new_class[s] != NOT_FINITE)].sum()),
        wrong_to_right=float(right[~was_right].sum()),
        distance=finite_median(record.distance[s]),
        margin=finite_median(record.margin[s]),
        not_finite=int((record.new_class[s] == NOT_FINITE).sum()),
        outside=int(record.outside[s]),
        disagreement=record.disagreement_at(1 + s),
        risk=None if rate is None else rate * float(failed[was_right].sum()) / len(right),
    )


def finite_median(values: np.ndarray) -> float:
    """The median of the values that are finite; nan where none is."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else math.nan


def _recall(record: SweepRecord, right: np.ndarray) -> Estimate:
    return wilson_shares(right, [record.true == k for k in range(len(record.class_names))])


def _resampled(answers: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Shares of correct predictions (1 + S, N) in resamples of the images, the same for all steps: (draws, 1 + S)."""
    count = answers.shape[1]
    rng = np.random.default_rng([seed, 5])
    at_once = max(1, _MOST_WEIGHTS // count)
    right, rates = answers.T.astype(np.float64), []
    for start in range(0, draws, at_once):
        weights = rng.multinomial(count, np.full(count, 1 / count), size=min(at_once, draws - start))
        rates.append(weights.astype(np.float64) @ right)
    return np.concatenate(rates) / count


def _check_noise(record: SweepRecord, s: int, right: np.ndarray, was_right: np.ndarray) -> NoiseCheck:
    made, count = record.settings["perturbations"][s], int(was_right.sum())
    sigma = made["level"] * (made["high"] - made["low"])
    error = wilson_shares((1 - right)[was_right])
    distance = record.boundary[was_right]
    near, far = (float(implied_distance(float(end), sigma)) for end in (error.high, error.low))
    return NoiseCheck(
        sigma=sigma,
        error=error,
        flat=float(flat_error(distance, sigma).mean()) if count else math.nan,
        implied=(float(implied_distance(float(error.value), sigma)), near, far),
        distance=float(np.median(distance)) if count else math.nan,
    )


def _corruption_errors(record: SweepRecord, base: SweepRecord, by_name: dict[str, float]) -> dict[str, float]:
    same = [np.array_equal(getattr(record, name), getattr(base, name)) for name in ("ids", "true", "name", "level")]
    if not all(same):
        raise InputError("the base model was swept over other images or levels; sweep both over the same")
    errors = {name: 1 - float(base.right[base.name == name].mean()) for name in by_name}
    return {name: (1 - by_name[name]) / errors[name] if errors[name] else math.nan for name in by_name}


def _json(value: Any) -> Any:
    if isinstance(value, Estimate | StepSummary | Threshold | NoiseCheck):
        value = vars(value)
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_json(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _json(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
