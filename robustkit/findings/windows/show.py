"""What windows leave in their run folder: records, a table, a summary, pictures for the screen and for print."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.errors import InputError
from robustkit.files import own_folder, write_json, write_text
from robustkit.findings.windows.pictures import canonical_pictures, window_pictures
from robustkit.findings.windows.record import Windows
from robustkit.findings.windows.summary import summarise_windows
from robustkit.latent.embeddings import Embeddings
from robustkit.report.palette import Palette
from robustkit.report.saving import save_drawing
from robustkit.report.sections.geometry import draw_canonical, draw_window, draw_windows
from robustkit.tables import Writer

EMBEDDINGS, RECORD, TABLE, SUMMARY = "embeddings.npz", "windows.npz", "windows.csv", "summary.json"
GALLERY, CANONICAL, PICTURES = "gallery", "canonical", "windows"


def write_windows(
    folder: Path,
    embeddings: Embeddings,
    windows: Windows,
    *,
    palette: Palette,
    white: bool,
    about: dict[str, Any],
) -> dict[str, Any]:
    """Writes everything about windows; `summary.json` comes last, so where it is the rest is whole.

    Args:
        folder: An existing folder.
        embeddings: The latents.
        windows: The windows.
        palette: The colours of the classes.
        white: Whether the true class is left white.
        about: What else the summary should say, JSON values.

    Returns:
        The summary.
    """
    embeddings.save(folder / EMBEDDINGS)
    windows.save(folder / RECORD)
    write_text(folder / TABLE, table(windows))
    pictures, rule = window_pictures(windows), windows.settings["shown"]
    files = save_drawing(draw_windows(pictures, palette, rule=rule, white=white), folder, GALLERY)
    own_folder(folder / PICTURES)
    for picture, i in zip(pictures, windows.shown.tolist(), strict=True):
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in str(windows.ids[i]))[:80]
        files += save_drawing(draw_window(picture, palette, white=white), folder / PICTURES, name)
    try:
        files += save_drawing(draw_canonical(canonical_pictures(embeddings), palette), folder, CANONICAL)
        canonical = "drawn"
    except InputError as error:
        canonical = f"not drawn: {error}"
    summary = {
        **summarise_windows(embeddings, windows),
        **about,
        "canonical": canonical,
        "pictures": {"rule": rule, "files": [str(path.relative_to(folder)) for path in files]},
        "colours": {"name": palette.name, "classes": dict(zip(palette.class_names, palette.colours, strict=True))},
    }
    write_json(folder / SUMMARY, summary)
    return summary


def table(windows: Windows) -> str:
    """The windows as CSV, a line for each image; numbers are left empty where there is none."""
    names = windows.class_names
    columns = ["id", "true", "start", "x_end", "y_end", "why_not", "x_crossing", "x_crossing_to", "y_crossing"]
    columns += ["y_crossing_to", "angle_degrees", "x_length", "y_length", "plane_margin", "true_margin"]
    columns += [f"{what}_{name}" for what in ("area", "disc") for name in names] + ["drawn"]
    text = io.StringIO()
    writer = Writer(text)
    writer.writerow(columns)
    classes = [*names, ""]  # -1 is the last one
    for i in range(len(windows.ids)):
        ends = [classes[k] for k in (windows.start[i], windows.x_end[i], windows.y_end[i])]
        to = [classes[k] for k in windows.crossing_to[i]]
        numbers = [windows.crossing[i, 0], to[0], windows.crossing[i, 1], to[1], windows.angle[i], *windows.lengths[i]]
        numbers += [windows.plane_margin[i], windows.true_margin[i], *windows.areas[i], *windows.disc[i]]
        drawn = int(i in windows.shown)
        cells = [_cell(number) for number in numbers]
        writer.writerow([windows.ids[i], names[windows.true[i]], *ends, windows.why_not[i], *cells, drawn])
    return text.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{float(value):.9g}"
