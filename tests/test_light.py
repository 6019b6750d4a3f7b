"""`import robustkit`, `robustkit --help` and what a shell completes load nothing heavy."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import robustkit

HEAVY = ("torch", "numpy", "scipy", "sklearn", "matplotlib", "plotly", "galsim", "astropy", "pandas", "jinja2")

COMPLETION = """
import os
from robustkit.cli import group
words = {"COMP_WORDS": "robustkit train --method ", "COMP_CWORD": "3", "_ROBUSTKIT_COMPLETE": "bash_complete"}
os.environ.update(words)
try:
    group.main([], prog_name="robustkit")
except SystemExit:
    pass
"""


def _loaded_after(code: str) -> list[str]:
    probe = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    [
        "import robustkit",
        "from robustkit.cli import group\ntry:\n    group.main(['--help'])\nexcept SystemExit:\n    pass",
        COMPLETION,
    ],
    ids=["import", "help", "completion"],
)
def test_nothing_heavy_is_loaded(code):
    assert not [name for name in HEAVY if name in _loaded_after(code)]


def test_heavy_modules_are_seen_by_the_probe():
    assert "numpy" in _loaded_after("import robustkit; robustkit.Record")


def test_every_name_that_is_promised_is_there_and_loaded_where_a_type_checker_finds_it():
    nodes = ast.walk(ast.parse(Path(robustkit.__file__).read_text()))
    found = [
        node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("robustkit.")
    ]
    seen = {alias.name: node.module for node in found for alias in node.names}
    assert seen == robustkit._HOME
    assert set(robustkit.__all__) == {*seen, "__version__"}
    for name in robustkit.__all__:
        assert getattr(robustkit, name) is not None


@pytest.mark.parametrize("code", [
    "import robustkit.report.page",
    "import robustkit.auditing.report",
    "import robustkit.latent, robustkit.models, robustkit.data, robustkit.stats",
    "from robustkit.perturb.faults.registry import PERTURBATIONS; PERTURBATIONS['psf'].unit",
])  # fmt: skip
def test_what_draws_a_page_computes_with_no_tensor(code):
    loaded = _loaded_after(code)
    assert not [name for name in ("torch", "sklearn", "plotly", "pandas", "onnxruntime") if name in loaded]
    engine = [name for name in loaded if name.startswith(("robustkit.engine", "robustkit.models."))]
    assert not engine


@pytest.mark.parametrize("package", ["latent", "models", "data", "stats"])
def test_lazy_packages_hold_every_name_that_they_promise(package):
    module = importlib.import_module(f"robustkit.{package}")
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module 'robustkit.{package}' has no attribute 'nothing'"):
        _ = module.nothing


def test_the_lazy_torch_is_torch():
    import torch

    from robustkit import lazy

    assert lazy.torch.zeros is torch.zeros
    assert lazy.torch.nn.functional is torch.nn.functional
