"""Runs made of units: the same code makes them here, in worker processes, and in the shards of a job array."""

from __future__ import annotations

import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from tqdm import tqdm

from robustkit.audit.opening import Draw, about_inputs, choose_device, open_chosen
from robustkit.errors import InputError
from robustkit.models.checkpoint import versions
from robustkit.runs import JOURNAL, FinishedUnits, Run, differences
from robustkit.runs.local import assigned_device

# What must be the same for two processes to give the same bytes.
SAME_VERSIONS = ("robustkit", "torch")


class Finished(Protocol):
    """The units that a run folder holds."""

    def __contains__(self, unit: int, /) -> bool: ...


class OpenRun(ABC):
    """A run whose model and images are open, and which can make each of its units: groups of the images drawn.

    Args:
        model: The checkpoint.
        request: What was asked for, a dataclass; see `AttackRequest` for `n`, `data`, `part`, `seed`, `take_all`,
            `options` and `group`.
        device: Where to run; by default a GPU if there is one.

    Attributes:
        checkpoint: The model.
        chosen: The images drawn.
        said: What was said when they were opened.
        inputs: What the answers depend on, as JSON values.
        about: What is worth knowing besides; see `about_inputs`.

    Raises:
        InputError: If anything given cannot be used.
    """

    command: ClassVar[str]
    doing: ClassVar[str]  # what the progress bar says

    def __init__(self, model: str | os.PathLike[str], request: Any, device: str | None) -> None:
        self.model, self.request = Path(model), request
        draw = Draw(request.n, request.data, request.part, request.seed, request.take_all)
        self.said: list[str] = []
        self.checkpoint, self.chosen = open_chosen(
            model, request.options, draw, device=choose_device(device), say=self.said.append
        )
        self.about = about_inputs(self.model, self.chosen, self.checkpoint)
        self.inputs: dict[str, Any] = {**self.about["inputs"], "group": request.group}

    def __len__(self) -> int:
        """How many units it has."""
        return -(-len(self.chosen.rows) // self.request.group)

    def part(self, unit: int) -> slice:
        """Which of the images drawn belong to a unit."""
        return slice(unit * self.request.group, min(len(self.chosen.rows), (unit + 1) * self.request.group))

    @property
    def weight(self) -> int:
        """By how much an image moves the bar."""
        return 1

    @abstractmethod
    def make(self, unit: int, bar: tqdm[Any] | None = None) -> Any:
        """Makes a unit, and moves a bar that counts `weight` for each image."""

    def keep(self, run: Run, unit: int, result: Any) -> None:
        """Puts what `make` returned into the run folder."""
        run.append([result])

    @staticmethod
    def finished(folder: Path) -> Finished:
        """The units that a run folder holds."""
        return FinishedUnits(folder / JOURNAL)

    def gather(self, folders: Iterable[Path], run: Run) -> None:
        """Brings the units of several run folders into one, in their order."""
        for entry in FinishedUnits(*(folder / JOURNAL for folder in folders)):
            run.append([entry], sync=False)

    @abstractmethod
    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be done, and how."""

    @abstractmethod
    def write(self, run: Run, say: Callable[[str], None], **about: Any) -> Any:
        """Writes what the units of a run amount to, all of them being finished.

        Args:
            run: The run.
            say: Where the lines for the terminal go.
            about: What else the summary should say.
        """

    @abstractmethod
    def found(self, folder: Path, units: Iterable[int]) -> Any:
        """What some of the units of a run amount to, as they are in its folder."""


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
