"""Figures at the widths of journals: 8 points in the file are 8 points on the page, because nothing is scaled."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib

from robustkit.errors import InputError
from robustkit.files import own_folder
from robustkit.report.blocks import Drawing
from robustkit.report.page import FIGURES, Page, looks_of
from robustkit.report.paper import FONT, paint
from robustkit.report.saving import lay_out, printing, save_print
from robustkit.words import no_such

# The widths of one column and of the page, in TeX points, as the classes mnras, aastex and aa print them.
WIDTHS = {"mnras": (240.0, 504.0), "apj": (252.0, 510.0), "aa": (250.4, 512.1)}
_TEX_POINT = 1 / 72.27  # inches
_HIGHEST = 9.0  # inches, which leaves room for a caption on every one of these pages
_LEAST = 0.8  # inches, which hold a title of 8 points
DPI = 300


def save_for_journal(page: Page, folder: Path, journal: str) -> Path:
    """Writes every figure of a page twice, for one column and for the width of the page, as PDF and as PNG of 300 dpi.

    Args:
        page: The report.
        folder: Where it is; the figures go into a folder of the journal's name beside the others.
        journal: A name in `WIDTHS`.

    Returns:
        The folder of the figures.

    Raises:
        InputError: If the journal is not known.
    """
    if journal not in WIDTHS:
        raise InputError(no_such("journal", journal, WIDTHS))
    where = own_folder(own_folder(folder / FIGURES) / journal)
    looks = looks_of(page)
    same: Any = {"legend.fontsize": FONT, "xtick.labelsize": FONT, "ytick.labelsize": FONT}
    for one in (section for chapter in page.chapters for section in chapter.sections):
        drawing = one.drawing()
        if drawing is None:
            continue
        for name, width in zip(("column", "page"), WIDTHS[journal], strict=True):
            with printing(), matplotlib.rc_context(same):
                figure = paint(fitted(drawing, width * _TEX_POINT), looks)
                lay_out(figure)
                save_print(figure, where, f"{one.name}-{name}", ("pdf", "png"), dpi=DPI)
    return where


def fitted(drawing: Drawing, width: float) -> Drawing:
    """A drawing at another width: fewer panels side by side where it is narrower, and its panels in their proportion.

    Of rows that would only fit with panels too small for their titles, those that fit are kept, the first first.

    Args:
        drawing: The drawing; what its note says belongs in the caption.
        width: Inches.
    """
    count, old = len(drawing.panels), max(1, min(drawing.columns, len(drawing.panels)))
    first = columns = max(1, min(old, round(old * width / drawing.size[0])))
    height = _height(drawing, width, columns, old)
    while height > _HIGHEST and columns < count:  # small panels beside each other are better than flat ones
        columns += 1
        while drawing.rows and old % columns and columns < old:  # parted evenly, or not at all
            columns += 1
        height = _height(drawing, width, columns, old)
    if drawing.rows and columns > first and width / columns < _LEAST and count > old:
        shorter = replace(drawing, panels=drawing.panels[: count - old], size=_without_row(drawing, count // old))
        return fitted(shorter, width)
    return replace(drawing, size=(width, min(height, _HIGHEST)), columns=columns, note="")


def _without_row(drawing: Drawing, rows: int) -> tuple[float, float]:
    """The size of a drawing that has lost one of its rows."""
    return drawing.size[0], drawing.size[1] * (rows - 1) / rows


def _height(drawing: Drawing, width: float, columns: int, old: int) -> float:
    """Inches that so many panels side by side need, in their proportion; a single one is not made flatter."""
    count = len(drawing.panels)
    rows, before = math.ceil(count / columns), math.ceil(count / old)
    taller = rows / before * (width / columns) / (drawing.size[0] / old)
    return drawing.size[1] * (taller if count > 1 else max(1.0, taller))
