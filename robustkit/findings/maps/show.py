"""From the record of maps to what is drawn of them: pictures can be made again from a run folder alone."""

from __future__ import annotations

import numpy as np

from robustkit.findings.maps.record import LatentMap
from robustkit.report.palette import Palette
from robustkit.report.sections.latent_maps import MapPoints


def flat_maps(one: LatentMap, palette: Palette) -> list[MapPoints]:
    """What is drawn of a model on paper: the Isomap, its control, and what else was asked for."""
    laid = f"\nlaid onto the other with disparity {one.disparity['flat']:.2f}" if one.disparity else ""
    neighbours = one.settings["neighbours"]
    maps = [
        _drawn(one, palette, f"{one.model}: Isomap, {neighbours} neighbours{laid}", one.flat, "axis", one.bridges),
        _drawn(one, palette, f"{one.model}: principal components (control)", one.pca[:, :2], "component"),
    ]
    maps += [_drawn(one, palette, f"{one.model}: t-SNE", one.tsne, "axis")] if len(one.tsne) else []
    return maps + ([_drawn(one, palette, f"{one.model}: UMAP", one.umap, "axis")] if len(one.umap) else [])


def space_map(one: LatentMap, palette: Palette) -> MapPoints:
    """What is drawn of a model in space."""
    return _drawn(one, palette, f"{one.model}", one.solid, "axis", one.bridges)


def _drawn(
    one: LatentMap, palette: Palette, title: str, places: np.ndarray, axes: str, bridges: np.ndarray | None = None
) -> MapPoints:
    joined = np.empty((0, 2), dtype=np.int64) if bridges is None else bridges
    return MapPoints(title, places, one.image, one.kind, one.predicted, one.examples, joined, palette, axes)
