"""Claims that were written down before any image was scored, and whether they still are what they were."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from robustkit.auditing.request import Thresholds
from robustkit.errors import InputError
from robustkit.files import read_object, write_json
from robustkit.words import shown

FILE = "claims.json"
_KIND = "the thresholds of an audit"


def fix_claims(folder: Path, thresholds: Thresholds) -> None:
    """Writes the thresholds and their hash, once: what was written before the first image was scored stays.

    Args:
        folder: Of the audit.
        thresholds: What its claims are held against.
    """
    if not (folder / FILE).exists():
        write_json(folder / FILE, {"thresholds": asdict(thresholds), "sha256": thresholds_sha256(thresholds)})


def thresholds_sha256(thresholds: Thresholds) -> str:
    """The hash of what claims are held against."""
    return hashlib.sha256(json.dumps(asdict(thresholds), sort_keys=True).encode()).hexdigest()


def fixed_of(folder: Path, thresholds: Thresholds) -> dict[str, Any]:
    """What is known of when the thresholds were chosen, as JSON values.

    Args:
        folder: Of the audit.
        thresholds: What its claims are held against now.

    Returns:
        The hash of the thresholds now, that of those written before any image was scored (`None` where none were), and
        those that have changed since, as pairs (before, now).
    """
    now, kept = asdict(thresholds), None
    if (folder / FILE).is_file():
        kept = read_object(folder / FILE, _KIND, thresholds=dict, sha256=str)
        if not all(isinstance(value, int | float) for value in kept["thresholds"].values()):
            raise InputError(f"{shown(folder / FILE)} holds thresholds that are no numbers; expected {_KIND}")
    before: dict[str, Any] = kept["thresholds"] if kept else {}
    changed = {name: [before[name], value] for name, value in now.items() if name in before and before[name] != value}
    return {
        "sha256": thresholds_sha256(thresholds),
        "before_scoring_sha256": kept["sha256"] if kept else None,
        "changed": changed,
    }


def said_of(fixed: dict[str, Any]) -> str:
    """The same in a sentence; empty where nothing is known."""
    if fixed["before_scoring_sha256"] is None:
        return ""
    if not fixed["changed"]:
        return f"The thresholds were written down before any image was scored (SHA-256 {fixed['sha256'][:12]})."
    moved = ", ".join(f"{name} from {old:g} to {new:g}" for name, (old, new) in fixed["changed"].items())
    return f"Thresholds were moved after the images were scored: {moved}. This page is no longer a test of them."
