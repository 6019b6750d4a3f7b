"""A run from its open model to its run folder: which of its units, where they are made, and what is kept of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from robustkit.audit.units import OpenRun, Task, make_unit
from robustkit.models.checkpoint import versions
from robustkit.progress import progress
from robustkit.runs import Run, Shard, StartExecutor, make_units, open_run, units_of


def run_opened(
    opened: OpenRun,
    *,
    out: str | os.PathLike[str] | None,
    device: str | None,
    resume: bool,
    shard: Shard | str | None,
    executor: Executor | StartExecutor | None,
    say: Callable[[str], None],
) -> Any:
    """Makes the units of a run that its folder does not hold, and writes what all amount to.

    Args:
        opened: The run.
        out: The run folder; by default `runs/<command>-<model>-<n>-<seed>`, with the shard if it is one.
        device: Where to run; for workers that have no device of their own.
        resume: Go on with the run in the folder.
        shard: Work on a part of the units only, such as `3/64`, and leave the rest to others.
        executor: Where units are made; by default here.
        say: Where the lines for the terminal go.

    Returns:
        What `opened.write` makes of all units, or `opened.found` of those of a shard.

    Raises:
        InputError: If the shard or the folder cannot be used; nothing is written then.
        RobustkitError: If the disk is full, or a file cannot be written; what was finished is kept.
    """
    part = None if shard is None else Shard.parse(str(shard))
    units = units_of(part, len(opened))
    folder = run_folder(opened, out, part)
    with open_run(folder, run_manifest(opened, part), resume=resume) as run:
        for line in opened.said:
            say(line)
        if run.trimmed:
            say(f"the last entry of {run.journal} was cut short when the run was stopped, so its images are done again")
        opened.describe(say)
        finished = opened.finished(folder)
        left = [unit for unit in units if unit not in finished]
        images = images_in(opened, units)
        with progress(total=images * opened.weight, label=opened.doing, unit="image") as bar:
            bar.update((images - images_in(opened, left)) * opened.weight)
            _make(opened, left, run, executor, device, bar)
        if part is None:
            return opened.write(run, say, resumed_after=len(units) - len(left))
    say(f"shard {part} is finished, {images} images; when all are, make one run of them with robustkit merge")
    return opened.found(folder, units)


def _make(
    opened: OpenRun,
    units: Iterable[int],
    run: Run,
    executor: Executor | StartExecutor | None,
    device: str | None,
    bar: tqdm[Any],
) -> None:
    keep = partial(opened.keep, run)
    if executor is None:
        make_units(units, partial(opened.make, bar=bar), keep)
        return

    def keep_and_show(unit: int, result: Any) -> None:
        keep(unit, result)
        bar.update(images_in(opened, [unit]) * opened.weight)

    request = replace(opened.request, **_absolute(opened.request))  # a worker may stand in another folder
    task = Task(type(opened), os.path.abspath(opened.model), request, device, opened.inputs, versions())
    make_units(units, partial(make_unit, task), keep_and_show, executor)


def _absolute(request: Any) -> dict[str, Any]:
    """The paths of a request, from the root."""
    paths = {name: getattr(request, name, None) for name in ("data", "base")}
    found: dict[str, Any] = {name: os.path.abspath(path) for name, path in paths.items() if path is not None}
    return found | ({} if request.options is None else {"options": request.options.from_root()})


def images_in(opened: OpenRun, units: Iterable[int]) -> int:
    """How many images units have together."""
    parts = (opened.part(unit) for unit in units)
    return sum(part.stop - part.start for part in parts)


def run_folder(opened: OpenRun, out: str | os.PathLike[str] | None, shard: Shard | None) -> Path:
    """Where a run is kept; see `run_opened`."""
    if out is not None:
        return Path(out)
    name = f"{opened.command}-{opened.model.stem}-{opened.request.n}-{opened.request.seed}"
    return Path("runs") / (name if shard is None else f"{name}-shard-{shard.index}-of-{shard.of}")


def run_manifest(opened: OpenRun, shard: Shard | None) -> dict[str, Any]:
    """What a run is: what decides its answers under `inputs`, and what a merge needs to open it again."""
    request = {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in asdict(opened.request).items()}
    request |= {name: path for name, path in _absolute(opened.request).items() if name != "options"}
    return {
        "command": opened.command,
        "inputs": {**opened.inputs, "units": len(opened), "shard": None if shard is None else str(shard)},
        "versions": opened.about["versions"],
        "device": torch.device(opened.about["device"]).type,
        "model": os.path.abspath(opened.model),
        "request": request,
    }
