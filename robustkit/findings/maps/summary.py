"""The numbers of maps: as JSON values, as a few lines, as a table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robustkit.errors import InputError
from robustkit.files import jsonable
from robustkit.findings.maps.record import ATTACKED, KINDS, LatentMap
from robustkit.latent.align import align_maps
from robustkit.report.palette import Palette
from robustkit.report.saving import draw_on
from robustkit.runs.result import Result
from robustkit.tables import Writer, digits

if TYPE_CHECKING:
    from robustkit.findings.attack.gallery import CamPicture

_LAID = ("flat", "solid")


@dataclass(frozen=True, eq=False, repr=False)
class MapResult(Result):
    """A map of the latents of clean, noisy and attacked images.

    Attributes:
        record: The map.
        maps: The map and, laid onto it, that of the base if there is one.
        palette: The colours of the classes.
        frames: How many frames of a turning map are drawn.
        cams: Grad-CAMs of the marked images.
    """

    record: LatentMap
    maps: tuple[LatentMap, ...]
    palette: Palette
    frames: int
    cams: tuple[CamPicture, ...]

    def summary(self) -> dict[str, Any]:
        """What each map keeps, and its neighbour graph, as JSON values."""
        return summary(self.maps)

    def describe(self) -> str:
        """The numbers as a few lines."""
        laid = (
            f"the map of {one.model}, aligned to that of {self.record.model}: Procrustes disparity "
            f"{one.disparity['flat']:.2f} (0 is identical, 1 unrelated)"
            for one in self.maps[1:]
        )
        return "\n".join([*map(describe, self.maps), *laid])

    def table(self) -> str:
        """A line of CSV per point."""
        return table(self.maps)

    def plot(self, ax: Any = None) -> Any:
        """Draws the flat map beside the principal components; see `Result.plot`."""
        from robustkit.findings.maps.show import flat_of

        return draw_on(flat_of(self), ax)


def lay_onto(reference: LatentMap, moved: LatentMap) -> LatentMap:
    """A map of another model, turned, mirrored, shifted and scaled onto a reference by the points that both show.

    The images that are marked on the reference are marked on it too.

    Args:
        reference: The map that stays.
        moved: The other one.

    Raises:
        InputError: If they share fewer than 5 images.
    """
    where = {key: p for p, key in enumerate(_keys(reference)) if key[1] != ATTACKED}
    keys = _keys(moved)
    shared = [p for p, key in enumerate(keys) if key in where]
    if len(shared) < 5:
        raise InputError(f"the two models share {len(shared)} points, too few to align the maps")
    there = [where[keys[p]] for p in shared]

    alignments = {name: align_maps(getattr(reference, name)[there], getattr(moved, name)[shared]) for name in _LAID}
    laid = {name: alignments[name](getattr(moved, name)) for name in _LAID}
    same = np.flatnonzero(np.isin(moved.ids, reference.ids[reference.examples]))
    order = [int(i) for name in reference.ids[reference.examples] for i in same if moved.ids[i] == name]
    laid["examples"] = np.array(order, dtype=np.int64)
    return replace(moved, **laid, disparity={name: alignments[name].disparity for name in _LAID})


def _keys(one: LatentMap) -> list[tuple[str, int]]:
    """What each point shows, by the id of the image and the kind."""
    return [(str(one.ids[i]), int(k)) for i, k in zip(one.image, one.kind, strict=True)]


def summary(maps: Sequence[LatentMap]) -> dict[str, Any]:
    """What each map keeps, and its neighbour graph, as JSON values."""
    keys = ("quality", "latent_hit", "scan", "components", "largest", "duplicates", "disparity", "settings")
    numbers = {}
    for one in maps:
        counts = {name: int((one.kind == k).sum()) for k, name in enumerate(KINDS)}
        marked = [str(one.ids[i]) for i in one.examples]
        numbers[one.model] = {**{key: getattr(one, key) for key in keys}, "points": counts, "examples": marked}
    return jsonable({"maps": numbers})


def describe(one: LatentMap) -> str:
    """The numbers of a map as lines for a terminal."""
    counts = [f"{int((one.kind == k).sum())} {name}" for k, name in enumerate(KINDS[:2])]
    lines = [
        f"{' and '.join(counts)} latents fitted, {int((one.kind == ATTACKED).sum())} attacked ones projected; "
        f"{one.settings['method']}, {one.settings['neighbours']} neighbours"
    ]
    if one.duplicates:
        lines.append(f"{one.duplicates} latents are exact copies of others and were left out of the fit")
    if one.components > 1:
        lines.append(
            f"the neighbour graph falls into {one.components} pieces, the largest of {one.largest} points; they "
            f"were joined by their closest pairs ({len(one.bridges)} dashed lines), which are not paths "
            "along the data"
        )
    lines.append(f"{'map':<12} {'trust':>7} {'contin.':>8} {'resid. var.':>12} {'same class':>11}")
    for name, found in one.quality.items():
        values = (found[key] for key in ("trustworthiness", "continuity"))
        rest = f"{found['residual_variance']:>12.3f} {found['neighbourhood_hit']:>11.3f}"
        lines.append(f"{name:<12} {next(values):>7.3f} {next(values):>8.3f} {rest}")
    lines.append(f"{'latent space':<12} {'':>7} {'':>8} {'':>12} {one.latent_hit:>11.3f}")
    shown = (
        f"{row['neighbours']}: {row['components']} piece{'s' * (row['components'] > 1)}, "
        f"residual variance {row['residual_variance']:.3f}"
        for row in one.scan
    )
    lines.append("neighbours, pieces before repair: " + "; ".join(shown))
    return "\n".join(lines)


def table(maps: Sequence[LatentMap]) -> str:
    """The points as CSV, a line each."""
    text = io.StringIO()
    writer = Writer(text)
    places = ["flat_1", "flat_2", *(f"{name}_{d}" for name in ("solid", "pca") for d in (1, 2, 3))]
    writer.writerow(["model", "id", "kind", "true", "predicted", *places, "tsne_1", "tsne_2", "umap_1", "umap_2"])
    for one in maps:
        names = one.class_names
        for p in range(len(one.kind)):
            i = one.image[p]
            line = [one.model, one.ids[i], KINDS[one.kind[p]], names[one.true[i]], names[one.predicted[p]]]
            places = [*one.flat[p], *one.solid[p], *one.pca[p]]
            for other in (one.tsne, one.umap):
                places += [*other[p]] if len(other) else [np.nan, np.nan]
            writer.writerow(line + [digits(x) for x in places])
    return text.getvalue()
