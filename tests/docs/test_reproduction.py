"""The committed reproductions: their pages, tables and claims are of one run, and what they show is there."""

import csv
import re

import pytest

from robustkit.files import read_json
from robustkit.reproduce.claims import AGREES, DIFFERS, INCOMPARABLE, OPEN
from robustkit.reproduce.papers import AD22, FLIPPED_MEANS
from robustkit.reproduce.plan import plan_paper
from tests.docs.blocks import ROOT, pages, read

FOLDERS = sorted(path.parent for path in (ROOT / "docs" / "reproduction").glob("*/reproduction.json"))


def test_there_is_one():
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_page_and_claims_are_of_one_run(folder):
    found, page = read_json(folder / "reproduction.json"), (folder / "index.md").read_text()
    assert found["command"] in page
    with open(folder / "tables" / "claims.csv") as file:
        rows = list(csv.DictReader(file))
    here, verdict = "here, 95% by itself", "verdict over all claims"
    assert [(row["network"], row["claim"], row[here].removeprefix("'"), row[verdict]) for row in rows] == [
        (claim["network"], claim["text"], claim["found"], claim["verdict"]) for claim in found["claims"]
    ]
    assert {row[verdict] for row in rows} <= {AGREES, DIFFERS, OPEN, INCOMPARABLE}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_it_is_the_plan_that_the_command_has_now(folder):
    found = read_json(folder / "reproduction.json")
    plan = plan_paper(found["paper"], found["scale"])
    with open(folder / "tables" / "done-table.csv") as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert list(rows) == [part.network for part in plan.parts]
    for part in plan.parts:
        assert rows[part.network]["images"] == f"{part.galaxies} galaxies"
        assert rows[part.network]["trainings"] == ", ".join(f"{name} x {count}" for name, count in part.seeds.items())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_is_shown_lies_beside_it(folder):
    page = (folder / "index.md").read_text()
    named = re.findall(r"\]\(((?:figures|tables)/[^)]+)\)", page)
    assert named
    assert all((folder / name).is_file() for name in named)
    drawn = {path.relative_to(folder).as_posix() for path in (folder / "figures").iterdir()}
    assert drawn == {name for name in named if name.startswith("figures/")}


@pytest.mark.parametrize("page", pages())
def test_the_published_count_of_flips_stands_beside_its_denominator(page):
    text = re.sub(r"\s+", " ", read(page))
    for network, (flipped, of) in AD22.flipped.items():
        for place in re.finditer(f"{flipped} of {of}(?! \\|)", text):  # in a table, the heading of the column says it
            assert "right or wrong" in text[place.start() : place.end() + 120], (
                f"{page}: {network}, {text[place.start() :][:90]}"
            )
        if f"| {flipped} of {of} |" in text:
            assert "published (of all drawn, right or wrong, flipped in both)" in text
            assert FLIPPED_MEANS in text


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "reproduction").glob("*/tables/*.csv")), ids=lambda path: path.name
)
def test_tables_of_published_counts_name_their_denominator(path):
    text = path.read_text()
    if any(f"{flipped} of {of}" in text for flipped, of in AD22.flipped.values()):
        assert "right or wrong" in text
