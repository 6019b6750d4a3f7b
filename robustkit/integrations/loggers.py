"""A finished audit in the records of an experiment: MLflow and Weights & Biases."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.files import read_json, reading

# What the name of a metric of MLflow must not hold; a perturbation with options has an equals sign, a class anything.
_REFUSED = re.compile(r"[^\w.\- /]")
_KEPT = ("report.html", "audit.json", "junit.xml")


def log_to_mlflow(audit: str | os.PathLike[str], *, prefix: str = "robustkit") -> dict[str, float]:
    """Logs the numbers of an audit to the active run of MLflow, and keeps its page there.

    Args:
        audit: The folder of the audit.
        prefix: What stands before the name of each number.

    Returns:
        What was logged, by name.

    Raises:
        InputError: If the folder is no audit.
        MissingExtra: If MLflow is not installed.
    """
    mlflow = require("mlflow", extra="mlflow", purpose="log an audit to MLflow")
    numbers, failed = _numbers(audit, prefix)
    numbers = {_REFUSED.sub("_", name): number for name, number in numbers.items()}
    mlflow.log_metrics(numbers)
    mlflow.set_tag(f"{prefix}.gates_failed", failed)
    for path in _files(audit):
        mlflow.log_artifact(str(path), artifact_path=prefix)
    return numbers


def log_to_wandb(audit: str | os.PathLike[str], *, run: Any = None, prefix: str = "robustkit") -> dict[str, float]:
    """Logs the numbers of an audit to a run of Weights & Biases, and keeps its page there as an artifact.

    Args:
        audit: The folder of the audit.
        run: The run; by default the active one.
        prefix: What stands before the name of each number.

    Returns:
        What was logged, by name.

    Raises:
        InputError: If the folder is no audit, or there is no run.
        MissingExtra: If wandb is not installed.
    """
    wandb = require("wandb", extra="wandb", purpose="log an audit to Weights & Biases")
    run = wandb.run if run is None else run
    if run is None:
        raise InputError("there is no active run of Weights & Biases; call wandb.init first, or hand over a run")
    numbers, failed = _numbers(audit, prefix)
    run.log(numbers)
    run.summary[f"{prefix}/gates_failed"] = failed
    artifact = wandb.Artifact(f"{prefix}-audit", type="audit")
    for path in _files(audit):
        artifact.add_file(str(path))
    run.log_artifact(artifact)
    return numbers


def _numbers(audit: str | os.PathLike[str], prefix: str) -> tuple[dict[str, float], int]:
    """Each number with the ends of its interval, and how many gates failed."""
    path = Path(audit) / "audit.json"
    if not path.is_file():
        raise InputError(f"expected the folder of an audit, but there is no audit.json in {audit}")
    kept = read_json(path)
    found: dict[str, float] = {}
    with reading(path, "the audit.json of an audit"):
        for name, number in kept["models"][0]["metrics"].items():
            for end in ("value", "low", "high"):
                if number.get(end) is not None:
                    found[f"{prefix}/{name}" + ("" if end == "value" else f".{end}")] = float(number[end])
        return found, sum(not gate["passed"] for gate in kept["gates"])


def _files(audit: str | os.PathLike[str]) -> list[Path]:
    return [path for path in (Path(audit) / name for name in _KEPT) if path.is_file()]
