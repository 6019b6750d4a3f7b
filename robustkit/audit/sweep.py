"""A sweep from a checkpoint on disk to a run folder: what `robustkit sweep` does, for use from Python too."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robustkit.audit.opening import Draw, open_audit
from robustkit.audit.sample import Sample, open_sample
from robustkit.data import ImageSet
from robustkit.errors import InputError
from robustkit.files import atomic_write, write_json, write_text
from robustkit.models import Checkpoint, ModelOptions, open_model
from robustkit.models.checkpoint import versions
from robustkit.perturb.conditions import Conditions, calibrated, conditions_of
from robustkit.perturb.faults.registry import PERTURBATIONS, perturbation_kind
from robustkit.perturb.perturbation import Perturbation, Stage
from robustkit.perturb.sweep import SweepRecord, sweep
from robustkit.perturb.sweep_summary import SweepSummary, summarise_sweep
from robustkit.report.sweep_figures import SweepCurve, draw_sweep
from robustkit.runs import interruptible, open_run
from robustkit.stats import wilson

RECORD, TABLE, SUMMARY, FIGURE = "sweep.npz", "sweep.csv", "summary.json", "sweep.png"
SUITES = ("lsst", "plain")


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
        perturbations: Names, or classes of one's own as `package.module:Class`.
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

    def kinds(self) -> dict[str, type[Perturbation]]:
        """The classes by name."""
        if self.suite is None:
            return {kind.name: kind for kind in map(perturbation_kind, self.perturbations)}
        return {name: kind for name, kind in PERTURBATIONS.items() if self.suite == "lsst" or not kind.physical}

    def steps(self) -> list[Perturbation]:
        """Every perturbation at every level, from mild to severe; the level at which nothing happens is left out."""
        found = []
        for kind in self.kinds().values():
            levels = dict.fromkeys(float(level) for level in self.levels or kind.levels)
            made = [kind(level) for level in levels if level != kind.identity]
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
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> SweepRun:
    """Sweeps perturbations over a checkpoint and leaves record, table, summary and figure in a run folder.

    Args:
        model: The checkpoint.
        request: What to do.
        options: What to say about a model that robustkit did not train; it holds for `request.base` too.
        out: A new folder; by default `runs/sweep-<model>-<n>-<seed>`.
        device: `cpu` or `cuda`.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
        RunInterrupted: If a signal stopped the run.
    """
    model, steps = Path(model), request.steps()
    draw = Draw(request.n, request.data, request.part, request.seed, request.take_all)
    checkpoint, sample = open_audit(model, options, draw, device=_device(device), say=say)
    images, conditions = _stored(checkpoint, sample, steps)
    base = None if request.base is None else Path(request.base)
    other = None
    if base is not None:
        options = None if checkpoint.origin.own else options
        other = open_model(base, options, images=sample.image_set, device=_device(device))
        # That it takes these images, bands and classes.
        open_sample(other, base, data=sample.path, part="all", n=1, seed=request.seed, images=sample.image_set)
    foreign = {} if checkpoint.origin.own else {"model_options": checkpoint.origin.options}
    inputs = {
        "model_sha256": checkpoint.origin.sha256,
        "base_sha256": None if other is None else other.origin.sha256,
        **foreign,
        "data_sha256": sample.image_set.provenance,
        "part": sample.part,
        "n": len(sample.images),
        "seed": request.seed,
        "steps": [step.to_json() for step in steps],
    }
    folder = Path(out) if out is not None else Path("runs") / f"sweep-{model.stem}-{request.n}-{request.seed}"
    with open_run(folder, {"inputs": inputs, "versions": versions()}), interruptible():
        say(f"{len(sample.images)} of {sample.available} images, part {sample.part} of {sample.path}")
        for note in images.notes:
            say(note)
        record = _sweep(checkpoint, images, conditions, steps, request.seed)
        against = None if other is None else _sweep(other, images, conditions, steps, request.seed)
        summary = summarise_sweep(record, against, kinds=request.kinds())
        record.save(folder / RECORD)
        write_text(folder / TABLE, table(summary, record.class_names))
        with atomic_write(folder / FIGURE) as file:
            draw_sweep(curves(record, summary), record.class_names).savefig(file, format="png", dpi=130)
        about = {"inputs": inputs, "versions": versions(), "model": str(model), "data": str(sample.path)}
        write_json(folder / SUMMARY, {**summary.to_json(), **about, "origin": conditions and conditions.origin})
    say(summary.text())
    say(f"everything is in {folder}, the numbers in {folder / SUMMARY}")
    return SweepRun(folder, record, summary)


def table(summary: SweepSummary, class_names: Sequence[str]) -> str:
    """The steps as CSV, a line each."""
    columns = ["perturbation", "level", "unit", "n", "accuracy", "low", "high"]
    columns += [f"{what}_{name}" for name in class_names for what in ("recall", "recall_low", "recall_high")]
    columns += ["right_to_wrong", "wrong_to_right", "latent_distance", "margin", "not_finite", "outside", "risk"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for step in summary.steps:
        ends = (step.accuracy.value, step.accuracy.low, step.accuracy.high)
        line = [step.name, f"{step.level:.9g}", step.unit, step.accuracy.n, *map(_digits, ends)]
        for one in step.recall:
            line += [_digits(value) for value in (one.value, one.low, one.high)]
        line += [step.right_to_wrong, step.wrong_to_right, _digits(step.distance), _digits(step.margin)]
        writer.writerow([*line, step.not_finite, step.outside, "" if step.risk is None else _digits(step.risk)])
    return text.getvalue()


def curves(record: SweepRecord, summary: SweepSummary) -> list[SweepCurve]:
    """What is drawn: a curve for each perturbation."""
    right = np.vstack([record.clean_class == record.true, record.new_class == record.true])  # (1 + S, N)
    made = []
    for threshold in summary.thresholds:
        steps = record.steps(threshold.name)
        rows = right[np.concatenate([[0], steps + 1])]
        recall = [rows[:, record.true == k].mean(1) if (record.true == k).any() else np.full(len(rows), np.nan)
                  for k in range(len(record.class_names))]  # fmt: skip
        accuracy = wilson(rows.sum(1), np.full(len(rows), rows.shape[1]))
        unit = summary.steps[int(steps[0])].unit
        made.append(SweepCurve(threshold.name, unit, record.level[steps], accuracy, np.array(recall), str(threshold)))
    return made


def _stored(
    checkpoint: Checkpoint, sample: Sample, steps: Sequence[Perturbation]
) -> tuple[ImageSet, Conditions | None]:
    """The images before the stretch, where that is needed, and how they were taken, where that is."""
    images = sample.image_set
    if any(step.stage != Stage.STRETCHED for step in steps):
        images = calibrated(images)
    conditions = conditions_of(images) if any(step.physical for step in steps) else None
    return images, conditions


def _sweep(
    checkpoint: Checkpoint, images: ImageSet, conditions: Conditions | None, steps: Sequence[Perturbation], seed: int
) -> SweepRecord:
    stretch = None if images.stretch is not None else checkpoint.stretch
    assert images.labels is not None
    return sweep(
        checkpoint.classifier,
        images.images,
        images.labels,
        images.ids,
        steps,
        stretch=stretch,
        conditions=conditions,
        bounds=images.bounds if stretch is not None else None,
        seed=seed,
    )


def _device(name: str) -> torch.device:
    if name not in ("cpu", "cuda"):
        raise InputError(f"unknown device {name!r}; expected cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is here; use --device cpu")
    return torch.device(name)


def _digits(value: Any) -> str:
    return f"{float(value):.9g}"
