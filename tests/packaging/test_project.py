"""What the project says of itself in several places is the same in all of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import robustkit

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def citation():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_citation_is_of_this_version_and_licence(project, citation):
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == robustkit.__version__
    assert citation["license"] == project["license"]
    assert citation["title"].startswith("robustkit:")
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]


def test_what_is_cited_can_be_found(citation):
    for reference in citation["references"]:
        assert re.fullmatch(r"10\.\d{4,}/\S+", reference["doi"])
        assert isinstance(reference.get("start", ""), str), "a page number with a zero in front is read as octal"
        assert {"type", "title", "authors", "journal", "year"} <= set(reference)


def test_the_licence_is_the_one_that_is_named(project):
    assert project["license"] == "BSD-3-Clause"
    text = (ROOT / "LICENSE").read_text()
    assert text.startswith("BSD 3-Clause License")
    assert [name for name in project["license-files"] if not (ROOT / name).is_file()] == []


def test_every_python_that_is_named_is_allowed(project):
    allowed = SpecifierSet(project["requires-python"])
    named = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert named == [f"3.{minor}" for minor in range(40) if allowed.contains(f"3.{minor}")]


def test_the_versions_of_the_make_targets_meet_the_ranges(project):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    extras = re.search(r"^EXTRAS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1).split(",")
    asked = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
