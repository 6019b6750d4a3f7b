"""Windows drawn, and what a run of them leaves in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustkit.errors import InputError
from robustkit.findings.windows.pictures import canonical_pictures, window_pictures
from robustkit.findings.windows.record import RECORD
from robustkit.findings.windows.summary import WindowsResult
from robustkit.findings.writing import write_finding
from robustkit.report.blocks import Drawing
from robustkit.report.saving import draw_on
from robustkit.report.sections.geometry import draw_canonical, draw_window, draw_windows

TABLE = "windows.csv"
GALLERY, CANONICAL, PICTURES = "gallery", "canonical", "windows"


def write_windows(folder: Path, result: WindowsResult, about: dict[str, Any], drawn: bool) -> list[str]:
    """Writes everything about windows.

    Args:
        folder: An existing folder.
        result: The windows.
        about: What else the summary says, JSON values.
        drawn: Whether pictures are drawn.

    Returns:
        Lines for the terminal.
    """
    windows, palette = result.record, result.palette
    drawings, summary = dict[str, Drawing](), {**result.summary(), **about}
    if drawn:
        drawings[GALLERY] = _gallery(result)
        for picture, i in zip(window_pictures(windows), windows.shown.tolist(), strict=True):
            name = "".join(c if c.isalnum() or c in "-_." else "_" for c in str(windows.ids[i]))[:80]
            drawings[f"{PICTURES}/{name}"] = draw_window(picture, palette, white=result.white)
        summary["canonical"] = "drawn"
        try:
            drawings[CANONICAL] = draw_canonical(canonical_pictures(result.latents), palette)
        except InputError as error:
            summary["canonical"] = f"not drawn: {error}"
        summary["pictures"] = {"rule": windows.settings["shown"], "drawn": list(drawings)}
        colours = dict(zip(palette.class_names, palette.colours, strict=True))
        summary["colours"] = {"name": palette.name, "classes": colours}
    texts = {TABLE: result.table()}
    last = write_finding(folder, records={RECORD: windows}, texts=texts, drawings=drawings, summary=summary)
    return [result.describe(), last]


def plot(result: WindowsResult, on: Any = None) -> Any:
    """Draws the windows that a rule chooses.

    Args:
        result: The windows.
        on: A Matplotlib axes or figure; by default a new figure.

    Returns:
        The figure.
    """
    return draw_on(_gallery(result), on)


def _gallery(result: WindowsResult) -> Drawing:
    rule = result.record.settings["shown"]
    return draw_windows(window_pictures(result.record), result.palette, rule=rule, white=result.white)
