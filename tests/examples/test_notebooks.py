"""The notebooks of examples/: committed with what came out, and run again on little data."""

from __future__ import annotations

import ast
import importlib
import os
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))

# What stands in the cell of the parameters when the tests run a notebook; the rest of it stays.
TINY = {
    "01_external_classifier.ipynb": {"N": 48, "EPOCHS": 2, "ATTACKED": 6, "CERTIFIED": 1},
    "02_base_against_adapted.ipynb": {"N": 120, "EPOCHS": 8, "SEEDS": 1, "ATTACKED": 24},
    "03_your_network_your_arrays.ipynb": {"TRAINED": 100, "STEPS": 30, "ATTACKED": 12},
}


def cells(name):
    return [cell for cell in nbformat.read(FOLDER / name, as_version=4).cells if cell.cell_type == "code"]


def test_every_notebook_is_known():
    assert list(TINY) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_committed_as_it_ran_from_top_to_bottom(name):
    assert (FOLDER / name).stat().st_size < 1_000_000
    code = cells(name)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    text = (FOLDER / name).read_text()
    assert re.findall(r"/(?:tmp|root|home|work)/\S*", re.sub(r'"image/png": "[^"]*"', "", text)) == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_parameters_are_those_that_the_tests_know(name):
    (parameters,) = [cell.source for cell in cells(name) if "parameters" in cell.metadata.get("tags", ())]
    assert re.findall(r"^(\w+) = \d+", parameters, re.MULTILINE) == list(TINY[name])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_a_notebook_imports_is_there(name):
    found = 0
    for cell in cells(name):
        if cell.source.startswith("%%"):
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("robustkit"):
                module = importlib.import_module(str(node.module))
                assert [one.name for one in node.names if not hasattr(module, one.name)] == []
                found += 1
            elif isinstance(node, ast.Import):
                found += sum(one.name == "robustkit" for one in node.names)
    assert found


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER.parents[1]), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(FOLDER / name, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = "\n".join(f"{key} = {value}" for key, value in TINY[name].items())
    nbclient.NotebookClient(notebook, timeout=3000, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert notebook.cells[-1].cell_type == "markdown"
    printed = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in printed) >= 2
