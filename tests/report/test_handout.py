"""The small page and the two printed pages: what they hold, and how large they are."""

import base64
import gzip
import re
from dataclasses import replace

import pytest

from robustkit.report.handout import SUMMARY, write_summary
from robustkit.report.inline import plotly
from robustkit.report.page import LITE, Page, write_page
from robustkit.report.section import Answer, Cell, Chapter, Table
from robustkit.report.sections.facts import Facts
from tests.report.test_page import NASTY, _page


@pytest.fixture(scope="module")
def page():
    answer = Answer("fail", "Not yet.", "1 failed", ("How good: 80 % of the images.",), "a rule")
    return replace(_page(), answer=answer, command="robustkit audit --model ckpt.pt")


@pytest.fixture(scope="module")
def folder(page, tmp_path_factory):
    where = tmp_path_factory.mktemp("lite")
    write_page(page, where, lite=True)
    return where


def test_the_small_page_has_every_section_and_no_script_of_others(folder):
    small, whole = ((folder / name).read_text() for name in (LITE, "report.html"))
    assert len(small.encode()) < 200_000 < len(whole.encode())
    assert re.findall(r'<section class="one" id="([^"]+)"', small) == re.findall(
        r'<section class="one" id="([^"]+)"', whole
    )
    assert 'id="plotly"' not in small
    assert len(re.findall("sha256-", small)) == len(re.findall("<script>", small)) == 1
    assert len(re.findall('src="data:image/webp', small)) == 2  # still pictures
    for name in re.findall(r'href="((?:tables|figures)/[^"]+)"', small):
        assert (folder / name).is_file(), name


def test_plotly_is_packed_whole_and_the_policy_knows_what_is_unpacked(folder):
    html = (folder / "report.html").read_text()
    packed = re.search(r'<script type="application/octet-stream" id="plotly">([^<]*)</script>', html)[1]
    script, again = plotly()
    assert packed == again
    assert gzip.decompress(base64.b64decode(packed)).decode() == script
    assert len(packed) < 0.45 * len(script)


def test_the_summary_is_two_pages_with_the_same_bytes_each_time(page, tmp_path):
    first = write_summary(page, tmp_path)
    content = first.read_bytes()
    assert first == tmp_path / SUMMARY
    assert len(re.findall(rb"/Type /Page\b", content)) == 2
    assert write_summary(page, tmp_path).read_bytes() == content


def test_a_summary_needs_neither_a_verdict_nor_figures(tmp_path):
    rows = [[1, Cell(NASTY, image=0), "0.5"], [2, Cell("y" * 80), ""]]
    table = Facts("fragile-objects", "Fragile objects", "said", ("rank", "id", "margin"), rows)
    bare = Page("Title", "lead", (), (), [Chapter("a", "A", sections=(table,))])
    assert write_summary(bare, tmp_path).stat().st_size > 1000


def test_a_cell_is_its_text_on_the_page_and_its_address_in_a_file(tmp_path):
    link = Cell("Aladin", "https://example.org/?a=1&b=%22", about=f'"{NASTY}')
    table = Facts("links", "Links", "said", ("where",), [[link]])
    html = write_page(Page("T", "l", (), (), [Chapter("a", "A", sections=(table,))]), tmp_path).read_text()
    assert '<a href="https://example.org/?a=1&amp;b=%22" rel="noopener noreferrer"' in html
    assert "onerror=alert(1)>" not in html
    assert Table(("where",), [[link]]).csv() == "where\nhttps://example.org/?a=1&b=%22\n"
    assert (tmp_path / "tables" / "links.tex").read_text().count("Aladin") == 1
