"""Two models on the same images: do perturbations move the latents of one farther, and does it hold out longer?

Two checkpoints are compared, each one training of its method; what another training would give is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.distances.record import PERTURBATIONS, DistanceRecord, Measure, shared_measures
from robustkit.findings.distances.summary import FEWEST
from robustkit.seeds import stream
from robustkit.stats.divergence import Divergence, compare_samples
from robustkit.stats.estimate import Estimate, format_p
from robustkit.stats.multiple import holm
from robustkit.stats.paired import PairedShift, paired_ratio, paired_shift, what_is_compared
from robustkit.stats.proportions import McNemar, mcnemar, newcombe_paired, paired_counts
from robustkit.stats.summary import Summary, summarize
from robustkit.stats.survival import LogRank, flips_sooner, log_rank


@dataclass(frozen=True, eq=False)
class Comparison:
    """One measure of one perturbation under both models, on the images that have it under both.

    Attributes:
        perturbation: The perturbation.
        measure: The measure.
        n: Images.
        first: Of the first model.
        second: Of the second model.
        shift: Second minus first: Wilcoxon's test with effect sizes; `None` if no test can be made.
        p_holm: Its p-value adjusted for all comparisons of the run (Holm); nan without a test.
        ratio_of_means: Second over first; `None` where a value is not above 0.
        ratio_of_medians: The same of medians.
        geometric_ratio: Geometric mean of each image's ratio.
        divergence: Jensen-Shannon and other distances of the two distributions, with their null; see `binned`.
        without: Why something is missing; empty if nothing is.
    """

    perturbation: str
    measure: Measure
    n: int
    first: Summary
    second: Summary
    shift: PairedShift | None
    p_holm: float
    ratio_of_means: Estimate | None
    ratio_of_medians: Estimate | None
    geometric_ratio: Estimate | None
    divergence: Divergence | None
    without: str


@dataclass(frozen=True, eq=False)
class DistanceComparison:
    """Two models on the same images.

    Attributes:
        first: Name of the first model.
        second: Name of the second model.
        shared: Images that both runs show.
        comparisons: By perturbation and measure.
        attacked: Images attacked under both, those right under both.
        flip_difference: Flip rate of the second minus that of the first on them; `None` if there are none.
        flip_test: The paired test of the flip rates.
        sooner: Sign test of which model flips first, unflipped images censored; `None` without queries.
        log_rank: The unpaired test of the same.
        search: The search whose queries those are.
        caution: What the comparison speaks of.
    """

    first: str
    second: str
    shared: int
    comparisons: list[Comparison]
    attacked: int
    flip_difference: Estimate | None
    flip_test: McNemar | None
    sooner: McNemar | None
    log_rank: LogRank | None
    search: str
    caution: str


def compare_models(
    first: DistanceRecord, second: DistanceRecord, *, seed: int = 0, draws: int = 1999
) -> DistanceComparison:
    """Compares the distances of two models, image by image.

    Args:
        first: Of the first model, such as the base.
        second: Of the second model, such as the adapted one.
        seed: Of resamples and relabellings.
        draws: How many of them.

    Raises:
        InputError: If both are one checkpoint, or they share fewer than 5 images.
    """
    if first.model_sha256 == second.model_sha256:
        raise InputError(f"{first.model} and {second.model} are the same checkpoint: there is nothing to compare")
    place = {str(image_id): i for i, image_id in enumerate(second.ids)}
    ours = np.array([i for i, image_id in enumerate(first.ids) if str(image_id) in place], dtype=np.int64)
    if len(ours) < FEWEST:
        raise InputError(
            f"the attacks on {first.model} and {second.model} share {len(ours)} images, and a comparison needs at "
            f"least {FEWEST}; attack both models with the same --data, --n and --seed"
        )
    theirs = np.array([place[str(first.ids[i])] for i in ours], dtype=np.int64)
    found = [
        _compare(first, second, ours, theirs, p, measure, seed, draws)
        for p in range(len(PERTURBATIONS))
        for measure in shared_measures([first, second])
    ]
    found = _adjusted([one for one in found if one is not None])
    flips = _flips(first, second, ours, theirs)
    return DistanceComparison(
        first=first.model,
        second=second.model,
        shared=len(ours),
        comparisons=found,
        **flips,
        search=first.search,
        caution=what_is_compared(1, 1),
    )


def binned(measure: Measure, values: np.ndarray) -> np.ndarray:
    """A measure as its distributions are binned: 1 / t* has no upper end and is taken as 1 / (1 + t*), in [0, 1].

    Args:
        measure: The measure.
        values: Shape (N,).
    """
    return 1 - 1 / (1 + values) if measure.field == "reach" else values


def _compare(
    first: DistanceRecord,
    second: DistanceRecord,
    ours: np.ndarray,
    theirs: np.ndarray,
    p: int,
    measure: Measure,
    seed: int,
    draws: int,
) -> Comparison | None:
    """One measure of one perturbation; `None` if too few images have it under both models."""
    one, two = getattr(first, measure.field)[p][ours], getattr(second, measure.field)[p][theirs]
    both = np.isfinite(one) & np.isfinite(two)
    if both.sum() < FEWEST:
        return None
    one, two, objects = one[both], two[both], first.objects[ours][both]
    options: dict[str, Any] = {"clusters": objects if len(set(objects)) < len(objects) else None, "draws": draws}
    rng = stream(seed, f"{PERTURBATIONS[p]} {measure.field}", "comparison")
    missing: list[str] = []

    def tried(test: Callable[[], Any]) -> Any:
        """What a test says, or None, noting why it refused."""
        try:
            return test()
        except InputError as error:
            missing.append(str(error))
            return None

    return Comparison(
        perturbation=PERTURBATIONS[p],
        measure=measure,
        n=len(one),
        first=summarize(one, **options, rng=rng),
        second=summarize(two, **options, rng=rng),
        shift=tried(lambda: paired_shift(one, two)),
        p_holm=float("nan"),
        ratio_of_means=tried(lambda: paired_ratio(two, one, of="mean", **options, rng=rng)),
        ratio_of_medians=tried(lambda: paired_ratio(two, one, of="median", **options, rng=rng)),
        geometric_ratio=tried(lambda: paired_ratio(two, one, of="geometric", **options, rng=rng)),
        divergence=tried(
            lambda: compare_samples(binned(measure, one), binned(measure, two), paired=True, draws=draws, rng=rng)
        ),
        without="; ".join(dict.fromkeys(missing)),
    )


def _adjusted(found: list[Comparison]) -> list[Comparison]:
    """With the p-values of all tests adjusted as one family."""
    tested = [i for i, one in enumerate(found) if one.shift is not None]
    adjusted = dict(zip(tested, holm([one.shift.p for one in found if one.shift is not None]), strict=True))
    return [replace(one, p_holm=float(adjusted.get(i, np.nan))) for i, one in enumerate(found)]


def _flips(first: DistanceRecord, second: DistanceRecord, ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """How often, and how soon, images attacked under both are flipped."""
    both = first.attempted[ours] & second.attempted[theirs]
    ours, theirs = ours[both], theirs[both]
    nothing: dict[str, Any] = dict.fromkeys(("flip_difference", "flip_test", "sooner", "log_rank"))
    if not len(ours):
        return {"attacked": 0, **nothing}
    counts = paired_counts(second.flipped[theirs], first.flipped[ours])
    found = {
        **nothing,
        "attacked": len(ours),
        "flip_difference": newcombe_paired(counts.both, counts.first_only, counts.second_only, counts.neither),
        "flip_test": mcnemar(counts.first_only, counts.second_only),
    }
    lasted = [record.queries[rows] for record, rows in ((first, ours), (second, theirs))]
    timed = np.isfinite(lasted[0]) & np.isfinite(lasted[1])
    fell = first.fell[ours][timed], second.fell[theirs][timed]
    if first.search == second.search and timed.any() and (fell[0].any() or fell[1].any()):
        arguments = lasted[0][timed], fell[0], lasted[1][timed], fell[1]
        found["sooner"] = flips_sooner(*arguments)
        with suppress(InputError):  # where the groups are at risk together at no flip
            found["log_rank"] = log_rank(*arguments)
    return found


def describe_comparison(found: DistanceComparison) -> str:
    """The comparison as lines for a terminal."""
    lines = [
        f"{found.second} against {found.first}, {found.shared} shared images; this compares {found.caution}; "
        f"p-values adjusted for {sum(one.shift is not None for one in found.comparisons)} tests (Holm)"
    ]
    for one in found.comparisons:
        moves = "" if one.measure.invariant else " (changes with the coordinates: no comparison of models by itself)"
        lines.append(f"  {one.perturbation}, {one.measure.name}{moves}, {one.n} images that have it under both:")
        ratios = zip(
            ("means", "medians", "each image, geometric mean"),
            (one.ratio_of_means, one.ratio_of_medians, one.geometric_ratio),
            strict=True,
        )
        lines += [f"    ratio of {name}: {ratio}" for name, ratio in ratios if ratio is not None]
        if one.shift is not None:
            lines.append(f"    {one.shift}; adjusted {format_p(one.p_holm)}")
        if one.divergence is not None:
            of = "of 1 / (1 + t*): " if one.measure.field == "reach" else ""
            lines.append(f"    {of}{one.divergence}")
        if one.without:
            lines.append(f"    not given: {one.without}")
    if found.flip_difference is not None and found.flip_test is not None:
        lines.append(
            f"  flip rate on {found.attacked} images attacked under both, {found.second} minus {found.first}: "
            f"{found.flip_difference}; {found.flip_test}"
        )
    if found.sooner is not None:
        also = f"; {found.log_rank}, unpaired" if found.log_rank is not None else ""
        lines.append(f"  sooner flipped by {found.search} under {found.first}: {found.sooner}{also}")
    return "\n".join(lines)
