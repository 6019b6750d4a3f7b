"""One page that answers: self-contained HTML made from sections, with their figures and tables beside it."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from robustkit import __version__
from robustkit.errors import InputError, first_line
from robustkit.files import own_folder, write_text
from robustkit.report import screen
from robustkit.report.blocks import Drawing
from robustkit.report.glossary import TERMS, Explainer
from robustkit.report.inline import data_link, drawing_link, plotly, policy, safe_json, small_link
from robustkit.report.palette import DARK, DARK_SCALES, SCALES, Looks
from robustkit.report.paper import paint
from robustkit.report.saving import lay_out, printing, save_print
from robustkit.report.section import Answer, Chapter, Check, Section, message_of
from robustkit.report.verdict import MARKS, bars_of, draw_verdict
from robustkit.tables import latex

PAGE, LITE, FIGURES, TABLES, VERDICT = "report.html", "report-lite.html", "figures", "tables", "verdict"
# Of a long table so many rows are shown, and in the small page.
_ROWS, _FEW_ROWS = 100, 25
# Least widths of drawings of several panels, and of each panel, pixels.
_NARROWEST, _OF_PANEL = 608, 224


@dataclass(frozen=True)
class Download:
    """A file inside the page.

    Attributes:
        name: Its name; it is written beside the page too.
        text: Its content.
        said: What is in it.
    """

    name: str
    text: str
    said: str

    @property
    def link(self) -> str:
        """Its content as a link, or where it lies when it is large."""
        return data_link(self.name, self.text, beside=self.name)


@dataclass(frozen=True)
class Sprite:
    """Small pictures of all images in one picture, row by row.

    Attributes:
        url: The picture as a data: link.
        side: Height and width of each, pixels.
        columns: How many stand in a row.
        rows: How many rows.
        count: How many pictures there are.
    """

    url: str
    side: int
    columns: int
    rows: int
    count: int


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: Its heading.
        lead: What was audited, in a sentence or two.
        checks: The verdict.
        verdict_text: Sentences above the verdict.
        chapters: What follows.
        copies: By chapter, texts to copy, each with a heading.
        downloads: Files inside the page.
        sprite: Pictures for points under the pointer.
        looks: How classes and models are drawn; what else the sections show is added.
        answer: What is said first; `None` for a page without a verdict.
        gates: How the gates ended, a sentence for each.
        command: What makes the page again; empty for nothing to say.
    """

    title: str
    lead: str
    checks: Sequence[Check]
    verdict_text: Sequence[str]
    chapters: Sequence[Chapter]
    copies: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    downloads: Sequence[Download] = ()
    sprite: Sprite | None = None
    looks: Looks = field(default_factory=Looks)
    answer: Answer | None = None
    gates: Sequence[str] = ()
    command: str = ""


def write_page(page: Page, folder: Path, *, workers: Executor | None = None, lite: bool = False) -> Path:
    """Writes the page, and every figure and table beside it.

    Args:
        page: The report.
        folder: An existing folder.
        workers: Who draws the sections; by default this process.
        lite: Whether to write a small page too, for mail and for what builds keep: still pictures, short tables.

    Returns:
        The page.

    Raises:
        InputError: If two sections share a name, or the folder cannot be written.
    """
    names = [chapter.name for chapter in page.chapters] + [one.name for c in page.chapters for one in c.sections]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two parts of the report are called {twice[0]!r}; give each its own name")
    try:
        own_folder(folder / FIGURES)
        own_folder(folder / TABLES)
        drawn = iter(_draw_all(page, folder, workers))
        chapters: list[dict[str, Any]] = [
            {
                **vars(chapter),
                "sections": [next(drawn) for _ in chapter.sections],
                "copies": page.copies.get(chapter.name, []),
            }
            for chapter in page.chapters
        ]
        for file in page.downloads:
            write_text(folder / file.name, file.text)
        verdict = draw_verdict(page.checks)
        if verdict is not None:
            _print(verdict, page.looks, folder, VERDICT)
        write_text(folder / PAGE, _render(page, chapters))
        if lite:
            small = [{**one, "sections": [_small(s, folder) for s in one["sections"]]} for one in chapters]
            write_text(folder / LITE, _render(page, small, lite=True))
    except OSError as error:  # no right, no room, or a file where a folder should be
        raise InputError(f"cannot write the page to {folder}: {error.strerror or error}") from error
    return folder / PAGE


def looks_of(page: Page) -> Looks:
    """The look of everything on a page: what stands for the same is drawn alike from its first figure to its last."""
    looks = page.looks
    for one in (one.drawing() for chapter in page.chapters for one in chapter.sections):
        if one is not None:
            looks = looks.including(one.meanings(), one.palette)
    return looks


def _draw_all(page: Page, folder: Path, workers: Executor | None) -> list[dict[str, Any]]:
    """What the template needs of each section, in their order."""
    sections = [one for chapter in page.chapters for one in chapter.sections]
    draw = partial(_section, folder=folder, looks=looks_of(page))
    if workers is not None:
        try:
            return list(workers.map(draw, sections))
        except BrokenProcessPool:
            pass  # one was killed, for its memory perhaps: here they are drawn one by one
    return [draw(one) for one in sections]


def _section(one: Section, *, folder: Path, looks: Looks) -> dict[str, Any]:
    """Draws a section, writes its files, and returns what the template needs."""
    table, drawing = one.table(), one.drawing()
    csv = table.csv()
    write_text(folder / TABLES / f"{one.name}.csv", csv)
    write_text(folder / TABLES / f"{one.name}.tex", latex(table.columns, table.rows) + "\n")
    said, spec, image = one.summary(), Markup(""), ""
    try:
        if drawing is not None:
            spec, image = safe_json(screen.paint(drawing, looks)), _print(drawing, looks, folder, one.name)
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:  # of robustkit, of a library: the other figures and the page are drawn
        drawing, spec, failed = None, Markup(""), folder / FIGURES / f"{one.name}-failed.txt"
        write_text(failed, traceback.format_exc())
        said += f" This figure could not be drawn ({type(error).__name__}: {first_line(error)}); traceback in {failed}."
    return {
        "name": one.name,
        "title": one.title,
        **dict(zip(("said", "message", "more"), (said, *message_of(said)), strict=True)),
        "narrow": drawing is not None and drawing.narrow,
        "image": image,
        "width": "0" if drawing is None else f"{drawing.size[0]:.2f}",
        "spec": spec,
        "height": 0 if drawing is None else drawing.height,
        "least": 0 if drawing is None else _least(drawing),
        "cameras": drawing is not None and any(panel.space for panel in drawing.panels),
        "columns": table.columns,
        "rows": table.rows[:_ROWS],
        "count": len(table.rows),
        "csv": data_link(f"{one.name}.csv", csv, beside=f"{TABLES}/{one.name}.csv"),
    }


def _rows(chapter: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The open sections of a chapter: a narrow one stands beside the next narrow one, at the place of the first."""
    rows: list[list[dict[str, Any]]] = []
    alone: list[dict[str, Any]] | None = None
    for one in chapter["sections"]:
        if one["name"] in chapter["folded"]:
            continue
        if one["narrow"] and alone is not None:
            alone.append(one)
            alone = None
        else:
            rows.append([one])
            alone = rows[-1] if one["narrow"] else alone
    return rows


def _least(drawing: Drawing) -> int:
    """The width below which a drawing scrolls, pixels; 0 for one that takes any."""
    abreast = min(drawing.columns, len(drawing.panels))
    return drawing.least or (0 if abreast < 2 else max(_NARROWEST, _OF_PANEL * abreast))


def _small(one: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A section of the small page: a still picture, and no file inside."""
    image = small_link(folder / FIGURES / f"{one['name']}.png") if one["image"] else ""
    beside = {"spec": "", "cameras": False, "csv": f"{TABLES}/{one['name']}.csv"}
    return {**one, **beside, "image": image, "rows": one["rows"][:_FEW_ROWS]}


def _print(drawing: Drawing, looks: Looks, folder: Path, name: str) -> str:
    """Writes the drawing for print; returns it as a data: link."""
    with printing():
        figure = paint(drawing, looks)
        lay_out(figure)
        svg = save_print(figure, folder / FIGURES, name)
    return drawing_link(svg, folder / FIGURES / f"{name}.png")


def _render(page: Page, chapters: list[dict[str, Any]], *, lite: bool = False) -> str:
    template = files("robustkit.report") / "template"
    library, packed = ("", "") if lite else plotly()
    script, style = _read(template / "page.js"), _read(template / "page.css")
    for text in (library, script):
        if "</script" in text.lower() or "\r" in text:
            raise AssertionError("a script that would end early, or whose hash would change")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    explain = Explainer()
    environment.filters["explained"] = explain
    return environment.from_string(_read(template / "page.html.j2")).render(
        page=page,
        chapters=[{**one, "rows": _rows(one)} for one in chapters],
        sprite=None
        if page.sprite is None
        else safe_json({name: one for name, one in vars(page.sprite).items() if name != "url"}),
        twins=safe_json(_twins()),
        marks=MARKS,
        bars=bars_of(page.checks),
        afresh=explain.afresh,
        terms=sorted(TERMS.items(), key=lambda one: one[0].lower()),
        version=__version__,
        policy=policy(*filter(None, (library, script))),
        style=Markup(style),
        packed=packed,
        lite=lite,
        script=Markup(script),
    )


def _twins() -> dict[str, str]:
    """The colours of the dark page, by those of the light one."""
    twins = {light.lower(): dark for light, dark in DARK.items()}
    for name, dark in DARK_SCALES.items():
        twins |= {light.lower(): other for light, other in zip(SCALES[name], dark, strict=True)}
    return twins


def _read(resource: Any) -> str:
    return resource.read_text(encoding="utf-8")
