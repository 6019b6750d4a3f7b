"""Maps drawn, and what a run of them leaves in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.findings.attack.gallery import draw_grad_cams
from robustkit.findings.finding import ModelRecords
from robustkit.findings.maps.pictures import (
    FlatMaps,
    SpaceMap,
    draw_maps,
    draw_spaces,
    flat_maps,
    space_map,
    space_panel,
)
from robustkit.findings.maps.record import BASE_RECORD, CLEAN, NOISY, RECORD, LatentMap
from robustkit.findings.maps.summary import MapResult, lay_onto
from robustkit.findings.writing import write_finding
from robustkit.records import Record
from robustkit.report.blocks import Drawing
from robustkit.report.films import frames, save_gif, save_mp4
from robustkit.report.palette import Looks, make_palette
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.facts import Facts

TABLE = "isomap.csv"
FLAT, SPACE, FILM, CAM = "isomap", "isomap-3d", "isomap-3d", "grad-cam"


def write_maps(folder: Path, result: MapResult, about: dict[str, Any], drawn: bool) -> list[str]:
    """Writes everything about maps, and returns lines for the terminal; see `write_finding`.

    Args:
        folder: An existing folder.
        result: What was found.
        about: What else the summary says.
        drawn: Whether there are drawings.
    """
    drawings, films = dict[str, Drawing](), list[str]()
    if drawn:
        # The base comes first, as in the papers' figures.
        spaces = [space_map(one, result.palette) for one in result.maps[::-1]]
        drawings |= {FLAT: flat_of(result), SPACE: draw_spaces(spaces)}
        films = _films(folder, result)
    if drawn and result.cams:
        drawings[CAM] = draw_grad_cams(result.cams)
    records = dict[str, Record](zip((RECORD, BASE_RECORD), result.maps, strict=False))
    summary = {**result.summary(), **about, "films": films}
    last = write_finding(folder, records=records, texts={TABLE: result.table()}, drawings=drawings, summary=summary)
    silent = films and all(name.endswith(".gif") for name in films)
    lines = ["no MP4 was written, because ffmpeg is not installed; the turning map is a GIF"] if silent else []
    return [result.describe(), *lines, last]


def flat_of(result: MapResult) -> Drawing:
    """Flat maps beside the principal components, the base first."""
    return draw_maps([points for one in result.maps[::-1] for points in flat_maps(one, result.palette)])


def _films(folder: Path, result: MapResult) -> list[str]:
    """A turning map of each model, as GIF and, where ffmpeg is here, as MP4."""
    files = []
    for suffix, one in zip(("", "-base"), result.maps if result.frames else (), strict=False):
        panel = space_panel(space_map(one, result.palette))
        pictures = list(frames(panel, Looks(result.palette), count=result.frames))
        files.append(save_gif(pictures, folder / f"{FILM}{suffix}.gif"))
        movie = save_mp4(pictures, folder / f"{FILM}{suffix}.mp4")
        files += [movie] if movie is not None else []
    return [path.name for path in files]


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """Maps of the latent space."""
    title = "Maps of the latent space"
    missing = tuple(one.why_missing("isomap") for one in models if one.isomap is None)
    have = [one for one in models if one.isomap is not None]
    if not have:
        return Chapter("maps", title, missing=missing)
    found: list[LatentMap] = []
    for one in have:
        assert one.isomap is not None
        found.append(lay_onto(found[0], one.isomap) if found else one.isomap)
    named = dict(zip([one.label for one in have], found, strict=True))
    rows = [
        (label, name, *(f"{kept[key]:.3f}" for key in _KEPT))
        for label, one in named.items()
        for name, kept in one.quality.items()
    ]
    rows += [(label, "latent space itself", "", "", "", f"{one.latent_hit:.3f}") for label, one in named.items()]
    scan = [
        (label, each["neighbours"], each["components"], *(f"{each[key]:.3f}" for key in _KEPT[:3]))
        for label, one in named.items()
        for each in one.scan
    ]
    moved = ", and ".join(f"{_moved(one)} of {label}" for label, one in named.items())
    said = f"Noise moves into another class {moved}. "
    said += " ".join(f"{label}: {_spoken(one)}" for label, one in named.items())
    palette = make_palette(have[0].class_names)
    every = [flat_maps(one, palette) for one in found]
    flat, controls = [one[0] for one in every], [points for one in every for points in one[1:]]
    ids = found[0].ids
    columns = ("model", "map", "trustworthiness", "continuity", "residual variance", "same class")
    sections: list[Section] = [
        FlatMaps(flat, ids, rows, columns, said),
        FlatMaps(controls, ids, rows, columns, said, CONTROLS, "Other maps of the same latents"),
        SpaceMap([space_map(one, palette) for one in found], ids),
        Facts(
            "neighbours",
            "Isomap against the number of neighbours",
            "Pieces of the neighbour graph before it was repaired, and what the map keeps.",
            ("model", "neighbours", "pieces", "trustworthiness", "continuity", "residual variance"),
            scan,
        ),
    ]
    return Chapter("maps", title, (), tuple(sections), missing, (CONTROLS, "neighbours"))


CONTROLS = "isomap-controls"
_KEPT = ("trustworthiness", "continuity", "residual_variance", "neighbourhood_hit")


def _moved(one: LatentMap) -> str:
    """How many of the noisy latents are given another class than their clean ones."""
    clean = one.predicted[one.kind == CLEAN]  # in the order of the images
    noisy = one.kind == NOISY
    return f"{int((one.predicted[noisy] != clean[one.image[noisy]]).sum())} of {int(noisy.sum())} images"


def _spoken(one: LatentMap) -> str:
    counts = np.bincount(one.kind, minlength=3)
    pieces = (
        f" The neighbour graph fell into {one.components} pieces; the dashed lines that join them are not paths "
        "along the data."
        if one.components > 1
        else ""
    )
    laid = (
        f" Aligned to the first map (Procrustes disparity {one.disparity['flat']:.2f}: 0 is identical, 1 unrelated)."
        if one.disparity
        else ""
    )
    return (
        f"{counts[0]} clean and {counts[1]} noisy latents fitted with {one.settings['neighbours']} neighbours, "
        f"{counts[2]} attacked ones projected.{pieces}{laid}"
    )
