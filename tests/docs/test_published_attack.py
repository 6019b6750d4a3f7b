"""The default `de` and the published attack, `--preset paper`, flip different shares: no text calls them the same."""

import csv
import re

import pytest

from robustkit.findings.attack.chapter import SEARCH_WORDS
from robustkit.findings.attack.record import AttackRequest
from tests.docs.blocks import ROOT, pages, read

# Any form of "what papers report", which the default search is not.
REPORTED = re.compile(r"\b(?:papers?|publications?) (?:report|use)s?\b", re.IGNORECASE)
SAME = (
    re.compile(r"`?\bde\b`?,? [^.;`]{0,50}\bpublished (?:attack|search)\b"),  # `de` is the published attack
    re.compile(r"--preset paper`?[^.;`]{0,50}\bpublished algorithm\b"),
    re.compile(r"\bde, published\b(?! algorithm)"),
)
FILES = [*ROOT.glob("robustkit/**/*.py"), *ROOT.glob("benchmarks/*.py")]
CODE = sorted(path.relative_to(ROOT).as_posix() for path in FILES)


def faults(text):
    text = re.sub(r"\s+", " ", text)
    return [found.group() for pattern in (REPORTED, *SAME) for found in pattern.finditer(text)]


@pytest.mark.parametrize(
    "text",
    [
        "`de`, which is what papers report, `auto`",
        "differential evolution, which\n papers report",
        "Differential evolution is what papers use.",
        "`de` is the published attack",
        "`de`, exactly the published search",
        "| de, published | 0.4 |",
        "`--preset paper` is the published algorithm",
    ],
)
def test_the_patterns_find_what_must_not_be_said(text):
    assert faults(text)


@pytest.mark.parametrize("path", [*(page for page in pages() if page != "CHANGELOG.md"), *CODE])
def test_the_default_search_is_never_called_the_published_attack(path):
    assert faults(read(path)) == []


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md", "docs/concepts/searches.md"])
def test_pages_that_introduce_the_searches_tell_the_two_apart(page):
    text = re.sub(r"\s+", " ", read(page))
    assert "untargeted and in the range of the training data" in text
    assert "published algorithm" in text or "its algorithm, `de`" in text
    assert re.search("published attack is `--preset paper`|`--preset paper`(: | is )the published attack", text)


def test_the_page_of_an_audit_and_the_help_tell_the_two_apart():
    assert "published algorithm" in SEARCH_WORDS["de"]
    assert "published attack, --preset paper, is targeted" in SEARCH_WORDS["de"]
    said = AttackRequest.__dataclass_fields__["preset"].metadata["option"].help
    assert "published attack, targeted, in [0, 1], p > 0.5" in said


def test_the_rates_beside_each_other_are_those_of_the_reproduction():
    with open(ROOT / "docs" / "reproduction" / "ad22" / "tables" / "flips-convnet.csv") as file:
        rows = [row for row in csv.DictReader(file) if (row["training"], row["seed"]) == ("source only", "0")]
    rates = {row["search"]: row["of those right"] for row in rows}
    text = read("docs/concepts/searches.md")
    assert rates["published"] in text
    assert rates["evolution, corner values"] in text
    assert rates["published"] != rates["evolution, corner values"]  # two attacks, and two rates
