# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""The imports go one way: a later layer never appears in an earlier one."""

import ast
from pathlib import Path

import pytest

import robustkit

ROOT = Path(robustkit.__file__).parent

# What each part may import, beside itself and the leaves.
LEAVES = {"allocation", "code_gate", "cores", "devices", "drawings", "errors", "extras", "files", "options"}
LEAVES |= {"lazy", "progress", "seeds", "records", "tables", "words"}
MAY_IMPORT = {
    **dict.fromkeys(LEAVES, LEAVES),
    "stats": LEAVES,
    "data": LEAVES,
    "models": LEAVES | {"data"},
    "engine": LEAVES | {"data", "models"},
    "perturb": LEAVES | {"data", "models", "engine", "stats"},
    "latent": LEAVES | {"data", "models", "engine", "stats", "perturb"},
    "training": LEAVES | {"data", "models", "stats", "report"},
    "runs": LEAVES | {"data", "models", "stats"},
    "report": LEAVES | {"stats"},
    "findings": LEAVES | {"stats", "data", "models", "engine", "perturb", "latent", "runs", "report"},
    "catalogues": LEAVES
    | {"stats", "data", "models", "engine", "perturb", "latent", "training", "runs", "report", "findings"},
    "scoring": LEAVES | {"data", "models", "engine", "runs"},
    "testing": LEAVES | {"data", "models", "perturb"},
    "auditing": LEAVES
    | {"stats", "data", "models", "engine", "perturb", "latent", "training", "runs", "report", "findings"},
    "front": LEAVES
    | {"stats", "data", "models", "engine", "perturb", "latent", "training", "runs", "report", "findings", "auditing"},
    "integrations": LEAVES | {"stats"},
    "reproduce": LEAVES
    | {"stats", "data", "models", "engine", "perturb", "latent", "training", "runs", "report", "findings", "auditing"},
}


def _part(module: str) -> str | None:
    names = module.split(".")
    return names[1] if names[0] == "robustkit" and len(names) > 1 else None


def _imports(path: Path) -> set[str]:
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            parts |= {_part(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write the whole name"
            if node.module == "robustkit":
                parts |= {
                    alias.name
                    for alias in node.names
                    if (ROOT / alias.name).exists() or (ROOT / f"{alias.name}.py").exists()
                }
            else:
                parts.add(_part(node.module or ""))
    return parts - {None}


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_part_imports_only_earlier_parts(part):
    home = ROOT / part if (ROOT / part).is_dir() else ROOT / f"{part}.py"
    files = sorted(home.rglob("*.py")) if home.is_dir() else [home]
    assert files or part in {"runs"}, f"no files for {part}"
    for path in files:
        if path.exists():
            forbidden = _imports(path) - MAY_IMPORT[part] - {part}
            assert not forbidden, f"{path.relative_to(ROOT)} imports {sorted(forbidden)}"


def test_no_file_is_longer_than_400_lines():
    long = {str(path): n for path in ROOT.rglob("*.py") if (n := path.read_text().count("\n")) > 400}
    assert not long
