"""Windows drawn, and what a run of them leaves in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.finding import ModelRecords, section_name
from robustkit.findings.latents.show import canonical_pictures, draw_canonical
from robustkit.findings.windows.pairs import PAIRS, Side, pair
from robustkit.findings.windows.pictures import ChurchWindows, draw_window, draw_windows, window_pictures
from robustkit.findings.windows.record import BASE_STAMPS, RECORD, STAMPS
from robustkit.findings.windows.summary import WindowsResult, directions
from robustkit.findings.writing import KINDS, file_name, write_finding
from robustkit.report.blocks import Drawing
from robustkit.report.palette import make_palette
from robustkit.report.section import Chapter, Section

TABLE = "windows.csv"
GALLERY, CANONICAL, PICTURES = "gallery", "canonical", "windows"


def write_windows(folder: Path, result: WindowsResult, about: dict[str, Any], drawn: bool) -> list[str]:
    """Writes everything about windows, and returns lines for the terminal; see `write_finding`.

    Args:
        folder: An existing folder.
        result: What was found.
        about: What else the summary says.
        drawn: Whether there are drawings.
    """
    windows, palette = result.record, result.palette
    drawings, summary = dict[str, Drawing](), {**result.summary(), **about}
    if drawn:
        drawings[GALLERY] = gallery_of(result)
        for picture, i in zip(window_pictures(windows), windows.shown.tolist(), strict=True):
            drawings[f"{PICTURES}/{file_name(str(windows.ids[i]))}"] = draw_window(picture, palette, white=result.white)
        summary["canonical"] = "drawn"
        try:
            drawings[CANONICAL] = draw_canonical(canonical_pictures(result.latents), palette)
        except InputError as error:
            summary["canonical"] = f"not drawn: {error}"
        files = [f"{name}.{kind}" for name in drawings for kind in KINDS]
        summary["pictures"] = {"rule": windows.settings["shown"], "files": files}
        if len(result.sides) > 1:
            summary["paired"] = PAIRS
            try:
                drawings[PAIRS] = pair(result.sides[1], result.sides[0], palette).drawing()
            except InputError as error:
                summary["paired"] = f"not drawn: {error}"
        colours = dict(zip(palette.class_names, palette.colours, strict=True))
        summary["colours"] = {"name": palette.name, "classes": colours}
    texts = {TABLE: result.table()}
    records = {RECORD: windows} | dict(zip((STAMPS, BASE_STAMPS), [one.stamps for one in result.sides], strict=False))
    last = write_finding(folder, records=records, texts=texts, drawings=drawings, summary=summary)
    paired = [f"the same images under both networks: {folder / PAIRS}.pdf"] if PAIRS in drawings else []
    return [result.describe(), *paired, last]


def gallery_of(result: WindowsResult) -> Drawing:
    """The windows that a rule chooses, side by side."""
    rule = result.record.settings["shown"]
    return draw_windows(window_pictures(result.record), result.palette, rule=rule, white=result.white)


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """Slices through the latent space."""
    missing = tuple(one.why_missing("windows") for one in models if one.windows is None)
    sections: list[Section] = []
    for one in models:
        record = one.windows
        if record is None:
            continue
        axes = "; ".join(f"{name} is {words}" for name, words in directions(record).items())
        rows = [
            (
                str(record.ids[i]), record.class_names[record.true[i]], f"{record.angle[i]:.0f}",
                *(f"{x:.4g}" for x in record.crossing[i]), f"{record.plane_margin[i]:.4g}",
                f"{record.true_margin[i]:.4g}", *(f"{x:.3f}" for x in record.areas[i]),
            )
            for i in np.flatnonzero(record.made)
        ]  # fmt: skip
        columns = ["id", "true", "angle", "crossing along x", "along y", "margin in the plane", "in the whole space"]
        columns += [f"area of {name}" for name in record.class_names]
        spoken = (
            f"{one.label}: {int(record.made.sum())} of {len(record.ids)} images have a window ({record.method}). Axes: "
            f"{axes}."
        )
        name = section_name("church-windows", one, models)
        pictures = window_pictures(record)
        palette = make_palette(one.class_names)
        rule = record.settings["shown"]
        sections.append(ChurchWindows(pictures, palette, rule, spoken, rows, columns, one.label, name))
    sides = [
        Side(one.label, one.latents, one.records["stamps"])
        for one in models
        if one.latents is not None and "stamps" in one.records
    ]
    text: tuple[str, ...] = ()
    if len(sides) == 2:
        try:
            sections.insert(0, pair(sides[1], sides[0], make_palette(models[0].class_names)))
        except InputError as error:
            text = (f"{str(error)[0].upper()}{str(error)[1:]}.",)
    folded = tuple(one.name for one in sections[1:])
    return Chapter("windows", "Church windows", text, tuple(sections), missing, folded)
