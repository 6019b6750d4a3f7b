"""The models of a reproduction, each trained once, several at a time on several processor cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from robustkit.allocation import keep_freed_memory
from robustkit.errors import InputError
from robustkit.models import open_checkpoint
from robustkit.reproduce.plan import NetworkPlan
from robustkit.runs import make_units
from robustkit.runs.local import local_workers
from robustkit.training import Settings, train
from robustkit.training.setup import make_setup


@dataclass(frozen=True)
class Job:
    """A model to train.

    Attributes:
        source: The labelled images.
        target: The images to adapt to.
        out: The checkpoint.
        settings: Settings of the training.
    """

    source: Path
    target: Path
    out: Path
    settings: Settings


def jobs_of(part: NetworkPlan, images: tuple[Path, Path], folder: Path) -> list[Job]:
    """The models of a network, seed by seed, so that a run that is stopped has some of each method.

    Args:
        part: The network.
        images: Paths of source and target.
        folder: Folder of the checkpoints.
    """
    return [
        Job(*images, model_path(folder, part.network, method, seed), part.settings(method, seed))
        for seed in range(max(part.seeds.values()))
        for method, count in part.seeds.items()
        if seed < count
    ]


def model_path(folder: Path, network: str, method: str, seed: int) -> Path:
    """The path of a model.

    Args:
        folder: Folder of the reproduction.
        network: Name of the network.
        method: Name of the training method.
        seed: Seed of the training.
    """
    return folder / f"{network}-{method}-seed{seed}.pt"


def train_all(jobs: Sequence[Job], *, device: str, workers: int, say: Callable[[str], None]) -> dict[Path, str]:
    """Trains the models that are not trained yet.

    On a CPU each model is trained by one thread, several at a time: a small network is trained by two processes with
    one thread each in far less time than by one process with two, and to the same bits on every machine of its kind.

    Args:
        jobs: The models.
        device: `cpu` or a GPU, where they are trained one after the other.
        workers: Processes on a CPU.
        say: Where a line for each model goes.

    Returns:
        By checkpoint, the reason why it could not be trained; models that are complete are omitted.
    """
    refused: dict[Path, str] = {}
    hashes: dict[tuple[Path, Path], dict[str, Any]] = {}
    left = [k for k, job in enumerate(jobs) if not _is_there(job, hashes)]
    say(f"training {len(left)} models; {len(jobs) - len(left)} are there")
    if not left:
        return refused

    def keep(unit: int, result: Mapping[str, Any]) -> None:
        if result["refused"]:
            refused[jobs[unit].out] = result["refused"]
        say(f"{jobs[unit].out.stem}: {result['refused'] or result['said']}")

    executor = partial(local_workers, [device] * min(workers, len(left))) if device == "cpu" else None
    make_units(left, partial(_train, list(jobs), device), keep, executor)
    return refused


def _is_there(job: Job, hashes: dict[tuple[Path, Path], dict[str, Any]]) -> bool:
    """Whether a model is complete, with these settings and images; `train` reports any difference.

    Args:
        job: The model.
        hashes: Of images that were opened before; others are added.
    """
    if not job.out.is_file():
        return False
    training = open_checkpoint(job.out).card.training
    if not training.get("complete"):
        return False
    chosen = {name: value for name, value in job.settings.to_json().items() if value is not None}
    if any(training["settings"].get(name) != value for name, value in chosen.items()):
        return False
    images = job.source, job.target
    if images not in hashes:
        hashes[images] = make_setup(*images, job.settings).hashes
    return training["data"] == hashes[images]


def _train(jobs: Sequence[Job], device: str, unit: int) -> dict[str, Any]:
    job = jobs[unit]
    if device == "cpu":
        keep_freed_memory()  # of this worker process
    try:
        trained = train(job.source, job.target, out=job.out, settings=job.settings, device=device, resume=True)
    except InputError as error:  # the data do not allow this method
        return {"refused": " ".join(str(error).split()), "said": ""}
    return {"refused": "", "said": str(trained).partition(": ")[2]}
