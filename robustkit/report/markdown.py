"""The same report as Markdown, for documentation: its tables in full, its drawings as pictures beside it."""

from __future__ import annotations

from pathlib import Path

from robustkit.files import write_text
from robustkit.report.page import FIGURES, TABLES, Page
from robustkit.report.section import Section

_ROWS = 60  # of a long table so many rows are shown


def write_markdown(page: Page, folder: Path, name: str) -> Path:
    """Writes a report that `write_page` has drawn into the same folder as Markdown.

    Args:
        page: The report.
        folder: Where its figures and tables are.
        name: Of the file.
    """
    lines = [f"# {_text(page.title)}", "", _text(page.lead), ""]
    for paragraph in page.verdict_text:
        lines += [_text(paragraph), ""]
    for chapter in page.chapters:
        lines += [f"## {_text(chapter.title)}", ""]
        for paragraph in (*chapter.text, *(f"Not run: {why}" for why in chapter.missing)):
            lines += [_text(paragraph), ""]
        for one in chapter.sections:
            lines += _section(one, folder)
        for heading, text in page.copies.get(chapter.name, []):
            language = "sh" if text.startswith("robustkit ") else "text"
            lines += [f"### {_text(heading)}", "", f"```{language}", *text.splitlines(), "```", ""]
    write_text(folder / name, "\n".join(lines).rstrip() + "\n")
    return folder / name


def _section(one: Section, folder: Path) -> list[str]:
    lines = [f"### {_text(one.title)}", ""]
    picture = folder / FIGURES / f"{one.name}.png"
    drawn = picture.is_file()
    if drawn:
        lines += [f"![{_text(one.title)}]({FIGURES}/{one.name}.png)", ""]
    lines += [_text(one.summary()), ""]
    table = one.table()
    link = f"[{one.name}.csv]({TABLES}/{one.name}.csv)"
    if drawn or not table.rows:
        return [*lines, f"Numbers: {link}.", ""]
    lines += [_row(table.columns), _row(["---"] * len(table.columns))]
    lines += [_row(row) for row in table.rows[:_ROWS]]
    more = f", {len(table.rows)} rows" if len(table.rows) > _ROWS else ""
    return [*lines, "", f"The same as {link}{more}.", ""]


def _row(cells: object) -> str:
    return f"| {' | '.join(_text(cell) for cell in cells)} |"  # type: ignore[attr-defined]


def _text(value: object) -> str:
    """Text that no name in it can turn into markup."""
    return "".join(f"\\{letter}" if letter in "\\`*_#[]<>|" else letter for letter in " ".join(str(value).split()))
