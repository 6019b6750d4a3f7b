import re

import numpy as np
import pytest

from robustkit.report.blocks import Drawing, Panel, Series
from robustkit.report.markdown import write_markdown
from robustkit.report.page import Page, write_page
from robustkit.report.section import Chapter
from robustkit.report.sections.facts import Facts

NASTY = "</script><img src=x onerror=alert(1)> | `a` [b](c) *d* _e_ \\f\n# g"


class Drawn(Facts):
    def drawing(self):
        return Drawing([Panel([Series(np.arange(2.0), np.arange(2.0))])], (2, 1))


def page_of(*sections, **more):
    chapter = Chapter("first", "First", ("What it says.",), sections, missing=("the sweep: run robustkit sweep",))
    return Page("Title", "Lead.", (), ("Verdict.",), (chapter,), **more)


def written(tmp_path, page):
    write_page(page, tmp_path)
    return write_markdown(page, tmp_path, "index.md").read_text()


def test_tables_stand_in_full_and_drawings_are_linked(tmp_path):
    rows = [("a", 1), ("b", 2)]
    text = written(
        tmp_path, page_of(Facts("t", "T", "Said.", ("x", "y"), rows), Drawn("d", "D", "Seen.", ("x",), [(1,)]))
    )
    assert "| x | y |\n| --- | --- |\n| a | 1 |\n| b | 2 |\n" in text
    assert "![D](figures/d.png)" in text
    assert (tmp_path / "figures" / "d.png").is_file()
    for name in re.findall(r"\]\((tables/[^)]+)\)", text):
        assert (tmp_path / name).is_file()
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# Title", "## First", "### T", "### D"]
    assert "Not run: the sweep: run robustkit sweep" in text


def test_a_long_table_is_cut_and_says_so(tmp_path):
    text = written(tmp_path, page_of(Facts("t", "T", "Said.", ("x",), [(i,) for i in range(75)])))
    assert text.count("\n| ") == 62
    assert "The same as [t.csv](tables/t.csv), 75 rows." in text


@pytest.mark.parametrize("letter", list("`*[]<>|_"))
def test_no_name_becomes_markup(tmp_path, letter):
    text = written(tmp_path, page_of(Facts("t", NASTY, NASTY, (NASTY,), [(NASTY,)])))
    lines = [line for line in text.splitlines() if "onerror" in line]
    assert len(lines) == 4
    for line in lines:
        inside = line.removeprefix("### ").removeprefix("| ").removesuffix(" |")
        assert all(
            before == "\\" for before, found in zip(" " + inside, inside, strict=False) if found == letter != "\\"
        )


def test_no_sentence_becomes_a_heading(tmp_path):
    text = written(tmp_path, page_of(Facts("t", "T", "# not a heading", ("x",), [(1,)])))
    assert "\n\\# not a heading\n" in text


def test_texts_to_copy_are_fenced(tmp_path):
    text = written(tmp_path, page_of(copies={"first": [("Command", "robustkit audit\n--quick")]}))
    assert "### Command\n\n```sh\nrobustkit audit\n--quick\n```\n" in text
