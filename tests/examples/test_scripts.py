# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""The scripts of examples/, run as their first lines say, on little data."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from robustkit.files import read_json
from robustkit.models import open_checkpoint, save_checkpoint
from tests.audits import make_audit

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(folder, *command, status=0, **more):
    """Runs a command in a folder and returns what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "OMP_NUM_THREADS": "1", **more}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def script(name):
    return sys.executable, EXAMPLES / name


def test_every_example_is_listed_and_every_one_listed_is_there():
    page = (EXAMPLES / "README.md").read_text()
    linked = set(re.findall(r"\]\(([\w./-]+)\)", page))
    assert [path for path in linked if not (EXAMPLES / path).exists()] == []
    numbered = {path.name for path in [*EXAMPLES.glob("0*"), *EXAMPLES.glob("notebooks/0*")]}
    assert numbered <= {part for path in linked for part in Path(path).parts}


def test_pages_name_examples_that_exist():
    pages = [*EXAMPLES.parent.glob("*.md"), *EXAMPLES.parent.glob("docs/**/*.md"), EXAMPLES.parent / "Makefile"]
    named = {path for page in pages for path in re.findall(r"\bexamples/[\w./-]*\w", page.read_text())}
    assert len(named) > 3
    assert [path for path in sorted(named) if not (EXAMPLES.parent / path).exists()] == []


def test_galaxies_lie_where_they_should(tmp_path):
    pytest.importorskip("statmorph")
    said = run(tmp_path, *script("05_check_gini_m20.py"), "--n", 6, "--out", "plane.png")
    assert re.search(r"^[4-6] of 6 measured$", said, re.MULTILINE)
    assert (tmp_path / "plane.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_demo_ends_in_a_page(tmp_path):
    said = run(tmp_path, *script("01_demo.py"), "demo", "--n", 60, "--epochs", 6, "--attacked", 6)
    assert said.splitlines()[-1].strip() == "demo/audit/report.html"
    numbers = read_json(tmp_path / "demo" / "audit" / "audit.json")
    assert [model["name"] for model in numbers["models"]] == ["mmd", "source"]


FOREIGN = "plain.pth whole.pth resnet.ckpt resnet.onnx ensemble question threshold labels tolerance"


@pytest.mark.filterwarnings("ignore")  # of exporters
def test_models_of_others_are_opened_and_attacked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    given = ["02_foreign_models.py", "--n", "30", "--epochs", "1", "--attacked", "2", "--out", "foreign"]
    monkeypatch.setattr(sys, "argv", given)
    runpy.run_path(str(EXAMPLES / "02_foreign_models.py"), run_name="__main__")  # in this process, which is quicker
    for name in FOREIGN.split():
        assert read_json(tmp_path / "foreign" / f"attack-{name}" / "summary.json")["drawn"] == 2
    said = capsys.readouterr().out
    assert "robustkit inspect --model foreign/plain.pth" in said
    assert "of which the tensors alone were read" in said
    assert "answers as onnxruntime does on real images" in said


@pytest.mark.slow
def test_the_figures_of_the_paper_are_drawn(tmp_path):
    base, _ = make_audit(tmp_path)
    opened = open_checkpoint(base)
    opened.classifier.module.fc.weight.data *= 1.5
    save_checkpoint(tmp_path / "adapted.pt", opened.classifier.module, opened.card)
    said = run(tmp_path, *script("04_latent_space.py"), base, "adapted.pt", "out", "--n", 12)
    assert "Figures 3 and 5 show galaxy-" in said
    for figure in ("figure-5-base/gallery.pdf", "figures-3-and-4-maps", "figure-6-and-tables"):
        assert (tmp_path / "out" / figure).exists()


@pytest.mark.slow
def test_the_gate_fails_a_build_that_is_worse_than_allowed(tmp_path):
    model, _ = make_audit(tmp_path)
    gate = EXAMPLES / "06_ci_gate" / "gate.sh"
    (tmp_path / "robustkit").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m robustkit "$@"\n')
    (tmp_path / "robustkit").chmod(0o755)
    command = ("sh", gate, model, "audit", "--n", 6, "--all", "--device", "cpu")
    run(tmp_path, *command, ROBUSTKIT=str(tmp_path / "robustkit"), status=1)
    gates = (tmp_path / "audit" / "junit.xml").read_text()
    assert "flip_rate&lt;=0.9" in gates
    assert "<failure" in gates
