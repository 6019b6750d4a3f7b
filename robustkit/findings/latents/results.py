"""What the latents of an attack say, for use from Python: church windows, a map, distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustkit.errors import InputError
from robustkit.files import jsonable
from robustkit.findings.attack.summary import AttackResult
from robustkit.findings.distances.record import DistanceRecord, measure_distances
from robustkit.findings.distances.show import histograms
from robustkit.findings.distances.show import table as distance_table
from robustkit.findings.distances.summary import DistanceSummary, summarize
from robustkit.findings.distances.summary import describe as describe_distances
from robustkit.findings.latents.attacked import Attacked
from robustkit.findings.latents.measure import Embedded, embed_attacked
from robustkit.findings.maps.measure import table as map_table
from robustkit.findings.maps.record import NEIGHBOURS, LatentMap, map_latents
from robustkit.findings.maps.show import flat_maps
from robustkit.findings.windows.axes import NOISE, ONE_PIXEL, RANDOM, make_axes
from robustkit.findings.windows.pictures import window_pictures
from robustkit.findings.windows.record import Direction, Windows, measure_windows
from robustkit.findings.windows.show import table as window_table
from robustkit.findings.windows.summary import summarise_windows, window_text
from robustkit.latent.any_window import window_method
from robustkit.latent.embeddings import Embeddings
from robustkit.latent.heads import as_function
from robustkit.report.palette import make_palette
from robustkit.report.saving import draw_on
from robustkit.report.sections.distances import draw_histograms
from robustkit.report.sections.geometry import draw_windows
from robustkit.report.sections.latent_maps import draw_maps
from robustkit.runs.result import Result

# Cells along an axis of the windows of a head whose regions have no formula.
RESOLUTION = 151


@dataclass(frozen=True, eq=False, repr=False)
class WindowsResult(Result):
    """Church windows of attacked images.

    Attributes:
        record: The windows.
        latents: The embeddings that they were measured on.
    """

    record: Windows
    latents: Embeddings

    def summary(self) -> dict[str, Any]:
        """The numbers by name, as JSON values."""
        return jsonable(summarise_windows(self.latents, self.record))

    def describe(self) -> str:
        """The numbers as a few lines."""
        return window_text(summarise_windows(self.latents, self.record))

    def table(self) -> str:
        """A line of CSV per image."""
        return window_table(self.record)

    def plot(self, ax: Any = None) -> Any:
        """Draws the windows that a rule chooses."""
        palette = make_palette(self.record.class_names)
        return draw_on(draw_windows(window_pictures(self.record), palette, rule=self.record.settings["shown"]), ax)


@dataclass(frozen=True, eq=False, repr=False)
class MapResult(Result):
    """A map of the latents of clean, noisy and attacked images.

    Attributes:
        record: The map.
        latents: The embeddings that it was made of.
    """

    record: LatentMap
    latents: Embeddings

    def summary(self) -> dict[str, Any]:
        """What the map keeps, and its neighbour graph, as JSON values."""
        one = self.record
        return jsonable({"quality": one.quality, "pieces": one.components, "neighbours": one.scan})

    def describe(self) -> str:
        """The numbers as a few lines."""
        return self.record.text()

    def table(self) -> str:
        """A line of CSV per point."""
        return map_table([self.record])

    def plot(self, ax: Any = None) -> Any:
        """Draws the flat map beside the principal components."""
        return draw_on(draw_maps(flat_maps(self.record, make_palette(self.record.class_names))), ax)


@dataclass(frozen=True, eq=False, repr=False)
class DistancesResult(Result):
    """How far noise and single pixels move latents.

    Attributes:
        record: The distances of each image.
        numbers: Their summary, with intervals.
    """

    record: DistanceRecord
    numbers: DistanceSummary

    def summary(self) -> dict[str, Any]:
        """The numbers by name, as JSON values."""
        return jsonable(self.numbers)

    def describe(self) -> str:
        """The numbers as a few lines."""
        return describe_distances(self.record, self.numbers)

    def table(self) -> str:
        """A line of CSV per perturbation and measure."""
        return distance_table([(self.record, self.numbers)])

    def plot(self, ax: Any = None) -> Any:
        """Draws the distances as histograms.

        Raises:
            InputError: If too few latents moved to be drawn.
        """
        rows = histograms([(self.record, self.numbers)], None)
        if not rows:
            raise InputError("too few latents moved for a histogram; see describe()")
        return draw_on(draw_histograms(rows), ax)


def embedded_of(found: AttackResult, *, noisy: str | None = None, seed: int = 0) -> Embedded:
    """The latents of the images of an attack; the arguments and errors are those of `embed_attacked`."""
    folder = found.folder or Path(".")
    return embed_attacked(Attacked(found.sample, found.record, folder), noisy=noisy, seed=seed, say=lambda line: None)


def windows_of(found: AttackResult, *, noisy: str | None = None, seed: int = 0) -> WindowsResult:
    """Church windows along the flips and the noise, or along random directions if there are no flips or no noise."""
    embedded = embedded_of(found, noisy=noisy, seed=seed)
    return WindowsResult(windows_along(embedded, seed=seed)[0], found.sample, None, embedded.record)


def windows_along(embedded: Embedded, *, seed: int) -> tuple[Windows, tuple[Direction, Direction]]:
    """Church windows of embedded images along the flips and the noise, each random if no image has it.

    Args:
        embedded: The latents.
        seed: Of random directions.

    Returns:
        The windows, and the directions of their axes.

    Raises:
        InputError: If no image has a window.
    """
    record = embedded.record
    x = ONE_PIXEL if record.flipped.any() else RANDOM
    y = NOISE if record.has_noisy.any() else RANDOM
    try:
        window_method(record.head, None)
        resolution = None
    except InputError:
        resolution = RESOLUTION
    axes = make_axes(embedded, x, y, seed=seed)
    return measure_windows(record, *axes, function=as_function(embedded.classifier), resolution=resolution), axes


def map_of(
    found: AttackResult,
    *,
    noisy: str | None = None,
    others: Sequence[str] = (),
    neighbours: int = NEIGHBOURS,
    seed: int = 0,
) -> MapResult:
    """An Isomap of the latents of an attack.

    Args:
        found: The attack.
        noisy: Where the noisy partners of the images come from, such as `exposure:0.1`, or `none`.
        others: Further maps of the same points: `tsne`, `umap`.
        neighbours: How many nearest points each point is joined to.
        seed: Of noise that is made here, of t-SNE and of UMAP.

    Raises:
        InputError: If the network has no latent, or there are too few images for a map.
    """
    record = embedded_of(found, noisy=noisy, seed=seed).record
    name = found.sample.model.stem
    made = map_latents(record, model=name, neighbours=neighbours, others=others, seed=seed)
    return MapResult(made, found.sample, None, record)


def distances_of(found: AttackResult, *, noisy: str | None = None, seed: int = 0) -> DistancesResult:
    """How far latents move under noise and under the flips; see `measure_distances`."""
    embedded = embedded_of(found, noisy=noisy, seed=seed)
    record = measure_distances(embedded.record, found.record, model=found.sample.model.stem)
    return DistancesResult(record, found.sample, None, summarize(record, embedded.record, seed=seed))
