"""The attacks of a reproduction: the published search, and beside it every pixel with every corner value."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from robustkit.audit.attack import AttackRequest, run_attack
from robustkit.audit.steps import Steps
from robustkit.reproduce.plan import Attacked
from robustkit.runs import StartExecutor
from robustkit.runs.local import local_workers

PUBLISHED, COMPLETE = "published", "complete"
# Images that a worker attacks together, where one image takes minutes.
_GROUP = 4


def step_name(kind: str, model: Path) -> str:
    """The step that an attack on a model is kept in."""
    return f"{kind}-{model.stem}"


def attack_model(
    steps: Steps, model: Path, attacked: Attacked, inputs: dict[str, Any], *, pair: bool, device: str, workers: int
) -> None:
    """Attacks a model, unless it has been.

    Args:
        steps: Where the attacks are kept.
        model: The checkpoint.
        attacked: What to do.
        inputs: What the attacks depend on.
        pair: Whether it is one of the two that the paper compares, which get the published search too.
        device: Where to run.
        workers: Processes on a CPU.
    """
    if pair:
        request, executor = published_search(attacked), None
        if attacked.budget is not None and device == "cpu" and workers > 1:
            executor = partial(local_workers, [device] * workers)
        _attack(steps, PUBLISHED, model, request, inputs, device, executor)
    if attacked.complete:
        searches = ("de", "complete") if pair else ("complete",)
        request = AttackRequest(n=attacked.n, searches=searches, take_all=True)
        _attack(steps, COMPLETE, model, request, inputs, device, None)


def published_search(attacked: Attacked) -> AttackRequest:
    """The search as published, or the same search with fewer queries."""
    if attacked.budget is None:
        return AttackRequest(n=attacked.n, preset="paper", take_all=True)
    return AttackRequest(
        n=attacked.n, searches=("de",), budget=attacked.budget, values="paper", take_all=True, group=_GROUP
    )


def _attack(
    steps: Steps,
    kind: str,
    model: Path,
    request: AttackRequest,
    inputs: dict[str, Any],
    device: str,
    executor: StartExecutor | None,
) -> None:
    asked = {
        "n": request.n, "preset": request.preset, "searches": list(request.searches), "budget": request.budget,
        "values": request.values, "group": request.group,
    }  # fmt: skip

    def make(folder: Path, resume: bool) -> None:
        run_attack(model, request, out=folder, device=device, resume=resume, executor=executor, say=lambda line: None)

    steps.run(step_name(kind, model), {**inputs, "request": asked}, make)
