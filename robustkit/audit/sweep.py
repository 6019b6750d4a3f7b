"""A sweep from a checkpoint on disk to a run folder: what `robustkit sweep` does, for use from Python too."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustkit.audit.attack import choose_device
from robustkit.audit.opening import Draw, open_chosen
from robustkit.audit.sample import Chosen, Rows, check_fit
from robustkit.audit.sweep_files import SUMMARY, write_sweep
from robustkit.errors import InputError
from robustkit.models import Checkpoint, ModelOptions, open_model
from robustkit.models.checkpoint import versions
from robustkit.perturb.conditions import conditions_of
from robustkit.perturb.faults.naming import Named, read_name
from robustkit.perturb.faults.on_input import OnInput
from robustkit.perturb.faults.registry import SUITES
from robustkit.perturb.perturbation import Perturbation, Stage
from robustkit.perturb.sweep import Block, SweepJob, SweepRecord
from robustkit.perturb.sweep_summary import SweepSummary, summarise_sweep
from robustkit.perturb.workers import worker_processes
from robustkit.runs import interruptible, open_run
from robustkit.runs.folder import Run


@dataclass(frozen=True, eq=False)
class SweepRun:
    """A finished run.

    Attributes:
        folder: Where its files are.
        record: What was found.
        summary: Its numbers.
    """

    folder: Path
    record: SweepRecord
    summary: SweepSummary


@dataclass(frozen=True)
class SweepRequest:
    """What a sweep over a checkpoint is asked to do.

    Attributes:
        perturbations: Names, with options if need be (`psf,restore_noise=false`), or classes of one's own as
            `package.module:Class`.
        levels: For a single perturbation; by default its five named levels.
        suite: `lsst` for every perturbation at five levels, `plain` for those that need no units.
        n: How many images to draw.
        data: The image set; by default the one that the model was trained on.
        part: A part of the model's split, or `all`.
        seed: Of the draw and of all random streams.
        base: A checkpoint to compare with, for CE and mCE.
        take_all: Go on with all images of the part when there are fewer than n.
    """

    perturbations: Sequence[str] = ()
    levels: Sequence[float] = ()
    suite: str | None = None
    n: int = 150
    data: str | os.PathLike[str] | None = None
    part: str = "test"
    seed: int = 0
    base: str | os.PathLike[str] | None = None
    take_all: bool = False

    def __post_init__(self) -> None:
        if self.suite is not None and self.suite not in SUITES:
            raise InputError(f"unknown suite {self.suite!r}; known are {', '.join(SUITES)}")
        if bool(self.perturbations) == (self.suite is not None):
            raise InputError(f"name perturbations with --perturb or a suite ({', '.join(SUITES)}) with --suite")
        if self.levels and len(self.perturbations) != 1:
            raise InputError("--levels are those of one perturbation; give one --perturb, or leave --levels away")

    def named(self) -> list[Named]:
        """What is swept, without levels."""
        return [read_name(text) for text in (self.perturbations if self.suite is None else SUITES[self.suite])]

    def steps(self, input_range: tuple[float, float] = (0.0, 1.0), bands: int = 2) -> list[Perturbation]:
        """Every perturbation at every level, from mild to severe; the level at which nothing happens is left out.

        Args:
            input_range: Lowest and highest network input, for perturbations of it.
            bands: How many there are; a suite leaves away what needs more.
        """
        found = []
        for named in self.named():
            if self.suite is not None and bands < named.kind.least_bands:
                continue
            fitted = dict(zip(("low", "high"), input_range, strict=True)) if issubclass(named.kind, OnInput) else {}
            levels = dict.fromkeys(float(level) for level in self.levels or named.kind.levels)
            one = Named(named.kind, fitted | named.options)
            made = [one.at(level) for level in levels if level != named.kind.identity]
            found += sorted(made, key=lambda perturbation: perturbation.strength())
        if not found:
            raise InputError("nothing would happen at these levels; give others with --levels")
        return found


def run_sweep(
    model: str | os.PathLike[str],
    request: SweepRequest,
    *,
    options: ModelOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    resume: bool = False,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> SweepRun:
    """Sweeps perturbations over a checkpoint and leaves record, table, summary and figures in a run folder.

    Finished blocks of images are journalled, so a run that was stopped goes on where it was, to the same bytes.

    Args:
        model: The checkpoint.
        request: What to do.
        options: What to say about a model that robustkit did not train; it holds for `request.base` too.
        out: The run folder; by default `runs/sweep-<model>-<n>-<seed>`.
        device: Where to run; by default a GPU if there is one.
        resume: Go on with the run in the folder.
        workers: Processes for FITS compression and JPEG; by default one for each core, 0 for none.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
        RunInterrupted: If a signal stopped the run; what was finished is kept.
    """
    model, base = Path(model), None if request.base is None else Path(request.base)
    request.steps()  # so that what is wrong with it is said first
    draw = Draw(request.n, request.data, request.part, request.seed, request.take_all)
    checkpoint, chosen = open_chosen(model, options, draw, device=choose_device(device), say=say)
    lows, highs = zip(*checkpoint.card.input_range, strict=True)
    steps = request.steps((min(lows), max(highs)), len(checkpoint.card.bands))
    options = None if checkpoint.origin.own else options
    other = None
    if base is not None:
        other = open_model(base, options, images=chosen.image_set, device=choose_device(device))
    if other is not None:
        check_fit(other, chosen.image_set, chosen.path)
    job = _job(checkpoint, chosen, steps, request.seed)
    against = None if other is None else _job(other, chosen, steps, request.seed)
    plugins = {named.kind.name: named.source_sha256() for named in request.named()}
    inputs = {
        "model_sha256": checkpoint.origin.sha256,
        "base_sha256": None if other is None else other.origin.sha256,
        **({} if checkpoint.origin.own else {"model_options": checkpoint.origin.options}),
        "data_sha256": chosen.image_set.provenance,
        "split_sha256": checkpoint.card.data.get("split_sha256"),
        "part": chosen.part,
        "n": len(chosen.rows),
        "seed": request.seed,
        "block": job.block,
        "steps": [step.to_json() for step in steps],
        "plugins_sha256": {name: digest for name, digest in plugins.items() if digest is not None},
    }
    about = {"inputs": inputs, "versions": versions(), "device": str(checkpoint.classifier.device)}
    folder = Path(out) if out is not None else Path("runs") / f"sweep-{model.stem}-{request.n}-{request.seed}"
    with worker_processes(workers), open_run(folder, about, resume=resume) as run, interruptible():
        say(f"{len(chosen.rows)} of {chosen.available} images, part {chosen.part} of {chosen.path}")
        if chosen.repeats:
            say(f"{chosen.repeats} further images of the same objects are left out, because they are not independent")
        for note in chosen.image_set.notes:
            say(note)
        origin = None if job.conditions is None else job.conditions.origin
        if chosen.image_set.stretch is not None and job.stretch is not None:
            say(
                "inverted stretch: pixels that the stretch clipped are lost, so bright cores are fainter than they were"
            )
        left = [named.kind.name for named in request.named() if named.kind.least_bands > len(checkpoint.card.bands)]
        if left:
            say(f"left away, because they need more bands: {', '.join(left)}")
        record = _go_on(job, run, "model")
        compared = None if against is None else _go_on(against, run, "base")
        summary = summarise_sweep(record, compared, kinds={named.kind.name: named.kind for named in request.named()})
        paths = {"model": str(model), "base": None if base is None else str(base), "data": str(chosen.path)}
        write_sweep(folder, record, summary, base=compared, about={**about, **paths, "origin": origin})
    say(summary.text())
    say(f"everything is in {folder}, the numbers in {folder / SUMMARY}")
    return SweepRun(folder, record, summary)


def _job(checkpoint: Checkpoint, chosen: Chosen, steps: Sequence[Perturbation], seed: int) -> SweepJob:
    """The sweep of a network: over calibrated images where a step needs them, otherwise as the images are."""
    images = chosen.image_set
    calibrated = images.stretch is None or any(step.stage != Stage.STRETCHED for step in steps)
    assert images.labels is not None
    return SweepJob(
        checkpoint.classifier,
        Rows(images.images, chosen.rows, images.stretch if calibrated else None),
        images.labels[chosen.rows],
        images.ids[chosen.rows],
        steps,
        stretch=checkpoint.stretch if calibrated else None,
        conditions=conditions_of(images) if any(step.physical for step in steps) else None,
        bounds=images.bounds if calibrated else None,
        seed=seed,
    )


def _go_on(job: SweepJob, run: Run, which: str) -> SweepRecord:
    """Sweeps what the journal does not hold, and makes the record of all."""
    entries: list[dict[str, Any]] = [entry for entry in run.finished if entry["which"] == which]
    found = [Block.from_json(entry, len(job.perturbations)) for entry in entries]
    for block in job.blocks([block.first for block in found], label=f"sweeping the {which}"):
        run.append([{"which": which, **block.to_json()}])
        found.append(block)
    return job.record(found)
