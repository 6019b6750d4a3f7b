"""Runs made of units: the same code makes them here, in worker processes, and in the shards of a job array."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from robustkit.errors import InputError
from robustkit.models.checkpoint import versions
from robustkit.runs import Shard, StartExecutor, differences, make_units
from robustkit.runs.local import assigned_device

# What must be the same for two processes to give the same bytes.
SAME_VERSIONS = ("robustkit", "torch")


class OpenRun(Protocol):
    """A run whose model and images are open.

    Attributes:
        command: The command's name.
        model: The checkpoint's path.
        request: What was asked for; a dataclass.
        inputs: What the answers depend on, as JSON values.
        about: What is worth knowing besides; see `about_inputs`.
    """

    command: str
    model: Path
    request: Any
    inputs: dict[str, Any]
    about: dict[str, Any]

    def __len__(self) -> int:
        """How many units it has."""
        ...

    def part(self, unit: int) -> slice:
        """Which of the images drawn belong to a unit."""
        ...

    def make(self, unit: int, bar: tqdm[Any] | None = None) -> Any:
        """Makes a unit, and moves a bar that counts `weight` for each image."""
        ...

    @property
    def weight(self) -> int:
        """By how much an image moves the bar."""
        ...


@dataclass(frozen=True)
class Task:
    """All that a worker must know to make the units of a run; it pickles, and is small.

    Attributes:
        open: Opens the run, in this process or another: a class of `OpenRun`.
        model: The checkpoint's absolute path.
        request: What was asked for.
        device: Where to run; by default a GPU if there is one.
        inputs: What the answers depend on; a worker that finds other files refuses.
        versions: Of this process.
    """

    open: Callable[[str, Any, str | None], OpenRun]
    model: str
    request: Any
    device: str | None
    inputs: dict[str, Any]
    versions: dict[str, str]


def make_run_units(
    opened: OpenRun,
    units: Iterable[int],
    keep: Callable[[int, Any], None],
    *,
    executor: Executor | StartExecutor | None,
    device: str | None,
    bar: tqdm[Any],
) -> None:
    """Makes units of a run here or on an executor's workers; see `make_units`.

    Args:
        opened: The run.
        units: Which of its units to make.
        keep: Called here with each unit and its result.
        executor: What the units are made by; `None` makes them here.
        device: Of the workers.
        bar: Shows the progress, in images.
    """
    if executor is None:
        make_units(units, partial(opened.make, bar=bar), keep)
        return

    def keep_and_show(unit: int, result: Any) -> None:
        keep(unit, result)
        bar.update(images_in(opened, [unit]) * opened.weight)

    task = Task(type(opened), os.path.abspath(opened.model), opened.request, device, opened.inputs, versions())
    make_units(units, partial(make_unit, task), keep_and_show, executor)


def images_in(opened: OpenRun, units: Iterable[int]) -> int:
    """How many images units have together."""
    parts = (opened.part(unit) for unit in units)
    return sum(part.stop - part.start for part in parts)


_lock = threading.Lock()  # a network is not shared by threads, so a worker with several makes one unit at a time
_open: tuple[Task, OpenRun] | None = None


def make_unit(task: Task, unit: int) -> Any:
    """Makes a unit in a worker, which opens model and images once.

    Raises:
        InputError: If the worker has other versions, or finds other files at the paths.
    """
    global _open
    with _lock:
        if _open is None or _open[0] != task:
            where = f"process {os.getpid()} on {socket.gethostname()}"
            check_versions(task.versions, {where: versions()})
            opened = task.open(task.model, task.request, assigned_device() or task.device)
            found = list(differences(task.inputs, opened.inputs))
            if found:
                raise InputError(f"the worker {where} finds other files: {'; '.join(found)}; give all the same paths")
            _open = (task, opened)
        return _open[1].make(unit)


def check_versions(mine: dict[str, str], workers: dict[str, dict[str, str]]) -> None:
    """Refuses workers of other versions.

    Args:
        mine: The versions of this process.
        workers: Those of each worker, by the worker's name.

    Raises:
        InputError: If one has another robustkit or torch; the message names it.
    """
    for name, theirs in workers.items():
        for package in SAME_VERSIONS:
            if theirs.get(package) != mine[package]:
                raise InputError(
                    f"the worker {name} has {package} {theirs.get(package)} and this process has {mine[package]}; "
                    "install the same on both"
                )


def run_folder(opened: OpenRun, out: str | os.PathLike[str] | None, shard: Shard | None) -> Path:
    """Where a run is kept; by default `runs/<command>-<model>-<n>-<seed>`, with the shard if it is one."""
    if out is not None:
        return Path(out)
    name = f"{opened.command}-{opened.model.stem}-{opened.request.n}-{opened.request.seed}"
    return Path("runs") / (name if shard is None else f"{name}-shard-{shard.index}-of-{shard.of}")


def run_manifest(opened: OpenRun, shard: Shard | None) -> dict[str, Any]:
    """What a run is: what decides its answers under `inputs`, and what a merge needs to open it again."""
    request = {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in asdict(opened.request).items()}
    if request.get("data") is not None:
        request["data"] = os.path.abspath(request["data"])
    return {
        "command": opened.command,
        "inputs": {**opened.inputs, "units": len(opened), "shard": None if shard is None else str(shard)},
        "versions": opened.about["versions"],
        "device": torch.device(opened.about["device"]).type,
        "model": os.path.abspath(opened.model),
        "request": request,
    }
