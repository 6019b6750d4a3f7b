"""The distances of one model in numbers: how far perturbations move its latents, and how apart the clouds are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robustkit.errors import InputError
from robustkit.files import jsonable, read_object
from robustkit.findings.distances.record import NEAREST, NOISY, PERTURBATIONS, PIXEL, DistanceRecord
from robustkit.latent.distances import Distances, summarize_distances
from robustkit.records import from_jsonable
from robustkit.report.saving import draw_on
from robustkit.runs.folder import SUMMARY
from robustkit.runs.result import Result
from robustkit.seeds import stream
from robustkit.stats.divergence import Divergence, compare_samples
from robustkit.stats.estimate import Estimate
from robustkit.stats.mmd import MMD, mmd_test
from robustkit.stats.proportions import wilson
from robustkit.stats.summary import Summary
from robustkit.stats.survival import Survival, kaplan_meier
from robustkit.stats.two_sample import ClassifierTest, classifier_two_sample

if TYPE_CHECKING:
    from robustkit.findings.distances.comparison import DistanceComparison
    from robustkit.latent.embeddings import Embeddings

FEWEST = 5  # images, below which no test is made
_MOST_CLOUD = 1500  # points of a cloud in the tests of whole clouds, whose memory grows as its square


@dataclass(frozen=True, eq=False)
class PerturbationSummary:
    """What one perturbation does.

    Attributes:
        name: The perturbation.
        n: Images with a twin.
        changed: Rate of another class among them.
        measures: By the field of the record: median, mean and standard error.
    """

    name: str
    n: int
    changed: Estimate
    measures: dict[str, Summary]


@dataclass(frozen=True, eq=False)
class DistanceSummary:
    """The distances of one model.

    Attributes:
        perturbations: What each does, by name; those with at least one twin.
        attacked: How many images were attacked.
        flipped: How many of them were flipped.
        survival: How many queries images withstand, the unflipped censored; `None` if none was attacked.
        generations: The same in generations.
        between: d_E of the noisy twins against d_E of the flips, on the images that have both; `None` if too few.
        cloud_mmd: Whether clean and noisy latents are one cloud; `None` without noisy twins.
        cloud_classifier: How well a linear classifier tells them apart; `None` without noisy twins.
    """

    perturbations: dict[str, PerturbationSummary]
    attacked: int
    flipped: int
    survival: Survival | None
    generations: Survival | None
    between: Divergence | None
    cloud_mmd: MMD | None
    cloud_classifier: ClassifierTest | None


# The distances of the base, if there is one, and of the model, with their numbers.
Models = Sequence[tuple[DistanceRecord, DistanceSummary]]


@dataclass(frozen=True, eq=False, repr=False)
class DistancesResult(Result):
    """How far noise and single pixels move latents.

    Attributes:
        record: The distances of each image.
        models: The distances of the base, if there is one, and of the model, with their numbers.
        comparison: The model against the base; `None` without a base.
    """

    record: DistanceRecord
    models: Models
    comparison: DistanceComparison | None

    def summary(self) -> dict[str, Any]:
        """The numbers of each model and their comparison, as JSON values."""
        return jsonable({"models": {record.model: one for record, one in self.models}, "comparison": self.comparison})

    def describe(self) -> str:
        """The numbers as a few lines."""
        from robustkit.findings.distances.comparison import describe_comparison

        lines = [describe(record, one) for record, one in self.models]
        return "\n".join(lines if self.comparison is None else [*lines, describe_comparison(self.comparison)])

    def table(self) -> str:
        """A line of CSV per perturbation, measure and model."""
        from robustkit.findings.distances.tables import table

        return table(self.models)

    def plot(self, ax: Any = None) -> Any:
        """Draws the distances as histograms; see `Result.plot`.

        Raises:
            InputError: If too few latents moved to be drawn.
        """
        from robustkit.findings.distances.show import draw_histograms, histograms

        rows = histograms([record for record, _ in self.models], self.comparison)
        if not rows:
            raise InputError("too few latents moved for a histogram; see describe()")
        return draw_on(draw_histograms(rows), ax)


def read_summary(folder: Path, model: str) -> DistanceSummary:
    """The numbers of a model, as `summary.json` holds them; what is not finite comes back as nan.

    Args:
        folder: The folder of the distances.
        model: The model's name.

    Raises:
        InputError: If it does not hold them.
    """
    path = folder / SUMMARY
    models = read_object(path, "the summary of distances", models=dict)["models"]
    return from_jsonable(DistanceSummary, models.get(model), path)


def summarize(record: DistanceRecord, found: Embeddings, *, seed: int = 0, draws: int = 1999) -> DistanceSummary:
    """Summarizes the distances of one model.

    Args:
        record: The distances.
        found: The embeddings that they were measured in.
        seed: Of resamples and relabellings.
        draws: How many of them.
    """
    summaries = {}
    for p, name in enumerate(PERTURBATIONS):
        has = record.has(p)
        if has.any():
            how: dict[str, Any] = {
                "clusters": record.objects[has],
                "draws": draws,
                "rng": stream(seed, name, "distances"),
            }
            measured = summarize_distances(_distances(record, p, has), **how)
            changed = wilson(int((record.new_class[p] != record.clean_class)[has].sum()), int(has.sum()))
            summaries[name] = PerturbationSummary(name, int(has.sum()), changed, measured)
    both = record.has(NOISY) & record.has(PIXEL)
    between = None
    if both.sum() >= FEWEST:
        moved = record.euclidean[[NOISY, PIXEL]][:, both]
        between = compare_samples(*moved, paired=True, draws=draws, rng=stream(seed, "both", "distances"))
    mmd, classifier = _clouds(found, seed, draws)
    return DistanceSummary(
        perturbations=summaries,
        attacked=int(record.attempted.sum()),
        flipped=int(record.flipped.sum()),
        survival=lasting(record, "queries"),
        generations=lasting(record, "generations"),
        between=between,
        cloud_mmd=mmd,
        cloud_classifier=classifier,
    )


def _distances(record: DistanceRecord, perturbation: int, some: np.ndarray) -> Distances:
    names = ["euclidean", "in_scatter", "whitened", "reach", "crossing", "decision_share"]
    fields = {name: getattr(record, name)[perturbation][some] for name in names}
    if not record.affine:
        fields |= dict.fromkeys(("reach", "crossing", "decision_share"))
    return Distances(**fields, shrinkage=record.shrinkage)


def lasting(record: DistanceRecord, unit: str) -> Survival | None:
    """How long images hold out against the record's search, in `queries` or `generations`; `None` if none could."""
    known = np.isfinite(getattr(record, unit)) & (getattr(record, unit) > 0)
    if not known.any():
        return None
    return kaplan_meier(getattr(record, unit)[known], record.fell[known])


def _clouds(found: Embeddings, seed: int, draws: int) -> tuple[MMD | None, ClassifierTest | None]:
    """Tests of clean against noisy latents, of at most so many images, evenly taken."""
    rows = np.flatnonzero(found.has_noisy)
    if len(rows) < FEWEST:
        return None, None
    if len(rows) > _MOST_CLOUD:
        rows = rows[np.linspace(0, len(rows) - 1, _MOST_CLOUD).astype(np.int64)]
    rng = stream(seed, "clouds", "distances")
    clean, noisy = found.clean[rows], found.noisy[rows]
    return (
        mmd_test(clean, noisy, paired=True, draws=draws, rng=rng),
        classifier_two_sample(clean, noisy, paired=True, draws=min(draws, 499), rng=rng),
    )


def describe(record: DistanceRecord, summary: DistanceSummary) -> str:
    """The numbers of one model as lines for a terminal."""
    lines = [f"{record.model}:"]
    for one in summary.perturbations.values():
        lines.append(f"  {one.name}, {one.n} images, class changed in {one.changed}")
        for measure in record.measures():
            if measure.field in one.measures:
                found = one.measures[measure.field]
                error = f"standard error {found.standard_error:.2g}"
                lines.append(f"    {measure.name}: median {found.median}; mean {found.mean}; {error}")
    if summary.survival is not None:
        lines.append(f"  queries of {record.search} to a flip: {summary.survival}")
    if summary.between is not None:
        lines.append(f"  d_E, noisy against one pixel: {summary.between}")
    lines += [f"  clean against noisy latents: {one}" for one in clouds(summary)]
    return "\n".join([*lines, *(f"  {line}" for line in caveats(record, summary))])


def clouds(summary: DistanceSummary) -> list[MMD | ClassifierTest]:
    """The tests of whole clouds that could be made."""
    return [one for one in (summary.cloud_mmd, summary.cloud_classifier) if one is not None]


def caveats(record: DistanceRecord, summary: DistanceSummary) -> list[str]:
    """What has to be known beside the numbers: who is censored, what is not invariant, what is not given."""
    lines = [
        f"of {summary.attacked} images attacked {summary.flipped} were flipped; {summary.attacked - summary.flipped} "
        "never were: they have no distance to a flip, and count as censored"
    ]
    both = record.has(PIXEL) & record.has(NEAREST)
    if both.any():
        farther = np.median(record.euclidean[PIXEL][both] / record.euclidean[NEAREST][both])
        proved = int((record.euclidean[NEAREST] <= record.nearest_floor)[both].sum())
        lines.append(
            f"the flip that a search found lies {farther:.2f} times as far as the nearest flip (median of {both.sum()} "
            f"images, the nearest proved by a complete search in {proved})"
        )
    if not record.affine:
        lines.append("the head is not affine, so t*, margins and decision shares are not given")
    count = record.settings["scatter_from"]
    if np.isnan(record.shrinkage):
        lines.append(
            f"no whitened distance is given: {count} latents scatter in too few directions for a covariance, even a "
            "shrunk one"
        )
    elif record.shrinkage > 0:
        instead = "; compare models by 1 / t*" if record.affine else ""
        lines.append(
            f"the whitened distance rests on {count} latents, too few for the plain covariance, which was shrunk by "
            f"{record.shrinkage:.2g}: it is not invariant, and another scale of one axis can change it several times"
            f"{instead}"
        )
    return lines
