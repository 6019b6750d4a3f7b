"""One page that answers: self-contained HTML made from sections, with their figures and tables beside it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

from robustkit import __version__
from robustkit.errors import InputError
from robustkit.files import own_folder, write_text
from robustkit.report import screen
from robustkit.report.blocks import Drawing
from robustkit.report.glossary import TERMS, Explainer
from robustkit.report.palette import DARK, DARK_SCALES, SCALES, Looks
from robustkit.report.paper import paint
from robustkit.report.saving import lay_out, printing, save_print
from robustkit.report.section import Answer, Chapter, Check, Section
from robustkit.report.verdict import MARKS, bars_of, draw_verdict
from robustkit.tables import latex

PAGE, FIGURES, TABLES, VERDICT = "report.html", "figures", "tables", "verdict"
# Of a long table so many rows are shown; a file of more bytes is linked beside and not embedded; a larger drawing
# is embedded as a picture.
_ROWS, _EMBEDDED, _LARGE_SVG = 100, 1_000_000, 80_000


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


def write_page(page: Page, folder: Path, *, workers: Executor | None = None) -> Path:
    """Writes the page, and every figure and table beside it.

    Args:
        page: The report.
        folder: An existing folder.
        workers: Who draws the sections; by default this process.

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
        chapters = [
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
    except OSError as error:  # no right, no room, or a file where a folder should be
        raise InputError(f"cannot write the page to {folder}: {error.strerror or error}") from error
    return folder / PAGE


def data_link(name: str, text: str, *, beside: str) -> str:
    """Text as a data: link, or as a link to the file beside the page when it is large."""
    content = text.encode()
    if len(content) > _EMBEDDED:
        return beside
    kind = {"csv": "text/csv", "json": "application/json", "xml": "text/xml"}.get(name.rpartition(".")[2], "text/plain")
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(content).decode()}"


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
    figure = None if drawing is None else screen.paint(drawing, looks)
    return {
        "name": one.name,
        "title": one.title,
        "said": one.summary(),
        "image": "" if drawing is None else _print(drawing, looks, folder, one.name),
        "width": "0" if drawing is None else f"{drawing.size[0]:.2f}",
        "spec": "" if figure is None else _safe_json(figure),
        "height": 0 if drawing is None else drawing.height,
        "columns_abreast": 1 if drawing is None else min(drawing.columns, len(drawing.panels)),
        "cameras": drawing is not None and any(panel.space for panel in drawing.panels),
        "columns": table.columns,
        "rows": table.rows[:_ROWS],
        "count": len(table.rows),
        "csv": data_link(f"{one.name}.csv", csv, beside=f"{TABLES}/{one.name}.csv"),
    }


def _print(drawing: Drawing, looks: Looks, folder: Path, name: str) -> str:
    """Writes the drawing for print; returns it as a data: link."""
    with printing():
        figure = paint(drawing, looks)
        lay_out(figure)
        svg = save_print(figure, folder / FIGURES, name)
    return _embedded(svg, folder / FIGURES / f"{name}.png")


def _embedded(svg: bytes, png: Path) -> str:
    """A drawing as a data: link: as SVG, or, where that is large, as a WebP picture, three fifths of the PNG."""
    if len(svg) <= _LARGE_SVG:
        return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    picture = io.BytesIO()
    with Image.open(png) as drawn:
        size = (3 * drawn.width // 5, 3 * drawn.height // 5)
        drawn.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(picture, format="WEBP", quality=72)
    return f"data:image/webp;base64,{base64.b64encode(picture.getvalue()).decode()}"


def _render(page: Page, chapters: list[dict[str, Any]]) -> str:
    template = files("robustkit.report") / "template"
    # The script alone: importing plotly takes longer than drawing a figure.
    plotly, script, style = _plotly(), _read(template / "page.js"), _read(template / "page.css")
    for text in (plotly, script):
        if "</script" in text.lower() or "\r" in text:
            raise AssertionError("a script that would end early, or whose hash would change")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    explain = Explainer()
    environment.filters["explained"] = explain
    return environment.from_string(_read(template / "page.html.j2")).render(
        page=page,
        chapters=chapters,
        sprite=None
        if page.sprite is None
        else _safe_json({name: one for name, one in vars(page.sprite).items() if name != "url"}),
        twins=_safe_json(_twins()),
        marks=MARKS,
        bars=bars_of(page.checks),
        afresh=explain.afresh,
        terms=sorted(TERMS.items(), key=lambda one: one[0].lower()),
        version=__version__,
        policy=_policy(plotly, script),
        style=Markup(style),
        plotly=Markup(plotly),
        script=Markup(script),
    )


def _twins() -> dict[str, str]:
    """The colours of the dark page, by those of the light one."""
    twins = {light.lower(): dark for light, dark in DARK.items()}
    for name, dark in DARK_SCALES.items():
        twins |= {light.lower(): other for light, other in zip(SCALES[name], dark, strict=True)}
    return twins


def _plotly() -> str:
    found = find_spec("plotly")
    assert found is not None
    assert found.submodule_search_locations
    return (Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """Only the page's own scripts run, and nothing is loaded from anywhere."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    # Plotly writes its own style rules, so styles cannot be held to a hash.
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _safe_json(value: Any) -> Markup:
    """JSON that no name in it can end or open: <, > and & as escapes."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def _read(resource: Any) -> str:
    return resource.read_text(encoding="utf-8")
