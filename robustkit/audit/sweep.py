"""A sweep from a checkpoint on disk to a run folder: what `robustkit sweep` does, for use from Python too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from robustkit.audit.halving import halved, plan
from robustkit.audit.running import run_opened
from robustkit.audit.sample import Chosen, Rows, check_fit
from robustkit.audit.sweep_files import SUMMARY, write_sweep
from robustkit.audit.sweep_request import SweepRequest
from robustkit.audit.units import OpenRun
from robustkit.models import Checkpoint, ModelOptions, open_model
from robustkit.perturb.conditions import conditions_of
from robustkit.perturb.perturbation import Perturbation, Stage
from robustkit.perturb.sweep import Block, SweepJob, SweepRecord
from robustkit.perturb.sweep_summary import SweepSummary, summarise_sweep
from robustkit.perturb.workers import worker_processes
from robustkit.runs import JOURNAL, FinishedUnits, Run, Shard, StartExecutor, interruptible

__all__ = ["OpenSweep", "SweepRequest", "SweepRun", "run_sweep"]

Blocks = dict[str, list[Block]]  # of each network, in the order of the images


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


class OpenSweep(OpenRun):
    """A sweep whose checkpoint, base model and images are open; see `OpenRun`."""

    command, doing = "sweep", "sweeping"

    def __init__(self, model: str | os.PathLike[str], request: SweepRequest, device: str | None) -> None:
        request.steps()  # so that what is wrong with it is said first
        super().__init__(model, request, device)
        checkpoint, chosen = self.checkpoint, self.chosen
        lows, highs = zip(*checkpoint.card.input_range, strict=True)
        self.steps = request.steps((min(lows), max(highs)), len(checkpoint.card.bands))
        self.jobs = {"model": _job(checkpoint, chosen, self.steps, request)}
        base = None
        if request.base is not None:
            options = None if checkpoint.origin.own else request.options
            base = open_model(request.base, options, images=chosen.image_set, device=checkpoint.classifier.device)
            check_fit(base, chosen.image_set, chosen.path)
            self.jobs["base"] = _job(base, chosen, self.steps, request)
        plugins = {named.kind.name: named.source_sha256() for named in request.named()}
        self.inputs |= {
            "base_sha256": None if base is None else base.origin.sha256,
            "seed": request.seed,
            "draws": request.draws,
            "steps": [step.to_json() for step in self.steps],
            "plugins_sha256": {name: digest for name, digest in plugins.items() if digest is not None},
        }

    @property
    def weight(self) -> int:
        """How many steps an image takes."""
        return len(self.steps) * len(self.jobs)

    def make(self, unit: int, bar: tqdm[Any] | None = None) -> dict[str, Any]:
        """Sweeps a group of images, and returns what came of it as JSON values."""
        blocks, sizes = halved(
            self.part(unit), partial(self._sweep, bar), alone=self._unknown, join=_join, bar=bar, weight=self.weight
        )
        found = {which: [block.to_json() for block in made] for which, made in blocks.items()}
        return {"unit": unit, "blocks": found, "plan": sizes}

    def _sweep(self, bar: tqdm[Any] | None, part: slice) -> Blocks:
        return {which: [job.sweep(part, bar)] for which, job in self.jobs.items()}

    def _unknown(self, part: slice) -> Blocks:
        """What stands for images that do not fit into memory."""
        return {which: [job.unknown(part)] for which, job in self.jobs.items()}

    def _records(self, entries: Iterable[dict[str, Any]]) -> tuple[SweepRecord, SweepRecord | None]:
        """Those of the model and of the base, from units in their order."""
        blocks: Blocks = {which: [] for which in self.jobs}
        for entry in entries:
            for which, found in entry["blocks"].items():
                blocks[which] += [Block.from_json(block, len(self.steps)) for block in found]
        records = {which: job.record(blocks[which]) for which, job in self.jobs.items()}
        return records["model"], records.get("base")

    def _summarise(self, record: SweepRecord, base: SweepRecord | None) -> SweepSummary:
        return summarise_sweep(record, base, kinds={named.kind.name: named.kind for named in self.request.named()})

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be swept, and what is not."""
        chosen, job = self.chosen, self.jobs["model"]
        say(f"{len(chosen.rows)} of {chosen.available} images, part {chosen.part} of {chosen.path}")
        if chosen.repeats:
            say(f"{chosen.repeats} further images of the same objects are left out, because they are not independent")
        for note in chosen.image_set.notes:
            say(note)
        if chosen.image_set.stretch is not None and job.stretch is not None:
            say(
                "inverted stretch: pixels that the stretch clipped are lost, so bright cores are fainter than they were"
            )
        bands = len(self.checkpoint.card.bands)
        left = [named.kind.name for named in self.request.named() if named.kind.least_bands > bands]
        if left:
            say(f"left away, because they need more bands: {', '.join(left)}")

    def found(self, folder: Path, units: Iterable[int]) -> SweepRun:
        """What some of the units of a run amount to, as they are in its folder."""
        entries = FinishedUnits(folder / JOURNAL)
        record, base = self._records(entries[unit] for unit in units)
        return SweepRun(folder, record, self._summarise(record, base))

    def write(self, run: Run, say: Callable[[str], None], **about: Any) -> SweepRun:
        """Writes what the units of a run amount to, all of them being finished."""
        finished, conditions = FinishedUnits(run.journal), self.jobs["model"].conditions
        record, base = self._records(finished)
        summary = self._summarise(record, base)
        about = {
            **self.about,
            **about,
            "inputs": self.inputs,
            "base": None if self.request.base is None else str(self.request.base),
            "origin": None if conditions is None else conditions.origin,
            "plan": plan(self.request.group, ((entry["unit"], entry["plan"]) for entry in finished)),
        }
        write_sweep(run.folder, record, summary, base=base, about=about)
        say(summary.text())
        say(f"everything is in {run.folder}, the numbers in {run.folder / SUMMARY}")
        return SweepRun(run.folder, record, summary)


@interruptible()
def run_sweep(
    model: str | os.PathLike[str],
    request: SweepRequest,
    *,
    options: ModelOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    resume: bool = False,
    shard: Shard | str | None = None,
    executor: Executor | StartExecutor | None = None,
    codecs: int | None = None,
    say: Callable[[str], None] = print,
) -> SweepRun:
    """Sweeps perturbations over a checkpoint and leaves record, table, summary and figures in a run folder.

    Images are swept in groups. A finished group is journalled, so a run that was stopped goes on where it was, to the
    same bytes.

    Args:
        model: The checkpoint.
        request: What to do.
        options: What to say about a model that robustkit did not train; it holds for `request.base` too.
        out: The run folder; by default `runs/sweep-<model>-<n>-<seed>`.
        device: Where to run; by default a GPU if there is one.
        resume: Go on with the run in the folder.
        shard: Work on a part of the groups only, such as `3/64`; see `run_attack`.
        executor: Where groups are swept; see `run_attack`.
        codecs: Processes for FITS compression and JPEG; by default one for each core, 0 for none. With an executor
            its workers do that themselves.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
        RunInterrupted: If a signal stopped the run; what was finished is kept.
    """
    opened = OpenSweep(model, request if options is None else replace(request, options=options), device)
    with worker_processes(codecs if executor is None else 0):
        return run_opened(opened, out=out, device=device, resume=resume, shard=shard, executor=executor, say=say)


def _join(one: Blocks, other: Blocks) -> Blocks:
    return {which: one[which] + other[which] for which in one}


def _job(checkpoint: Checkpoint, chosen: Chosen, steps: Sequence[Perturbation], asked: SweepRequest) -> SweepJob:
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
        seed=asked.seed,
        draws=asked.draws,
    )
