"""The attacks of a reproduction: the published search, and beside it every pixel with every corner value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from robustkit.auditing.steps import Steps
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from robustkit.reproduce.plan import AttackPlan
from robustkit.runs import make_units
from robustkit.runs.local import local_workers

PUBLISHED, COMPLETE = "published", "complete"
# Images attacked together if a search takes minutes for each: the most that a stopped run loses.
_GROUP = 4


@dataclass(frozen=True)
class Attack:
    """The attacks on a model.

    Attributes:
        folder: Folder of the attacks.
        model: The checkpoint.
        attacked: The settings.
        pair: Whether it is one of the two models that the paper compares, which also get the published search.
        inputs: Inputs that the attacks depend on.
    """

    folder: Path
    model: Path
    attacked: AttackPlan
    pair: bool
    inputs: dict[str, Any]


def step_name(kind: str, model: Path) -> str:
    """The step of an attack on a model."""
    return f"{kind}-{model.stem}"


def attack_all(attacks: Sequence[Attack], *, device: str, workers: int, say: Callable[[str], None]) -> None:
    """Attacks the models that have not been attacked yet, several at a time on a CPU.

    Args:
        attacks: The attacks, one entry per model.
        device: `cpu` or a GPU, where they are attacked one after the other.
        workers: Processes on a CPU.
        say: Receives progress messages.
    """
    if not attacks:
        return
    # The longest begin first, so that no worker is left alone with one.
    attacks = sorted(attacks, key=lambda one: one.attacked.complete)
    executor = partial(local_workers, [device] * min(workers, len(attacks))) if device == "cpu" else None

    def keep(unit: int, lines: Sequence[str]) -> None:
        for line in lines:
            say(line)

    make_units(range(len(attacks)), partial(_attack_model, attacks, device), keep, executor)


def _attack_model(attacks: Sequence[Attack], device: str, unit: int) -> list[str]:
    """Makes the attacks on a model, and returns its messages."""
    one, said = attacks[unit], list[str]()
    steps = Steps(one.folder, said.append)
    if one.pair:
        _attack(steps, PUBLISHED, one, published_search(one.attacked), device)
    if one.attacked.complete:
        searches = ("de", "complete") if one.pair else ("complete",)
        _attack(steps, COMPLETE, one, AttackRequest(n=one.attacked.n, searches=searches, take_all=True), device)
    return said


def published_search(attacked: AttackPlan) -> AttackRequest:
    """The published search, or the same search with fewer queries."""
    if attacked.budget is None:
        return AttackRequest(n=attacked.n, preset="paper", take_all=True)
    return AttackRequest(
        n=attacked.n, searches=("de",), budget=attacked.budget, values="paper", take_all=True, group=_GROUP
    )


def _attack(steps: Steps, kind: str, one: Attack, request: AttackRequest, device: str) -> None:
    asked = {
        "n": request.n, "preset": request.preset, "searches": list(request.searches), "budget": request.budget,
        "values": request.values, "group": request.group,
    }  # fmt: skip

    def make(folder: Path, resume: bool) -> None:
        run_attack(one.model, request, out=folder, device=device, resume=resume, say=lambda line: None)

    steps.run(step_name(kind, one.model), {**one.inputs, "request": asked}, make)
