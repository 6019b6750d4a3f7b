"""What robustkit offers, asked of itself by the names that a user writes."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import click

import robustkit
from robustkit.cli import COMMANDS, group

FILE = Path(__file__).with_name("inventory.json")


def kept() -> dict[str, Any]:
    """The inventory that must not shrink."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def commands() -> dict[str, list[str]]:
    """Each command with its arguments and options, and the choices of those that have a fixed list."""
    found = {}
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        words = []
        for parameter in command.params:
            names = [*parameter.opts, *parameter.secondary_opts]
            words += names
            if isinstance(parameter.type, click.Choice):
                words += [f"{names[0]} {choice}" for choice in parameter.type.choices]
        found[name] = words
    return found


def offered() -> dict[str, list[str]]:
    """Everything with a name that a command line, a file or a call may hold, by kind."""
    from robustkit.auditing.request import EFFORTS, SUITES, AuditRequest
    from robustkit.data.open import FORMATS
    from robustkit.data.stretch import STRETCHES
    from robustkit.data.survey import SURVEYS
    from robustkit.findings.registry import built_in
    from robustkit.models.foreign.options import ModelOptions
    from robustkit.models.networks import NETWORKS
    from robustkit.perturb.faults.registry import PERTURBATIONS
    from robustkit.perturb.faults.registry import SUITES as SWEEPS
    from robustkit.perturb.search.registry import SEARCHES
    from robustkit.perturb.threats import VALUE_NAMES
    from robustkit.reproduce.papers import PAPERS
    from robustkit.reproduce.plan import SCALES
    from robustkit.training.alignment import ALIGNMENTS
    from robustkit.training.presets import PRESETS
    from robustkit.training.settings import CHOICES, PLAIN, Settings

    perturbations = [
        f"{name},{option}=" if option else name
        for name, kind in PERTURBATIONS.items()
        for option in ("", *(field.name for field in fields(kind)))
    ]
    return {
        "python": list(robustkit.__all__),
        "perturbations": perturbations,
        "suites": [f"{suite}: {name}" for suite, names in SWEEPS.items() for name in names],
        "searches": list(SEARCHES),
        "values": list(VALUE_NAMES),
        "training methods": [*PLAIN, *ALIGNMENTS],
        "training settings": [field.name for field in fields(Settings)],
        "training choices": [f"{name} {choice}" for name, choices in CHOICES.items() for choice in choices],
        "presets": list(PRESETS),
        "networks": list(NETWORKS),
        "stretches": list(STRETCHES),
        "surveys": list(SURVEYS),
        "image formats": list(FORMATS),
        "model options": [field.name for field in fields(ModelOptions)],
        "papers": [f"{paper} {scale}" for paper in PAPERS for scale in SCALES],
        "audit efforts": list(EFFORTS),
        "audit suites": list(SUITES),
        "audit.toml": list(keys(AuditRequest("model.pt"))),
        "metrics": [name for kind in built_in() for name in kind.meaning],
    }


def keys(value: Any, prefix: str = "") -> list[str]:
    """The keys of a dataclass and of those in it, with dots."""
    found = []
    for field in fields(value):
        inner = getattr(value, field.name)
        found += keys(inner, f"{prefix}{field.name}.") if is_dataclass(inner) else [prefix + field.name]
    return found


def missing(kept: list[str], now: list[str]) -> list[str]:
    """What was there and is not; more is welcome."""
    return [name for name in kept if name not in set(now)]
