"""A measurement made of units: the same code makes them here, in worker processes, and in the shards of a job array."""

from __future__ import annotations

import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from tqdm import tqdm

from robustkit.devices import choose_device
from robustkit.errors import InputError
from robustkit.models.checkpoint import versions
from robustkit.models.products import images_in_group
from robustkit.progress import progress, quiet
from robustkit.records import Record
from robustkit.runs.folder import differences
from robustkit.runs.halving import halved
from robustkit.runs.local import assigned_device
from robustkit.runs.makers import SAME_VERSIONS, this_maker
from robustkit.runs.opening import open_sample
from robustkit.runs.sample import Sample

Records = dict[str, Any]  # of one unit or of a whole run, by name; each of the kind that `Measurement.kinds` says


class Measurement(ABC):
    """What is measured of each image of a sample, in units: groups of the images drawn.

    Args:
        sample: The model and its images.
        request: What was asked for: a dataclass with `data`, `options`, `seed` and `group`, as `Selection` is one.

    Attributes:
        command: The command that makes it.
        doing: What the progress bar says.
        kinds: The records that it makes, by name.
        request_type: The class of its requests.
        inputs: What the answers depend on, as JSON values.

    Raises:
        InputError: If the request does not fit the sample.
    """

    command: ClassVar[str]
    doing: ClassVar[str]
    request_type: ClassVar[type[Any]]

    kinds: Mapping[str, type[Record]]

    def __init__(self, sample: Sample, request: Any) -> None:
        if request.group is None:
            classifier = sample.checkpoint.classifier
            request = replace(request, group=images_in_group(classifier.module, classifier.example))
        self.sample, self.request = sample, request
        self.about = sample.about()
        self.inputs: dict[str, Any] = {**self.about["inputs"], "group": request.group}

    def __len__(self) -> int:
        """How many units it has."""
        return -(-len(self.sample) // self.request.group)

    def part(self, unit: int) -> slice:
        """Which of the images drawn belong to a unit."""
        return slice(unit * self.request.group, min(len(self.sample), (unit + 1) * self.request.group))

    @classmethod
    def open(
        cls, model: str | os.PathLike[str], request: Any, device: torch.device, say: Callable[[str], None]
    ) -> Sample:
        """Opens what is measured; by default images drawn from a labelled set."""
        return open_sample(model, request, device=device, say=say)

    @property
    def weight(self) -> int:
        """By how much an image moves the progress bar."""
        return 1

    @abstractmethod
    def measure(self, part: slice, bar: tqdm[Any] | None) -> Records:
        """Measures some of the images at once, and moves a bar that counts `weight` for each image."""

    @abstractmethod
    def unknown(self, part: slice) -> Records:
        """The records of images that do not fit into memory."""

    def note(self) -> dict[str, Any]:
        """What is worth knowing of the unit measured last, as JSON values."""
        return {}

    def rehearse(self) -> None:
        """Refuses what cannot be measured, before anything is written; most refuse it when they are made."""
        return

    def forecast(self, images: int) -> str:
        """One line before the work begins: what computes, why nothing faster, how fast, and how long it may take.

        Args:
            images: How many images are left to be measured.
        """
        return ""

    @abstractmethod
    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be measured, and how."""

    @abstractmethod
    def result(self, records: Records, folder: Path | None) -> Any:
        """What is handed to the user.

        Args:
            records: Of some or all of the images.
            folder: The run folder, if there is one.
        """

    @abstractmethod
    def write(self, folder: Path, result: Any, about: dict[str, Any]) -> list[str]:
        """Writes what was found.

        Args:
            folder: The run folder.
            result: What `result` made of all units.
            about: What else the summary says: model, data, versions, the plan of the batches, the notes of the units.

        Returns:
            Lines for the terminal.
        """

    def make(self, unit: int, bar: tqdm[Any] | None = None) -> tuple[Records, dict[str, Any]]:
        """Measures a unit; returns its records and a note: how many images were measured at once, and what by."""
        records, sizes = halved(
            self.part(unit),
            partial(self._measure, bar),
            alone=self.unknown,
            join=_join_two,
            bar=bar,
            weight=self.weight,
        )
        device = self.sample.checkpoint.classifier.device
        return records, {"sizes": sizes, "maker": this_maker(device), **self.note()}

    def _measure(self, bar: tqdm[Any] | None, part: slice) -> Records:
        return self.measure(part, bar)

    def found(self) -> Any:
        """Measures all images here, and writes nothing."""
        with progress(total=len(self.sample) * self.weight, label=self.doing, unit="image") as bar:
            made = [self.make(unit, bar)[0] for unit in range(len(self))]
        return self.result(join_records(made), None)


def join_records(made: Iterable[Records]) -> Records:
    """The records of several units as one of each name."""
    units = list(made)
    return {name: type(record).join([unit[name] for unit in units]) for name, record in units[0].items()}


def _join_two(one: Records, other: Records) -> Records:
    return join_records([one, other])


def start(
    kind: type[Measurement],
    model: str | os.PathLike[str] | Sample,
    request: Any,
    device: str | None,
    say: Callable[[str], None],
) -> Measurement:
    """A measurement of a model on disk, or of a sample that is open already.

    Args:
        kind: The measurement.
        model: The checkpoint, or the sample.
        request: What is asked for.
        device: Where to run; by default a GPU if there is one.
        say: Receives what was found when model and images were opened.

    Raises:
        InputError: If anything given cannot be used.
    """
    if not isinstance(model, Sample):
        model = kind.open(model, request, choose_device(device), say)
    return kind(model, request)


@dataclass(frozen=True)
class Task:
    """All that a worker must know to make the units of a run; it pickles, and is small.

    Attributes:
        kind: The measurement.
        model: The checkpoint's absolute path.
        request: What was asked for.
        device: Where to run; by default a GPU if there is one.
        inputs: What the answers depend on; a worker that finds other files refuses.
        versions: Of this process.
    """

    kind: type[Measurement]
    model: str
    request: Any
    device: str | None
    inputs: dict[str, Any]
    versions: dict[str, str]


_lock = threading.Lock()  # a network is not shared by threads, so a worker with several makes one unit at a time
_open: tuple[Task, Measurement] | None = None


def make_unit(task: Task, unit: int) -> tuple[Records, dict[str, Any]]:
    """Makes a unit in a worker, which opens model and images once.

    Raises:
        InputError: If the worker has other versions, or finds other files at the paths.
    """
    global _open
    with _lock:
        if _open is None or _open[0] != task:
            where = f"process {os.getpid()} on {socket.gethostname()}"
            check_versions(task.versions, {where: versions()})
            opened = start(task.kind, task.model, task.request, assigned_device() or task.device, quiet)
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
