"""Figures for journals are as wide as their columns, and their letters are of 8 points there."""

import re
import zlib
from dataclasses import replace

import pytest
from PIL import Image

from robustkit.errors import InputError
from robustkit.report.blocks import Axis, Drawing, Panel
from robustkit.report.journal import WIDTHS, fitted, save_for_journal
from robustkit.report.page import Page
from robustkit.report.section import Chapter
from robustkit.report.sections.forest import Forest
from robustkit.stats import Estimate
from tests.report.reports import make_pair


def page():
    rows = [(f"fault {i}", "net", Estimate(0.1 * i, 0.1 * i - 0.05, 0.1 * i + 0.05, 50)) for i in range(5)]
    return Page("Title", "", (), (), [Chapter("one", "One", sections=(Forest("losses", "Losses", "rate", rows),))])


def width_of(pdf):
    """In points of PostScript."""
    return float(re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", pdf.read_bytes())[1])


def sizes_of(pdf):
    """The sizes of type in a PDF, points."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf.read_bytes(), re.DOTALL)
    found = set()
    for one in streams:
        try:
            found |= {float(size) for size in re.findall(rb"/F\d+ ([\d.]+) Tf", zlib.decompress(one))}
        except zlib.error:
            continue
    return found


@pytest.mark.parametrize("journal", WIDTHS)
def test_figures_are_as_wide_as_the_columns_with_letters_of_8_points(tmp_path, journal):
    where = save_for_journal(page(), tmp_path, journal)
    assert {path.name for path in where.iterdir()} == {
        f"losses-{name}.{kind}" for name in ("column", "page") for kind in ("pdf", "png")
    }
    for name, points in zip(("column", "page"), WIDTHS[journal], strict=True):
        assert width_of(where / f"losses-{name}.pdf") == pytest.approx(points / 72.27 * 72, abs=0.6)
        assert sizes_of(where / f"losses-{name}.pdf") == {8.0}
        with Image.open(where / f"losses-{name}.png") as picture:
            assert picture.size[0] == pytest.approx(points / 72.27 * 300, abs=2)


def test_the_same_galaxies_under_two_networks_are_a_figure_of_a_journal(tmp_path):
    paired = make_pair()
    where = save_for_journal(Page("Title", "", (), (), [Chapter("one", "One", sections=(paired,))]), tmp_path, "mnras")
    assert width_of(where / "paired-windows-page.pdf") == pytest.approx(504 / 72.27 * 72, abs=0.6)
    assert sizes_of(where / "paired-windows-page.pdf") == {8.0}
    # In one column a row is parted evenly, one half for each network; rows that do not fit then are left out.
    whole = paired.drawing()
    many = replace(whole, panels=[*whole.panels] * 5, size=(whole.size[0], 5 * whole.size[1]))
    for drawing in (whole, many):
        narrow = fitted(drawing, 240 / 72.27)
        assert narrow.columns == 3
        assert narrow.size[1] <= 9.0
        assert len(narrow.panels) % 6 == 0
    assert 6 < len(narrow.panels) < len(many.panels)


def test_many_panels_stand_below_each_other_in_one_column():
    panel = Panel([], x=Axis("x"), y=Axis("y"))
    narrow = fitted(Drawing([panel] * 4, size=(7.0, 2.0), columns=4), 3.3)
    assert (narrow.columns, len(narrow.panels)) == (2, 4)
    assert narrow.size[1] == pytest.approx(2.0 * 2 * (3.3 / 2) / (7.0 / 4))
    windows = fitted(Drawing([panel] * 6, size=(7.0, 5.0), columns=3), 3.3)
    assert (windows.columns, windows.size[1] <= 9.0) == (2, True)
    assert fitted(Drawing([panel] * 40, size=(7.0, 2.0), columns=1), 3.3).size[1] <= 9.0


def test_a_journal_that_is_not_known_gets_a_guess(tmp_path):
    with pytest.raises(InputError, match="unknown journal 'mnrs'; did you mean 'mnras'"):
        save_for_journal(page(), tmp_path, "mnrs")
