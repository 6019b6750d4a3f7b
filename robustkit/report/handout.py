"""Two pages to print: the answer with its claims, and the figures and the table that stand behind it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from robustkit.drawings import METADATA
from robustkit.errors import InputError
from robustkit.files import atomic_write
from robustkit.report.blocks import Drawing
from robustkit.report.page import Page, looks_of
from robustkit.report.palette import Looks
from robustkit.report.paper import paint
from robustkit.report.saving import printing
from robustkit.report.section import Section, message_of
from robustkit.report.verdict import draw_verdict, in_order

SUMMARY = "summary.pdf"
_A4 = (8.27, 11.69)  # inches
_EDGE = 0.6  # of the paper, inches
_LETTERS = 112  # on a line of 8 points
_COLOURS = {"pass": "#0b6b3a", "warn": "#7a4b00", "fail": "#a3130b", "not run": "#57606a"}
# The figure below the claims, where there is room, and those of the second page: how good it is, one pixel,
# and where it is decided.
_FIRST, _FIGURES = (
    ("perturbations",),
    ("recalls", "confusion", "flips-by-queries", "canonical-window"),
)
_ROOM = 2.4  # inches that the first needs
_TABLE, _ROWS = "fragile-objects", 6
_COLUMNS = ("rank", "id", "RA", "Dec", "class", "becomes", "margin", "least change (sky sigmas)", "faults survived")


def write_summary(page: Page, folder: Path) -> Path:
    """Writes two pages: what was found, and the figures behind it.

    Args:
        page: The report.
        folder: An existing folder.

    Returns:
        The PDF.

    Raises:
        InputError: If the file cannot be written.
    """
    looks, path = looks_of(page), folder / SUMMARY
    try:
        with printing(), atomic_write(path) as file, PdfPages(file, metadata=dict(METADATA["pdf"])) as pages:
            for figure in (_answer(page, looks), _evidence(page, looks)):
                FigureCanvasPdf(figure).print_pdf(pages)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _answer(page: Page, looks: Looks) -> Figure:
    """The first page: title, answer, sentences, and a line for each claim."""
    figure = Figure(figsize=_A4, layout="constrained")
    write = _Writer(figure)
    write(page.title, size=14, weight="bold", most=62)
    write(page.lead, colour="0.3")
    if page.answer is not None:
        write(f"{page.answer.word}  {page.answer.counts}", size=13, weight="bold", most=70, above=0.12,
              colour=_COLOURS[page.answer.status])  # fmt: skip
        for sentence in page.answer.sentences:
            write(sentence, size=9, most=98, above=0.05)
    for sentence in page.gates:
        write(sentence, weight="bold")
    verdict = draw_verdict(page.checks)
    if verdict is not None:
        high = min(verdict.size[1], write.left - 2.4)
        write.down += 0.1
        _place(figure, verdict, looks, (_EDGE, write.down, _A4[0] - 2 * _EDGE, high))
        write.down += high + 0.1
    for check in in_order(page.checks):
        if write.left < 0.55:
            break
        limit = f" ({check.threshold})" if check.threshold else ""
        said = f"{check.word or check.status}: {check.claim}: {check.number or check.measured}{limit}"
        write(said, size=7, most=128, colour=_COLOURS[check.status])
    sections = _sections(page)
    for one, drawing in _drawn(sections, _FIRST)[:1]:
        if write.left > _ROOM + 0.5:
            write(one.title, size=9, weight="bold", above=0.15)
            high = min(drawing.size[1], write.left - 0.5)
            _place(figure, drawing, looks, (_EDGE, write.down + 0.05, _A4[0] - 2 * _EDGE, high))
            write.down += high + 0.1
            write(message_of(one.summary())[0], size=6.5, most=140, colour="0.3")
    _foot(figure, page)
    return figure


def _evidence(page: Page, looks: Looks) -> Figure:
    """The second page: four figures, and the objects that flip most easily."""
    figure = Figure(figsize=_A4, layout="constrained")
    sections = _sections(page)
    first = {one.name for one, _ in _drawn(sections, _FIRST)[:1]}
    chosen = _drawn({name: one for name, one in sections.items() if name not in first}, _FIGURES)
    write, wide, high = _Writer(figure), (_A4[0] - 2 * _EDGE - 0.3) / 2, 3.6
    for place, (one, drawing) in enumerate(chosen):
        left, top = _EDGE + (place % 2) * (wide + 0.3), _EDGE + (place // 2) * (high + 0.85)
        _text(figure, left, top, one.title, size=9, weight="bold")
        _place(figure, drawing, looks, (left, top + 0.2, wide, high))
        said = "\n".join(textwrap.wrap(message_of(one.summary())[0], 62)[:3])
        _text(figure, left, top + high + 0.22, said, size=6.5, colour="0.3")
    write.down = _EDGE + (high + 0.85) * -(-len(chosen) // 2) + 0.1
    table = sections.get(_TABLE)
    if table is not None:
        write(f"{table.title}, the first {_ROWS}", size=9, weight="bold")
        _table(figure, table, write.down)
    _foot(figure, page)
    return figure


def _sections(page: Page) -> dict[str, Section]:
    return {one.name: one for chapter in page.chapters for one in chapter.sections}


def _drawn(sections: dict[str, Section], names: Sequence[str]) -> list[tuple[Section, Drawing]]:
    """The sections of these names that are there, with their drawings; others that are drawn fill the page."""
    flat: list[tuple[Section, Drawing]] = []
    for name in [*names, *(name for name in sections if name not in names)]:
        drawing = sections[name].drawing() if name in sections else None
        if drawing is not None and not any(panel.space for panel in drawing.panels):
            flat.append((sections[name], drawing))
        if len(flat) == len(names):
            break
    return flat


def _place(figure: Figure, drawing: Drawing, looks: Looks, box: tuple[float, float, float, float]) -> None:
    """Paints a drawing on a part of a page: left, top, width and height, inches from its upper left."""
    left, top, width, high = box
    ratios: Any = {
        "width_ratios": (left, width, _A4[0] - left - width), "height_ratios": (top, high, _A4[1] - top - high),
    }  # fmt: skip
    part: Any = figure.add_subfigure(GridSpec(3, 3, figure, wspace=0, hspace=0, **ratios)[1, 1], facecolor="none")
    columns = max(1, min(drawing.columns, round(width / 2.2)))
    paint(replace(drawing, size=(width, high), columns=columns, note=""), looks, part)


def _table(figure: Figure, one: Section, top: float) -> None:
    """The first rows of a table, its columns spread over the page."""
    table = one.table()
    places = [table.columns.index(name) for name in _COLUMNS if name in table.columns]
    step = (_A4[0] - 2 * _EDGE) / len(places)
    for column, place in enumerate(places):
        cells = [table.columns[place], *(str(row[place]) for row in table.rows[:_ROWS])]
        for line, cell in enumerate(cells):
            said = "\n".join(textwrap.wrap(cell, 12)[:3]) if line == 0 else cell[:19]
            _text(figure, _EDGE + column * step, top + 0.17 * line + 0.2 * (line > 0), said, size=6.5,
                  weight="bold" if line == 0 else "normal")  # fmt: skip


def _foot(figure: Figure, page: Page) -> None:
    _text(figure, _EDGE, _A4[1] - 0.45, page.command[:150], size=6, colour="0.3")


def _text(figure: Figure, left: float, top: float, text: str, **look: Any) -> None:
    look["color"] = look.pop("colour", "black")
    figure.text(left / _A4[0], 1 - top / _A4[1], text, va="top", ha="left", **look)


class _Writer:
    """Writes paragraphs one below the other.

    Args:
        figure: The page.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure, self.down = figure, _EDGE

    @property
    def left(self) -> float:
        """Inches that are left on the page."""
        return _A4[1] - _EDGE - self.down

    def __call__(self, text: str, *, size: float = 8, most: int = _LETTERS, above: float = 0.0, **look: Any) -> None:
        lines = textwrap.wrap(text, most) or [""]
        self.down += above
        _text(self.figure, _EDGE, self.down, "\n".join(lines), size=size, linespacing=1.25, **look)
        self.down += len(lines) * size * 1.3 / 72 + 0.03
