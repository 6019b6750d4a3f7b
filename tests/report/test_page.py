import base64
import gzip
import hashlib
import json
import re
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.report.page import Download, Page, write_page
from robustkit.report.section import Chapter, Check
from robustkit.report.sections.facts import Facts
from robustkit.report.sections.forest import Forest
from robustkit.report.sections.matrix import Matrix
from robustkit.runs.local import local_workers
from robustkit.stats import wilson

NASTY = "</script><img src=x onerror=alert(1)>"
MATHS = "$\\frac{$"


def _page(name=NASTY, other=MATHS, **more):
    forest = Forest("rates", f"Rates of {name}", f"rate of {other}", [(name, other, wilson(3, 10))], said=other)
    matrix = Matrix(
        "matrix", other, {name: np.array([[3, 1], [0, 6]])}, {name: np.array([4, 6])}, [name, other], "class", "Said."
    )
    facts = Facts("facts", name, other, (name, other), [(name, other)])
    options = {
        "title": name,
        "lead": other,
        "checks": [Check("a", name, other, name, "warn", "one")],
        "verdict_text": (name,),
        "chapters": [Chapter("one", name, (other,), (forest, matrix, facts)), Chapter("two", other, missing=(name,))],
        "copies": {"one": [(name, other)]},
        "downloads": [Download("a.csv", name, other)],
    }
    return Page(**{**options, **more})


def test_names_are_text_whatever_is_in_them(tmp_path):
    html = write_page(_page(), tmp_path).read_text()
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert html.count("</script>") == html.count("<script")
    for spec in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.S):
        figure = json.loads(spec)
        # Plotly reads markup in its texts, so a name must come as entities.
        assert "<img" not in json.dumps(figure)
    assert (tmp_path / "figures" / "rates.pdf").stat().st_size > 1000
    assert NASTY in (tmp_path / "tables" / "rates.csv").read_text()


def test_the_policy_lets_only_the_scripts_of_the_page_run(tmp_path):
    html = write_page(_page(), tmp_path).read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-eval" not in policy
    allowed = set(re.findall(r"'sha256-([^']*)'", policy))
    packed = re.search(r'id="plotly">([^<]*)</script>', html)[1]
    scripts = [*re.findall(r"<script>(.*?)</script>", html, re.S), gzip.decompress(base64.b64decode(packed)).decode()]
    assert {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts} == allowed
    assert len(scripts) == 2
    assert not re.search(r'(?:src|href)="(?:https?:)?//', re.sub(r"<script>.*?</script>", "", html, flags=re.S))


def test_every_figure_has_its_words_its_table_and_its_files(tmp_path):
    html = write_page(_page("spiral", "merger"), tmp_path).read_text()
    assert html.count('role="img"') == 2
    for name in ("rates", "matrix"):
        assert f'data-figure="{name}"' in html
        assert f'<a download="{name}.csv" href="data:text/csv' in html
        for kind in ("pdf", "svg", "png"):
            assert (tmp_path / "figures" / f"{name}.{kind}").stat().st_size > 500
    assert "Not run." in html
    assert "! warn" in html


def test_the_same_page_is_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_page(_page(), tmp_path / name)
    for file in ("report.html", "figures/rates.svg", "figures/rates.pdf", "tables/facts.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


class _Killed(Executor):
    def map(self, *arguments, **options):
        raise BrokenProcessPool


def test_workers_draw_the_same_bytes_and_their_death_loses_nothing(tmp_path):
    with local_workers([None]) as pool:
        for name, workers in (("here", None), ("there", pool), ("killed", _Killed())):
            (tmp_path / name).mkdir()
            write_page(_page(), tmp_path / name, workers=workers)
    files = sorted(path.relative_to(tmp_path / "here") for path in (tmp_path / "here").rglob("*.*"))
    assert len(files) == 1 + 1 + 3 * 2 + 3 * 2
    for file in files:
        for name in ("there", "killed"):
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "here" / file).read_bytes()


def test_narrow_figures_stand_side_by_side_and_captions_are_one_message(tmp_path):
    rows = [("spiral", "net", wilson(3, 10))]
    narrow = [
        Forest(name, name, "rate", rows, said=f"Of the {name}-figure. How to read it.", narrow=True) for name in "abc"
    ]
    wide = Forest("wide", "Wide", "rate", rows, said="Wide.")
    chapter = Chapter("one", "One", (), (narrow[0], wide, *narrow[1:]), folded=("c",))
    html = write_page(_page(chapters=[chapter], copies={}), tmp_path).read_text()
    pair, _, rest = html.partition('<div class="pair">')[2].partition('<section class="one" id="wide"')
    assert re.findall(r'<section class="one" id="(\w+)"', pair) == ["a", "b"]
    assert '<div class="pair">' not in rest
    assert "<figcaption>Of the a-figure.</figcaption>" in pair
    assert '<p class="how">How to read it.' in pair


def test_two_parts_of_one_name_are_refused(tmp_path):
    twice = [Chapter("one", "One"), Chapter("one", "One again")]
    with pytest.raises(InputError, match="two parts of the report are called 'one'"):
        write_page(_page(chapters=twice), tmp_path)


def test_a_long_table_is_shown_in_part_and_lies_beside_in_full(tmp_path):
    rows = [(str(i), "x" * 200) for i in range(8000)]
    facts = Facts("long", "Long", "Said.", ("a", "b"), rows)
    html = write_page(_page(chapters=[Chapter("one", "One", sections=(facts,))]), tmp_path).read_text()
    assert "The first 100 of 8000 rows" in html
    assert 'href="tables/long.csv"' in html
    assert (tmp_path / "tables" / "long.csv").read_text().count("\n") == 8001


def test_a_figure_that_fails_leaves_the_rest_of_the_page(tmp_path, monkeypatch):
    from robustkit.report import page as module

    paint = module.screen.paint

    def broken(drawing, looks):
        if broken.calls == 0:
            broken.calls += 1
            raise ValueError("no such colour")
        return paint(drawing, looks)

    broken.calls = 0
    monkeypatch.setattr(module.screen, "paint", broken)
    html = write_page(_page("one", "two"), tmp_path).read_text()
    assert html.count("This figure could not be drawn (ValueError: no such colour); traceback in ") == 1
    assert "Traceback" in (tmp_path / "figures" / "rates-failed.txt").read_text()
    assert (tmp_path / "figures" / "matrix.pdf").is_file()
    assert (tmp_path / "tables" / "rates.csv").is_file()
