"""The attacks of a reproduction: the published search, and beside it every pixel with every corner value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from robustkit.audit.attack import AttackRequest, run_attack
from robustkit.audit.steps import Steps
from robustkit.reproduce.plan import Attacked
from robustkit.runs import make_units
from robustkit.runs.local import local_workers

PUBLISHED, COMPLETE = "published", "complete"
# Images attacked together where a search takes minutes for each: what a run that is stopped loses at most.
_GROUP = 4


@dataclass(frozen=True)
class Attack:
    """The attacks on a model.

    Attributes:
        folder: Where they are kept.
        model: The checkpoint.
        attacked: What to do.
        pair: Whether it is one of the two that the paper compares, which get the published search too.
        inputs: What the attacks depend on.
    """

    folder: Path
    model: Path
    attacked: Attacked
    pair: bool
    inputs: dict[str, Any]


def step_name(kind: str, model: Path) -> str:
    """The step that an attack on a model is kept in."""
    return f"{kind}-{model.stem}"


def attack_all(attacks: Sequence[Attack], *, device: str, workers: int, say: Callable[[str], None]) -> None:
    """Attacks the models that have not been, on a CPU several at a time.

    Args:
        attacks: Of each model.
        device: `cpu` or a GPU, where they are attacked one after the other.
        workers: Processes on a CPU.
        say: Where the lines for the terminal go.
    """
    if not attacks:
        return
    # What takes longest begins first, so that no worker is left alone with it.
    attacks = sorted(attacks, key=lambda one: one.attacked.complete)
    executor = partial(local_workers, [device] * min(workers, len(attacks))) if device == "cpu" else None

    def keep(unit: int, lines: Sequence[str]) -> None:
        for line in lines:
            say(line)

    make_units(range(len(attacks)), partial(_attack_model, attacks, device), keep, executor)


def _attack_model(attacks: Sequence[Attack], device: str, unit: int) -> list[str]:
    """Makes the attacks on a model, and returns what there is to say."""
    one, said = attacks[unit], list[str]()
    steps = Steps(one.folder, said.append)
    if one.pair:
        _attack(steps, PUBLISHED, one, published_search(one.attacked), device)
    if one.attacked.complete:
        searches = ("de", "complete") if one.pair else ("complete",)
        _attack(steps, COMPLETE, one, AttackRequest(n=one.attacked.n, searches=searches, take_all=True), device)
    return said


def published_search(attacked: Attacked) -> AttackRequest:
    """The search as published, or the same search with fewer queries."""
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
