"""Certificates from a checkpoint on disk to a run folder: what `robustkit certify` does, for use from Python too."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from robustkit.audit.attack import about_inputs, choose_device
from robustkit.audit.opening import Draw, open_chosen
from robustkit.audit.sample import Inputs
from robustkit.audit.units import images_in, make_run_units, run_folder, run_manifest
from robustkit.drawings import write_figure
from robustkit.engine import make_evaluator
from robustkit.engine.rate import candidates_per_second
from robustkit.errors import InputError
from robustkit.files import write_json, write_text
from robustkit.models import ModelOptions
from robustkit.perturb.certificate import CertificateRecord, certify
from robustkit.perturb.threats import ValueRange, describe_values, make_values
from robustkit.progress import progress
from robustkit.report.vulnerability_figure import draw_vulnerability
from robustkit.runs import Run, Shard, StartExecutor, interruptible, open_run, units_of
from robustkit.stats import wilson

RECORD, TABLE, SUMMARY, MAPS, PARTS = (
    "certificates.npz",
    "certificates.csv",
    "summary.json",
    "vulnerability.png",
    "parts",
)


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
        options: What to say about a model that robustkit did not train.
        group: How many images are certified together; see `AttackRequest`.
    """

    n: int = 150
    data: str | os.PathLike[str] | None = None
    part: str = "test"
    budget: int | None = None
    values: str = "corners"
    value_range: ValueRange | None = None
    seed: int = 0
    take_all: bool = False
    options: ModelOptions | None = None
    group: int = 16

    def __post_init__(self) -> None:
        if self.group < 1:
            raise InputError(f"a group has at least 1 image, came --group {self.group}")
        if self.budget is not None and self.budget < 1:
            raise InputError(f"the budget must be at least 1 query an image, came {self.budget}")


class OpenCertify:
    """Certificates whose checkpoint and images are open, and which can make each of their units.

    Args:
        model: The checkpoint.
        request: What to do.
        device: Where to run; by default a GPU if there is one.

    Raises:
        InputError: If anything given cannot be used.
    """

    command = "certify"
    weight = 1

    def __init__(self, model: str | os.PathLike[str], request: CertifyRequest, device: str | None) -> None:
        self.model, self.request = Path(model), request
        draw = Draw(request.n, request.data, request.part, request.seed, request.take_all)
        self.said: list[str] = []
        self.checkpoint, self.chosen = open_chosen(
            model, request.options, draw, device=choose_device(device), say=self.said.append
        )
        self.images = Inputs(self.chosen, self.checkpoint.stretch)
        self.values = make_values(
            request.values,
            input_range=self.checkpoint.card.input_range,
            value_range=request.value_range,
            stretch=self.checkpoint.stretch,
            units=self.chosen.image_set.units,
            bounds=self.chosen.image_set.bounds,
            device=self.checkpoint.classifier.device,
        )
        self.settings = {"values": self.values.to_json(), "budget": request.budget, "seed": request.seed}
        self.about = about_inputs(self.model, self.chosen, self.checkpoint)
        self.inputs = {**self.about["inputs"], "settings": self.settings, "group": request.group}

    def __len__(self) -> int:
        return -(-len(self.images) // self.request.group)

    def part(self, unit: int) -> slice:
        """Which of the images drawn belong to a unit."""
        return slice(unit * self.request.group, min(len(self.images), (unit + 1) * self.request.group))

    def make(self, unit: int, bar: tqdm[Any] | None = None) -> CertificateRecord:
        """Certifies a group of images."""
        part = self.part(unit)
        record = certify(
            self.checkpoint.classifier,
            self.images[part],
            self.chosen.labels[part],
            values=self.values,
            ids=self.chosen.ids[part],
            budget=self.request.budget,
            seed=self.request.seed,
        )
        if bar is not None:
            bar.update(len(record.ids))
        return record

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be tried, and how long it takes."""
        chosen, card = self.chosen, self.checkpoint.card
        say(f"{len(self.images)} of {chosen.available} images, part {chosen.part} of {chosen.path}")
        units = chosen.image_set.units
        say(describe_values(self.values, bands=card.bands, stretch=self.checkpoint.stretch, units=units))
        cells = int(np.prod(self.images.shape[2:])) * self.values.size
        first = self.images[slice(0, self.request.group)].to(self.checkpoint.classifier.device)
        evaluator = make_evaluator(self.checkpoint.classifier, first)
        seconds = min(cells, self.request.budget or cells) / candidates_per_second(evaluator)
        say(f"{cells:,} cells an image, about {seconds:.2g} s each by the {evaluator.name} engine")

    def write(self, run: Run, say: Callable[[str], None]) -> CertificateRecord:
        """Writes what the parts of a run amount to, all of them being there."""
        record = CertificateRecord.join([CertificateRecord.load(part_path(run.folder, u)) for u in range(len(self))])
        # How long it took stands in the summary: with it, no two runs would leave the same record.
        replace(record, seconds=0.0).save(run.folder / RECORD)
        write_text(run.folder / TABLE, table(record))
        _draw(run.folder / MAPS, record)
        write_json(run.folder / SUMMARY, {**summary(record), **self.about, "settings": self.settings})
        say(describe(record))
        say(f"everything is in {run.folder}, the numbers in {run.folder / SUMMARY}")
        return record


def part_path(folder: Path, unit: int) -> Path:
    """Where a run keeps the record of a unit."""
    return folder / PARTS / f"{unit:07d}.npz"


def run_certify(
    model: str | os.PathLike[str],
    request: CertifyRequest | None = None,
    *,
    options: ModelOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    resume: bool = False,
    shard: Shard | str | None = None,
    executor: Executor | StartExecutor | None = None,
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
        shard: Work on a part of the groups only, such as `3/64`; see `run_attack`.
        executor: Where groups are certified; see `run_attack`.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
        RunInterrupted: If a signal stopped the run; what was finished is kept.
    """
    request = request or CertifyRequest()
    opened = OpenCertify(model, request if options is None else replace(request, options=options), device)
    part = None if shard is None else Shard.parse(str(shard))
    units = units_of(part, len(opened))
    folder = run_folder(opened, out, part)
    with open_run(folder, run_manifest(opened, part), resume=resume) as run, interruptible():
        for line in opened.said:
            say(line)
        opened.describe(say)
        (folder / PARTS).mkdir(exist_ok=True)
        left = [unit for unit in units if not part_path(folder, unit).exists()]
        with progress(total=images_in(opened, units), label="certifying", unit="image") as bar:
            bar.update(images_in(opened, units) - images_in(opened, left))
            keep = lambda unit, record: record.save(part_path(folder, unit))  # noqa: E731
            make_run_units(opened, left, keep, executor=executor, device=device, bar=bar)
        if part is None:
            return opened.write(run, say)
    record = CertificateRecord.join([CertificateRecord.load(part_path(folder, unit)) for unit in units])
    say(f"shard {part} is finished, {len(record.ids)} images; when all are, make one run of them with robustkit merge")
    return record


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
    write_figure(figure, path, dpi=130)
