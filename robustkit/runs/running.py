"""A measurement from its open model to its run folder: which of its units, where they are made, and what is kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from robustkit.code_gate import code_from_root
from robustkit.errors import InputError, OutOfMemory, RobustkitError
from robustkit.models.checkpoint import versions
from robustkit.models.memory import is_out_of_memory
from robustkit.progress import progress
from robustkit.runs.folder import open_run
from robustkit.runs.halving import plan
from robustkit.runs.makers import Makers, this_maker
from robustkit.runs.measurement import Measurement, Task, join_records, make_unit, start
from robustkit.runs.parts import PARTS, Parts
from robustkit.runs.sample import Sample
from robustkit.runs.shards import Shard, units_of
from robustkit.runs.signals import interruptible
from robustkit.runs.units import StartExecutor, make_units
from robustkit.words import brief

_PATHS = ("data", "base")


@interruptible()
def run_measurement(
    kind: type[Measurement],
    model: str | os.PathLike[str] | Sample,
    request: Any = None,
    *,
    options: Any = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    resume: bool = False,
    shard: Shard | str | None = None,
    executor: Executor | StartExecutor | None = None,
    mix: bool = False,
    say: Callable[[str], None] = print,
) -> Any:
    """Measures the images of a sample and leaves what was found in a run folder.

    Images are measured in groups. A finished group is kept, so a run that was stopped goes on where it was, to the same
    bytes.

    Args:
        kind: The measurement.
        model: The checkpoint, or a sample that is open already.
        request: What to do; by default the defaults.
        options: Options for a third-party model; by default those of the request.
        out: The run folder; by default `runs/<command>-<model>-<n>-<seed>`, with the shard if it is one.
        device: Where to run; by default a GPU if there is one.
        resume: Continue with the run in the folder.
        shard: Work on a part of the groups only, such as `3/64`, and leave the rest to others; `merge_runs` makes one
            run of all shards.
        executor: Where groups are measured: any executor of `concurrent.futures`, or what starts one; by default here.
            Its workers read the model and the images from the same paths.
        mix: Go on also where versions, device or threads are others than those of the finished groups, so that the last
            digits may differ; the summary says which groups each made.
        say: Receives progress messages.

    Returns:
        The result of the measurement; for a shard, that of its groups.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
        RobustkitError: If the disk is full, or a file cannot be written; what was finished is kept.
        RunInterrupted: If a signal stopped the run; what was finished is kept.
    """
    request = kind.request_type() if request is None else request
    if options is not None:
        request = replace(request, options=options)
    said: list[str] = []
    opened = start(kind, model, request, device, said.append)
    try:
        opened.rehearse()
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if not is_out_of_memory(error):
            raise  # an image that does not fit is marked in the record
    part = None if shard is None else Shard.parse(str(shard))
    units = units_of(part, len(opened))
    folder = run_folder(opened, out, part)
    with open_run(folder, run_manifest(opened, part), resume=resume) as run:
        for line in said:
            say(line)
        opened.describe(say)
        parts, makers = Parts(run.folder), Makers(mix)
        left = [unit for unit in units if unit not in parts]
        for unit in sorted(set(units) - set(left)):
            makers.admit(unit, parts.note(unit))
        if left and executor is None:  # so that a stranger is refused before it works
            makers.expect(left[0], this_maker(opened.about["device"]))
        if len(left) < len(units):
            say(f"{len(units) - len(left)} of {len(units)} groups were finished before and are kept")
        line = opened.forecast(images_in(opened, left)) if left else ""
        if line:
            say(line)
        images = images_in(opened, units)
        with progress(total=images * opened.weight, label=opened.doing, unit="image") as bar:
            bar.update((images - images_in(opened, left)) * opened.weight)
            _make(opened, left, parts, makers, executor, device, bar)
        with nullcontext() if len(left) == len(units) else fitting(run.folder):
            if part is None:
                return finish(opened, run.folder, say, mix=mix, resumed_after=len(units) - len(left))
            result = opened.result(_load(opened, parts, units), run.folder)
    say(f"shard {part} is finished, {images} images; when all are, make one run of them with robustkit merge")
    return result


def finish(opened: Measurement, folder: Path, say: Callable[[str], None], *, mix: bool = False, **about: Any) -> Any:
    """Writes what all the units of a run folder amount to, all of them being finished.

    Args:
        opened: The measurement.
        folder: The run folder.
        say: Receives what was found.
        mix: Whether groups may have been made by other versions, devices or threads than one another.
        **about: What else the summary says.
    """
    parts, units, makers = Parts(folder), range(len(opened)), Makers(mix)
    result = opened.result(_load(opened, parts, units), folder)
    notes = [parts.note(unit) for unit in units]
    for unit, note in zip(units, notes, strict=True):
        makers.admit(unit, note)
    sizes = ((unit, note["sizes"]) for unit, note in zip(units, notes, strict=True))
    about = {**opened.about, **about, "made_by": makers.to_json()}
    about |= {"plan": plan(opened.request.group, sizes), "notes": notes}
    for line in opened.write(folder, result, about):
        say(line)
    if len(makers.known) > 1:
        say(
            f"made in {len(makers.known)} ways, as --mix allows, so the last digits may differ; summary.json says which"
        )
    return result


@contextmanager
def fitting(folder: Path) -> Generator[None]:
    """Says in words that kept groups, each of which is whole, do not fit each other: somebody changed them."""
    try:
        yield
    except RobustkitError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"the groups kept in {folder / PARTS} do not fit this run or each other ({type(error).__name__}: "
            f"{brief(error)}); start again in a new folder"
        ) from error


def _load(opened: Measurement, parts: Parts, units: Sequence[int]) -> dict[str, Any]:
    return join_records(parts.load(unit, opened.kinds) for unit in units)


def _make(
    opened: Measurement,
    units: Iterable[int],
    parts: Parts,
    makers: Makers,
    executor: Executor | StartExecutor | None,
    device: str | None,
    bar: tqdm[Any],
) -> None:
    def keep(unit: int, made: Any) -> None:
        makers.admit(unit, made[1])
        parts.keep(unit, *made)

    if executor is None:
        make_units(units, partial(opened.make, bar=bar), keep)
        return

    def keep_and_show(unit: int, made: Any) -> None:
        keep(unit, made)
        bar.update(images_in(opened, [unit]) * opened.weight)

    if not opened.sample.model.exists():
        raise InputError("workers read the model from a file; give the path of a checkpoint, or no executor")
    request = replace(opened.request, **_from_root(opened.request))  # a worker may stand in another folder
    task = Task(type(opened), os.path.abspath(opened.sample.model), request, device, opened.inputs, versions())
    make_units(units, partial(make_unit, task), keep_and_show, executor)


def _absolute(request: Any) -> dict[str, Any]:
    """The paths of a request, from the root."""
    paths = {name: getattr(request, name, None) for name in _PATHS}
    found: dict[str, Any] = {name: os.path.abspath(path) for name, path in paths.items() if path is not None}
    return found | ({} if request.options is None else {"options": request.options.from_root()})


def _from_root(request: Any) -> dict[str, Any]:
    """The same, and the files of code that it names; what they are called in records is not their path."""
    found: dict[str, Any] = {}
    for field in fields(request):
        value = getattr(request, field.name)
        if isinstance(value, str):
            found[field.name] = code_from_root(value)
        elif isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            found[field.name] = tuple(map(code_from_root, value))
    return found | _absolute(request)


def images_in(opened: Measurement, units: Iterable[int]) -> int:
    """How many images units have together."""
    parts = (opened.part(unit) for unit in units)
    return sum(part.stop - part.start for part in parts)


def run_folder(opened: Measurement, out: str | os.PathLike[str] | None, shard: Shard | None) -> Path:
    """Where a run is kept; see `run_measurement`."""
    if out is not None:
        return Path(out)
    name = f"{opened.command}-{opened.sample.model.stem}-{opened.request.n}-{opened.request.seed}"
    return Path("runs") / (name if shard is None else f"{name}-shard-{shard.index}-of-{shard.of}")


def run_manifest(opened: Measurement, shard: Shard | None) -> dict[str, Any]:
    """What a run is: what decides its answers under `inputs`, and what a merge needs to open it again."""
    request = {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in asdict(opened.request).items()}
    request |= {name: path for name, path in _absolute(opened.request).items() if name != "options"}
    return {
        "command": opened.command,
        "inputs": {**opened.inputs, "units": len(opened), "shard": None if shard is None else str(shard)},
        "versions": opened.about["versions"],
        "device": torch.device(opened.about["device"]).type,
        "model": os.path.abspath(opened.sample.model),
        "request": request,
    }
