"""The page in a real Chromium, opened from disk: what it shows, what it asks of the network, who can use it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from robustkit.auditing.audit import run_audit
from robustkit.auditing.report import write_report
from robustkit.auditing.request import AttackPart, AuditRequest, SweepPart
from robustkit.data import ImageSet, open_images
from robustkit.models import open_checkpoint, save_checkpoint
from robustkit.report.page import Page, write_page
from robustkit.report.section import Chapter, Check
from tests.audits import make_audit
from tests.report.reports import make_pair, make_sections
from tests.report.test_page import MATHS, NASTY

HERE = Path(__file__).parent
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
CHAPTERS = ["verdict", "clean", "sweeps", "accidents", "one-pixel", "fragile", "geometry", "windows", "maps",
            "distances", "remedy", "comparison", "sensitivity", "limits", "preflight", "provenance", "methods",
            "downloads"]  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(not shutil.which("node"), reason="node is not installed: apt-get install nodejs npm"),
    pytest.mark.skipif(
        not (HERE / "node_modules").is_dir(), reason="run: npm install --prefix tests/browser, or make browser"
    ),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A comparison of two models whose classes and files have names that would like to be markup."""
    folder = tmp_path_factory.mktemp("world")
    model, data = make_audit(folder)
    names = (NASTY, MATHS, "merger")
    images = open_images(data)
    shutil.rmtree(data)
    ImageSet(
        images.images, images.labels, names, images.bands, images.ids, units=images.units, bounds=images.bounds
    ).save(data)
    opened = open_checkpoint(model)
    module = opened.classifier.module
    card = opened.card.__class__(**{**vars(opened.card), "class_names": names, "data": {
        **opened.card.data, "sha256": open_images(data).provenance}})  # fmt: skip
    save_checkpoint(folder / "a & <b>.pt", module, card)
    module.fc.weight.data *= 1.5
    save_checkpoint(folder / "base.pt", module, card)
    request = AuditRequest(
        str(folder / "a & <b>.pt"), base=str(folder / "base.pt"), n=20,
        attack=AttackPart(searches=("random",), budget=60), sweep=SweepPart(perturbations=("gaussian",)),
    )  # fmt: skip
    return run_audit(request, out=folder / "audit", device="cpu", say=lambda line: None).page


@pytest.fixture(scope="module")
def look(page):
    def run(*options, page=page):
        command = ["node", str(HERE / "look.mjs"), str(page), "--browser", CHROMIUM, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def wide(look):
    return look("--hover", "--axe", "--sort", "fragile-objects")


def test_nothing_goes_wrong_and_nothing_is_asked_of_the_network(wide):
    assert (wide["console"], wide["requests"], wide["dialogs"]) == ([], [], 0)


def test_every_chapter_is_there_and_every_figure_is_drawn(wide):
    assert wide["chapters"] == CHAPTERS
    assert wide["empty"] == []
    assert {"recalls", "flip-matrix", "canonical-window", "isomap", "isomap-3d", "tests"} <= set(wide["sections"])


def test_the_first_screen_is_there_before_the_figures_and_all_of_it_soon(wide, page):
    """Wall time depends on what else runs here; the page's own thread works about 3 s on the demo."""
    assert 0 < wide["painted"] < wide["ready"]
    assert wide["busy"] < 6
    assert page.stat().st_size < 8_000_000


def test_names_are_read_as_text(wide):
    assert NASTY in wide["text"]
    assert MATHS in wide["text"]


def test_hover_says_what_a_point_is(wide):
    assert {"recalls-plot", "canonical-window-plot", "isomap-plot"} <= set(wide["hovered"])


def test_the_map_in_space_is_drawn_and_turns(wide):
    (space,) = wide["space"]
    assert space["colours"] > 5
    assert space["turned"]
    assert (space["together"], space["spaces"]) == (True, 2)


def test_who_cannot_see_or_point_can_use_it(wide):
    assert [found for found in wide["axe"] if found["impact"] in ("serious", "critical")] == []


def test_links_lead_somewhere_headings_are_in_order_and_pictures_have_words(wide):
    assert wide["outline"] == {"twice": [], "dangling": [], "skipped": 0, "unnamed": 0}


def test_words_lie_on_no_other_words_and_are_dark_enough(look, tmp_path):
    """At three widths, in the dark and in print, in every kind of drawing."""
    chapter = Chapter("all", "All", ("Every kind.",), (*make_sections(), make_pair()))
    check = Check("c", "A claim of some length that holds", "0.5", "at most 0.1", "warn", "all", word="undecided")
    found = look("--texts", page=write_page(Page("Words", "Lead.", (check,), (), [chapter]), tmp_path))
    good = {"overlapping": [], "cut": [], "pale": []}
    assert found["texts"] == {"1300": good, "dark": good, "800": good, "390": good, "print": good}


def test_the_table_of_fragile_objects_is_sorted_by_a_key(wide):
    assert wide["sorted"] == ["ascending", "descending"]


@pytest.mark.slow
def test_the_small_page_needs_no_script_of_others(look, page, tmp_path):
    write_report(page.parent, lite=True, say=lambda line: None)
    small = page.with_name("report-lite.html")
    assert small.stat().st_size < 1_000_000
    found = look("--axe", page=small)
    assert (found["console"], found["requests"], found["overflow"]) == ([], [], 0)
    assert [one for one in found["axe"] if one["impact"] in ("serious", "critical")] == []


def test_a_narrow_screen_does_not_scroll_sideways(look):
    narrow = look("--width", "390", "--height", "800", "--axe")
    assert narrow["overflow"] <= 0
    assert narrow["console"] == []
    assert [found for found in narrow["axe"] if found["impact"] in ("serious", "critical")] == []


def test_it_can_be_read_in_the_dark(look):
    dark = look("--dark", "--axe")
    assert dark["console"] == []
    assert [found for found in dark["axe"] if found["impact"] in ("serious", "critical")] == []
