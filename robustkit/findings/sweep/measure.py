"""A sweep of perturbations over a sample: which steps, over which networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from robustkit.errors import InputError
from robustkit.findings.sweep.job import Rows, SweepJob
from robustkit.findings.sweep.record import SweepRecord, SweepRequest
from robustkit.findings.sweep.show import write_sweep
from robustkit.findings.sweep.summary import SweepResult
from robustkit.models import Checkpoint, open_model
from robustkit.perturb.conditions import conditions_of
from robustkit.perturb.faults.naming import Named, read_name
from robustkit.perturb.faults.on_input import OnInput
from robustkit.perturb.faults.registry import SUITES
from robustkit.perturb.perturbation import Perturbation, Stage
from robustkit.perturb.workers import worker_processes
from robustkit.runs.draw import check_fit
from robustkit.runs.measurement import Measurement, Records
from robustkit.runs.running import run_measurement
from robustkit.runs.sample import Sample


def run_sweep(
    model: str | os.PathLike[str] | Sample, request: SweepRequest, *, codecs: int | None = None, **how: Any
) -> SweepResult:
    """Sweeps perturbations over a checkpoint and leaves record, table, summary and figures in a run folder.

    Args:
        model: The checkpoint, or a sample that is open already.
        request: What to do.
        codecs: Processes for FITS compression and JPEG; by default one for each core, 0 for none. With an executor
            its workers do that themselves.
        **how: Where and how; see `robustkit.runs.running.run_measurement`, whose errors it raises.
    """
    steps_of(request)  # so that what is wrong with it is said before model and images are opened
    with worker_processes(codecs if how.get("executor") is None else 0):
        return run_measurement(Sweep, model, request, **how)


class Sweep(Measurement):
    """A sweep of perturbations over the images of a sample."""

    command, doing = "sweep", "sweeping"
    request_type = SweepRequest

    def __init__(self, sample: Sample, request: SweepRequest) -> None:
        super().__init__(sample, request)
        checkpoint = sample.checkpoint
        lows, highs = zip(*checkpoint.card.input_range, strict=True)
        self.steps = steps_of(request, (min(lows), max(highs)), len(checkpoint.card.bands))
        self.jobs = {"model": _job(sample, checkpoint, self.steps, request)}
        base = None
        if request.base is not None:
            options = None if checkpoint.origin.own and not checkpoint.card.arch else request.options
            base = open_model(request.base, options, images=sample.whole, device=checkpoint.classifier.device)
            check_fit(base, sample.whole, sample.path)
            self.jobs["base"] = _job(sample, base, self.steps, request)
        self.kinds = dict.fromkeys(self.jobs, SweepRecord)
        plugins = {named.kind.name: named.source_sha256() for named in named_in(request)}
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

    def measure(self, part: slice, bar: tqdm[Any] | None) -> Records:
        """Sweeps some of the images at once, over each network."""
        return {
            which: SweepRecord.join(
                [
                    replace(job, classifier=job.classifier.about(value)).sweep(one, bar)
                    for value, one in self.sample.values_of(part)
                ]
            )
            for which, job in self.jobs.items()
        }

    def unknown(self, part: slice) -> Records:
        """The records of images that do not fit into memory."""
        return {which: job.unknown(part) for which, job in self.jobs.items()}

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be swept, and what is not."""
        sample, job = self.sample, self.jobs["model"]
        say(f"{len(sample)} of {sample.available} images, part {sample.part} of {sample.path}")
        if sample.repeats:
            say(f"{sample.repeats} further images of the same objects are left out, because they are not independent")
        for note in sample.whole.notes:
            say(note)
        if sample.whole.stretch is not None and job.stretch is not None:
            say(
                "inverted stretch: pixels that the stretch clipped are lost, so bright cores are fainter than they were"
            )
        bands = len(sample.checkpoint.card.bands)
        left = [named.kind.name for named in named_in(self.request) if named.kind.least_bands > bands]
        if left:
            say(f"left out, because they need more bands: {', '.join(left)}")

    def result(self, records: Records, folder: Path | None) -> SweepResult:
        """The sweep with its numbers."""
        kinds = {named.kind.name: named.kind for named in named_in(self.request)}
        return SweepResult(records["model"], self.sample, folder, base=records.get("base"), perturbations=kinds)

    def write(self, folder: Path, result: SweepResult, about: dict[str, Any]) -> list[str]:
        """Writes records, table, figures and summary."""
        conditions = self.jobs["model"].conditions
        del about["notes"]
        about |= {
            "inputs": self.inputs,
            "base": None if self.request.base is None else str(self.request.base),
            "origin": None if conditions is None else conditions.origin,
        }
        return write_sweep(folder, result, about)


def named_in(request: SweepRequest) -> list[Named]:
    """What is swept, without levels."""
    return [read_name(text) for text in (request.perturbations if request.suite is None else SUITES[request.suite])]


def steps_of(
    request: SweepRequest, input_range: tuple[float, float] = (0.0, 1.0), bands: int = 2
) -> list[Perturbation]:
    """Every perturbation at every level, from mild to severe; the level at which nothing happens is left out.

    Args:
        request: What is asked for.
        input_range: Lowest and highest network input, for perturbations of it.
        bands: How many there are; a suite leaves out what needs more.

    Raises:
        InputError: If a perturbation is not known, or nothing would happen.
    """
    found = []
    for named in named_in(request):
        if request.suite is not None and bands < named.kind.least_bands:
            continue
        fitted = dict(zip(("low", "high"), input_range, strict=True)) if issubclass(named.kind, OnInput) else {}
        levels = dict.fromkeys(float(level) for level in request.levels or named.kind.levels)
        one = Named(named.kind, fitted | named.options)
        made = [one.at(level) for level in levels if level != named.kind.identity]
        found += sorted(made, key=lambda perturbation: perturbation.strength())
    if not found:
        raise InputError("nothing would happen at these levels; give others with --levels")
    return found


def _job(sample: Sample, checkpoint: Checkpoint, steps: Sequence[Perturbation], request: SweepRequest) -> SweepJob:
    """The sweep of a network: over calibrated images where a step needs them, otherwise as the images are."""
    images = sample.whole
    calibrated = images.stretch is None or any(step.stage != Stage.STRETCHED for step in steps)
    return SweepJob(
        checkpoint.classifier,
        Rows(images.images, sample.rows, images.stretch if calibrated else None),
        sample.labels.numpy(),
        sample.ids,
        steps,
        stretch=checkpoint.stretch if calibrated else None,
        conditions=conditions_of(images) if any(step.physical for step in steps) else None,
        bounds=images.bounds if calibrated else None,
        seed=request.seed,
        draws=request.draws,
    )
