"""Certificates from a checkpoint on disk to a run folder: what `robustkit certify` does, for use from Python too."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from robustkit.audit.attack import about_inputs, choose_device
from robustkit.audit.opening import Draw, open_audit
from robustkit.audit.sample import Sample
from robustkit.engine import Evaluator, make_evaluator
from robustkit.engine.rate import candidates_per_second
from robustkit.errors import InputError
from robustkit.files import atomic_write, write_json, write_text
from robustkit.models import Checkpoint, ModelOptions
from robustkit.perturb.certificate import CertificateRecord, certify
from robustkit.perturb.threats import ValueRange, describe_values, make_values
from robustkit.perturb.values import ValueSet
from robustkit.progress import progress
from robustkit.report.vulnerability_figure import draw_vulnerability
from robustkit.runs import interruptible, open_run
from robustkit.stats import wilson

RECORD, TABLE, SUMMARY, MAPS, PARTS = (
    "certificates.npz",
    "certificates.csv",
    "summary.json",
    "vulnerability.png",
    "parts",
)
# Images between two savings: what an interrupted run loses at most.
_PART = 16


@dataclass(frozen=True)
class CertifyRequest:
    """What a certificate is asked for.

    Attributes:
        n: How many images to draw.
        data: The image set; by default the one that the model was trained on.
        part: A part of the model's split, or `all`.
        budget: The most queries of an image; below the number of cells the chance of a flip is only bounded.
        values: What a pixel may become; see `robustkit.perturb.threats.make_values`.
        value_range: `data` or `paper`.
        seed: Of the draw, and of the sample of cells where the budget covers no complete pass.
        take_all: Go on with all images of the part when there are fewer than n.
    """

    n: int = 150
    data: str | os.PathLike[str] | None = None
    part: str = "test"
    budget: int | None = None
    values: str = "corners"
    value_range: ValueRange | None = None
    seed: int = 0
    take_all: bool = False


def run_certify(
    model: str | os.PathLike[str],
    request: CertifyRequest | None = None,
    *,
    options: ModelOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> CertificateRecord:
    """Tries every cell of every correctly classified image of a sample, and leaves what came of it in a run folder.

    Args:
        model: The checkpoint.
        request: What to do.
        options: What to say about a model that robustkit did not train.
        out: The run folder; by default `runs/certify-<model>-<n>-<seed>`.
        device: Where to run; by default a GPU if there is one.
        resume: Go on with the run in the folder.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
        RunInterrupted: If a signal stopped the run; what was finished is kept.
    """
    request = request or CertifyRequest()
    if request.budget is not None and request.budget < 1:
        raise InputError(f"the budget must be at least 1 query an image, came {request.budget}")
    model = Path(model)
    draw = Draw(request.n, request.data, request.part, request.seed, request.take_all)
    checkpoint, sample = open_audit(model, options, draw, device=choose_device(device), say=say)
    units = sample.image_set.units
    values = make_values(
        request.values,
        input_range=checkpoint.card.input_range,
        value_range=request.value_range,
        stretch=checkpoint.stretch,
        units=units,
        bounds=sample.image_set.bounds,
        device=checkpoint.classifier.device,
    )
    about = about_inputs(model, sample, checkpoint)
    settings = {"values": values.to_json(), "budget": request.budget, "seed": request.seed}
    manifest = {"inputs": {**about["inputs"], "settings": settings}, "versions": about["versions"]}
    folder = Path(out) if out is not None else Path("runs") / f"certify-{model.stem}-{request.n}-{request.seed}"
    with open_run(folder, manifest, resume=resume), interruptible():
        say(f"{len(sample.images)} of {sample.available} images, part {sample.part} of {sample.path}")
        say(describe_values(values, bands=checkpoint.card.bands, stretch=checkpoint.stretch, units=units))
        record = _in_parts(folder / PARTS, checkpoint, sample, values, request, say)
        record.save(folder / RECORD)
        write_text(folder / TABLE, table(record))
        _draw(folder / MAPS, record)
        write_json(folder / SUMMARY, {**summary(record), **about, "settings": settings})
    say(describe(record))
    say(f"everything is in {folder}, the numbers in {folder / SUMMARY}")
    return record


def _in_parts(
    folder: Path,
    checkpoint: Checkpoint,
    sample: Sample,
    values: ValueSet,
    request: CertifyRequest,
    say: Callable[[str], None],
) -> CertificateRecord:
    """Certifies a few images at a time; a part that was saved before is read and not made again."""
    folder.mkdir(exist_ok=True)
    cells = int(np.prod(sample.images.shape[2:])) * values.size
    shown = False

    def evaluator(classifier: Any, images: torch.Tensor) -> Evaluator:
        nonlocal shown
        made = make_evaluator(classifier, images)
        if not shown:
            shown = True
            seconds = min(cells, request.budget or cells) / candidates_per_second(made)
            say(f"{cells:,} cells an image, about {seconds:.2g} s each by the {made.name} engine")
        return made

    parts: list[CertificateRecord] = []
    for start in progress(range(0, len(sample.images), _PART), label="certifying", unit="part"):
        path, part = folder / f"{start:07d}.npz", slice(start, start + _PART)
        if not path.exists():
            certify(
                checkpoint.classifier,
                sample.images[part],
                sample.labels[part],
                values=values,
                ids=sample.image_set.ids[part],
                budget=request.budget,
                seed=request.seed,
                evaluator=evaluator,
            ).save(path)
        parts.append(CertificateRecord.load(path))
    return CertificateRecord.join(parts)


def summary(record: CertificateRecord) -> dict[str, Any]:
    """The numbers of a record as JSON values, denominators first."""
    attacked = int(record.correct.sum())
    complete = int(record.complete.sum())
    chances = record.chance_low[record.complete & record.flippable]
    return {
        "drawn": len(record.ids),
        "correct": attacked,
        "complete": complete,
        "certified": int(record.certified.sum()),
        "flippable": int(record.flippable.sum()),
        "flippable_rate": asdict(wilson(int(record.flippable.sum()), attacked)),
        "cells": record.cells,
        "queries": int(record.queries.sum()),
        "rechecked_by_the_plain_network": int(record.rechecked.sum()),
        "chance_of_a_random_hit": {
            "mean_over_correct": float(record.chance_low[record.complete].mean()) if complete else None,
            "median_over_flippable": float(np.median(chances)) if len(chances) else None,
        },
        "error_bound": record.error_bound,
        "seconds": record.seconds,
    }


def describe(record: CertificateRecord) -> str:
    """The table for the terminal."""
    numbers = summary(record)
    attacked = numbers["correct"]
    lines = [
        f"{numbers['drawn']} images drawn, {attacked} classified correctly, "
        f"{numbers['complete']} of these with every cell tried",
        f"  flippable  {numbers['flippable']} of {attacked}: {wilson(numbers['flippable'], attacked)}",
        f"  certified  {numbers['certified']} of {attacked}: no value of this set at any single pixel flips them",
    ]
    chance = numbers["chance_of_a_random_hit"]["mean_over_correct"]
    if chance is not None:
        lines.append(f"  a random hit (pixel and value drawn at random) flips a correct image with chance {chance:.2g}")
    open_images = attacked - numbers["complete"]
    if open_images:
        high = float(np.nanmax(record.chance_high[record.correct & ~record.complete]))
        lines.append(
            f"  {open_images} images were sampled only: a random hit flips them with chance {high:.2g} at most"
        )
    rate = numbers["queries"] / max(numbers["seconds"], 1e-9)
    lines.append(f"  {numbers['queries']:,} queries in {numbers['seconds']:.1f} s, {rate:,.0f} a second")
    return "\n".join(lines)


def table(record: CertificateRecord) -> str:
    """A line of CSV for each image."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = ("queries", "flipping", "chance_low", "chance_high", "best_margin", "best_row", "best_column")
    writer.writerow(["id", "true", "correct", "complete", "certified", *names])
    flags = zip(record.correct, record.complete, record.certified, strict=True)
    for i, (correct, complete, certified) in enumerate(flags):
        values = [getattr(record, name)[i] for name in names]
        true = record.class_names[record.labels[i]]
        writer.writerow([record.ids[i], true, int(correct), int(complete), int(certified), *values])
    return buffer.getvalue()


def _draw(path: Path, record: CertificateRecord) -> None:
    flips, _ = record.class_maps()
    counts = [int((record.correct & (record.labels == k)).sum()) for k in range(len(record.class_names))]
    figure = Figure(figsize=(3.6 * len(counts), 3.6), layout="constrained")
    options = record.cells // flips[0].size
    draw_vulnerability(figure, flips / options, record.class_names, counts)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=130)
