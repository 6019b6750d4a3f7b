"""What a user adds in a file of his own, as the how-to pages say: each is seen on the command line, kept, and shown."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from robustkit.cli import group
from robustkit.data import ImageSet
from robustkit.data.survey import LSST, Depth
from robustkit.files import read_json
from tests.audits import make_audit
from tests.docs.blocks import blocks

PAGES = ("finding", "perturbation", "search", "training-method")


def _run(*words):
    result = CliRunner().invoke(group, list(map(str, words)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A network trained by a method of one's own, and an audit of it with three more things of one's own."""
    folder = tmp_path_factory.mktemp("plugins")
    for page in PAGES:
        for block in blocks(f"docs/howto/add-a-{page}.md"):
            if block.title:
                (folder / block.title).write_text(block.text)
    _, data = make_audit(folder, n=100)
    deep = replace(ImageSet.load(data), meta=Depth(LSST, 10, 10).meta())  # the leak is one of electrons
    noise = np.random.default_rng(1).normal(0, 30, deep.images.shape).astype(np.float32)
    deep.save(folder / "deep")
    replace(deep, images=deep.images + noise).save(folder / "shallow")
    few = ("--epochs", 2, "--warm-up", 1, "--batch", 16)
    where = ("--source", folder / "deep", "--target", folder / "shallow")
    trained = _run("train", *where, "--method", f"{folder}/energy.py:Energy", *few, "--out", folder / "mine.pt")
    assert trained.exit_code == 0, trained.output
    result = _run(
        "audit", "--model", folder / "mine.pt", "--out", folder / "audit", "--n", 12, "--all", "--quick",
        "--perturb", f"{folder}/leaks.py:DarkCurrent", "--search", f"{folder}/centre.py:Centre",
        "--finding", f"{folder}/faint.py:Faint", "--require", "accuracy_faint>=0",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_each_is_said_on_the_command_line_before_it_runs(audited):
    _, said = audited
    for code, option in (("DarkCurrent", "--perturb"), ("Centre", "--search"), ("Faint", "--finding")):
        assert f"running {code} of" in said
        assert f"as {option} says" in said
    assert "model/faint: running" in said
    assert "passed: accuracy_faint>=0" in said


def test_each_is_on_the_page(audited):
    folder, _ = audited
    html = (folder / "audit" / "report.html").read_text()
    assert '<section id="faint"' in html
    assert "Faint objects" in html
    assert "dark-current" in html
    assert "centre" in html
    assert "energy.py:Energy" in html


def test_each_is_in_the_numbers(audited):
    folder, _ = audited
    numbers = read_json(folder / "audit" / "audit.json")["models"][0]["metrics"]
    assert 0 <= numbers["accuracy_faint"]["low"] <= numbers["accuracy_faint"]["value"]
    assert "loss.dark-current" in numbers
    with (folder / "audit" / "images.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert all(float(line["peak"]) >= 0 for line in lines)


def test_a_second_audit_makes_none_of_it_again(audited):
    folder, _ = audited
    mine = (f"{folder}/leaks.py:DarkCurrent", f"{folder}/centre.py:Centre", f"{folder}/faint.py:Faint")
    options = zip(("--perturb", "--search", "--finding"), mine, strict=True)
    again = _run("audit", folder / "audit" / "audit.toml", "--out", folder / "audit", *sum(options, ()))
    assert again.exit_code == 0, again.output
    steps = [line for line in again.output.splitlines() if line.startswith("model/")]
    assert [line for line in steps if not line.endswith(("unchanged, reused", "refused before"))] == []


def test_a_page_is_drawn_again_with_the_finding_or_says_that_it_is_missing(audited):
    folder, _ = audited
    drawn = _run("report", folder / "audit", "--finding", f"{folder}/faint.py:Faint")
    assert drawn.exit_code == 0, drawn.output
    assert '<section id="faint"' in (folder / "audit" / "report.html").read_text()
    without = _run("report", folder / "audit", "--require", "accuracy>=0")
    assert without.exit_code == 0, without.output
    html = (folder / "audit" / "report.html").read_text()
    assert '<section id="faint"' not in html
    assert "name it with --finding" in html


@pytest.mark.parametrize("option", ["--perturb", "--search", "--finding"])
def test_a_file_names_none_of_them_by_itself(audited, option):
    """The audit's own settings, given to somebody else, run nothing unless he names it too."""
    folder, _ = audited
    mine = {"--perturb": "leaks.py:DarkCurrent", "--search": "centre.py:Centre", "--finding": "faint.py:Faint"}
    named = [word for name, code in mine.items() if name != option for word in (name, f"{folder}/{code}")]
    refused = CliRunner().invoke(group, ["audit", f"{folder}/audit/audit.toml", "--out", f"{folder}/other", *named])
    assert type(refused.exception).__name__ == "SecurityError"
    assert f"name it yourself with {option}" in str(refused.exception)
    assert not (folder / "other").exists()


@pytest.mark.parametrize(("option", "words"), [
    ("--finding", "expected .*Energy to be a subclass of robustkit.findings.finding.Finding"),
    ("--search", "Energy does not define name, start, to_json"),
    ("--perturb", "is not a subclass of robustkit.perturb.perturbation.Perturbation"),
])  # fmt: skip
def test_something_else_is_refused_in_words(audited, option, words):
    folder, _ = audited
    few = ("--model", f"{folder}/mine.pt", "--out", f"{folder}/no", "--n", "12", "--all")
    refused = CliRunner().invoke(group, ["audit", *few, option, f"{folder}/energy.py:Energy"])
    assert type(refused.exception).__name__ == "InputError"
    assert re.search(words, str(refused.exception)), refused.exception


def test_a_method_that_is_none_is_refused_in_words(audited):
    folder, _ = audited
    refused = CliRunner().invoke(group, [
        "train", "--source", f"{folder}/deep", "--target", f"{folder}/shallow", "--method",
        f"{folder}/faint.py:Faint", "--out", f"{folder}/no.pt", "--epochs", "2", "--warm-up", "1",
    ])  # fmt: skip
    assert "to be a subclass of robustkit.training.alignment.Alignment" in str(refused.exception)
    assert not (folder / "no.pt").exists()
