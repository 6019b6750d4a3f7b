"""One word per idea: no term of the glossary's left column in code, help or docs."""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

GLOSSARY = ROOT / "docs" / "architecture.md"
HEAD = "| instead of | say |\n|---|---|\n"
# Written by a program from what it found: the words are those of the version that ran.
GENERATED = ("docs/reproduction/*/*", "docs/images/*", "examples/notebooks/*")


def terms():
    """The left column of the glossary."""
    table = GLOSSARY.read_text(encoding="utf-8").partition(HEAD)[2].partition("\n\n")[0]
    left = [line.split("|")[1].strip() for line in table.splitlines()]
    return [term.strip() for cell in left for term in cell.split(",")]


def pattern(term):
    """A term as whole words; an ellipsis is up to three words."""
    words = [r"(?:\S+\s+){0,3}?" if word == "…" else re.escape(word) + r"\s+" for word in term.split()]
    return re.compile(r"\b" + "".join(words).removesuffix(r"\s+") + r"\b", re.IGNORECASE)


def plain(path):
    """The text of a file as it is read: lines and adjacent string literals joined, comment signs gone."""
    text = path.read_text(encoding="utf-8")
    if path == GLOSSARY:
        before, head, after = text.partition(HEAD)
        text = before + after.partition("\n\n")[2] if head else text
    if path.suffix == ".py":
        text = re.sub(r"[\"']\s*\n\s*[rf]*[\"']", "", text)
        text = re.sub(r"\n\s*# ?", " ", text)
    return re.sub(r"\s+", " ", text)


def files():
    """Every file with words for a reader."""
    found = [*(ROOT / "robustkit").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.py")]
    found += [*(ROOT / "examples").rglob("*.md"), *ROOT.glob("*.md")]
    names = {path.relative_to(ROOT).as_posix(): path for path in found}
    return {name: path for name, path in names.items() if name != "CHANGELOG.md" and not of(name, GENERATED)}


def of(name, rooms):
    """Whether a file is in one of some rooms: folders, or patterns of files."""
    return any(name.startswith(f"{room}/") or Path(name).match(room) for room in rooms)


FILES = files()


@pytest.mark.parametrize("term", terms())
def test_a_term_of_the_left_column_is_nowhere(term):
    search = pattern(term)
    found = {}
    for name, path in FILES.items():
        hit = search.search(plain(path))
        if hit is not None:
            found[name] = plain(path)[max(0, hit.start() - 40) : hit.end() + 40]
    assert found == {}


def test_the_glossary_is_read():
    assert {"came", "leave … away", "its mind", "summarise"} <= set(terms())
    assert len(FILES) > 300


@pytest.mark.parametrize(
    ("term", "text", "there"),
    [
        ("came", "at least 1, came 0", True),
        ("came", "the camera became", False),
        ("leave … away", "or leave --range away", True),
        ("leave … away", "leave either of them away", True),
        ("leave … away", "leave the model and its base and whatever else away", False),
        ("its mind", "changes its\n    mind", True),
        ("summarize", "summarised", False),
    ],
)
def test_terms_are_matched_as_words(term, text, there):
    assert bool(pattern(term).search(text)) == there


def test_text_is_read_across_lines_and_literals(tmp_path):
    path = tmp_path / "a.py"
    path.write_text('raise InputError(\n    f"{n} cells an "\n    "image"\n)\n# leave it\n# away\n')
    assert "cells an image" in plain(path)
    assert "leave it away" in plain(path)
