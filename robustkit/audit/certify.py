"""Certificates from a checkpoint on disk to a run folder: what `robustkit certify` does, for use from Python too."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from robustkit.audit.halving import halved, plan
from robustkit.audit.running import run_opened
from robustkit.audit.sample import Inputs
from robustkit.audit.units import OpenRun
from robustkit.drawings import write_figure
from robustkit.engine import make_evaluator
from robustkit.engine.rate import candidates_per_second
from robustkit.errors import InputError
from robustkit.files import atomic_write, jsonable, write_json, write_text
from robustkit.models import ModelOptions
from robustkit.perturb.certificate import CertificateRecord, certify
from robustkit.perturb.threats import ValueRange, describe_values, make_values
from robustkit.report.vulnerability_figure import draw_vulnerability
from robustkit.runs import JOURNAL, FinishedUnits, Run, Shard, StartExecutor, interruptible
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


class OpenCertify(OpenRun):
    """Certificates whose checkpoint and images are open; see `OpenRun`."""

    command, doing = "certify", "certifying"

    def __init__(self, model: str | os.PathLike[str], request: CertifyRequest, device: str | None) -> None:
        super().__init__(model, request, device)
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
        self.inputs["settings"] = self.settings

    def make(self, unit: int, bar: tqdm[Any] | None = None) -> tuple[CertificateRecord, list[int]]:
        """Certifies a group of images; returns what came of it, and how many were certified at once."""
        return halved(
            self.part(unit), partial(self._certify, bar), alone=self._unknown, join=_join, bar=bar, weight=self.weight
        )

    def _certify(self, bar: tqdm[Any] | None, part: slice) -> CertificateRecord:
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

    def _unknown(self, part: slice) -> CertificateRecord:
        """What stands for images that do not fit into memory."""
        _, bands, height, width = self.images.shape
        return CertificateRecord.unknown(
            self.chosen.ids[part],
            self.chosen.labels[part].numpy(),
            shape=(bands, height, width),
            options=self.values.size,
            class_names=self.checkpoint.card.class_names,
            settings=self.settings,
        )

    def keep(self, run: Run, unit: int, result: tuple[CertificateRecord, list[int]]) -> None:
        """Puts what `make` returned into the run folder: maps are too large for the journal."""
        record, sizes = result
        (run.folder / PARTS).mkdir(exist_ok=True)
        record.save(part_path(run.folder, unit))
        run.append([{"unit": unit, "plan": sizes}])

    @staticmethod
    def finished(folder: Path) -> set[int]:
        """The units that a run folder holds."""
        units = (entry["unit"] for entry in FinishedUnits(folder / JOURNAL))
        return {unit for unit in units if part_path(folder, unit).is_file()}

    def gather(self, folders: Iterable[Path], run: Run) -> None:
        """Brings the units of several run folders into one, in their order."""
        (run.folder / PARTS).mkdir()
        folders = list(folders)
        for folder in folders:
            for unit in self.finished(folder):
                with open(part_path(folder, unit), "rb") as source, atomic_write(part_path(run.folder, unit)) as target:
                    shutil.copyfileobj(source, target)
        super().gather(folders, run)

    def found(self, folder: Path, units: Iterable[int]) -> CertificateRecord:
        """What some of the units of a run amount to, as they are in its folder."""
        return CertificateRecord.join([CertificateRecord.load(part_path(folder, unit)) for unit in units])

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be tried, and how long it takes."""
        chosen, card = self.chosen, self.checkpoint.card
        say(f"{len(self.images)} of {chosen.available} images, part {chosen.part} of {chosen.path}")
        units = chosen.image_set.units
        say(describe_values(self.values, bands=card.bands, stretch=self.checkpoint.stretch, units=units))
        cells = int(np.prod(self.images.shape[2:])) * self.values.size
        rates, _ = halved(
            self.part(0),
            lambda part: [self._rate(part)],
            alone=lambda part: [],
            join=lambda one, other: one or other,
            bar=None,
            weight=1,
        )
        if not rates:
            say(f"{cells:,} cells an image; memory ran out for the first images, so how long they take is not known")
            return
        (engine, rate), *_ = rates
        seconds = min(cells, self.request.budget or cells) / rate
        say(f"{cells:,} cells an image, about {seconds:.2g} s each by the {engine} engine")

    def _rate(self, part: slice) -> tuple[str, float]:
        """The engine for some images, and how many cells it tries in a second."""
        images = self.images[part].to(self.checkpoint.classifier.device)
        evaluator = make_evaluator(self.checkpoint.classifier, images)
        return evaluator.name, candidates_per_second(evaluator)

    def write(self, run: Run, say: Callable[[str], None], **about: Any) -> CertificateRecord:
        """Writes what the units of a run amount to, all of them being finished."""
        record = self.found(run.folder, range(len(self)))
        sizes = ((entry["unit"], entry["plan"]) for entry in FinishedUnits(run.journal))
        about = {**self.about, **about, "settings": self.settings, "plan": plan(self.request.group, sizes)}
        # How long it took stands in the summary: with it, no two runs would leave the same record.
        replace(record, seconds=0.0).save(run.folder / RECORD)
        write_text(run.folder / TABLE, table(record))
        _draw(run.folder / MAPS, record)
        write_json(run.folder / SUMMARY, {**jsonable(summary(record)), **about})
        say(describe(record))
        say(f"everything is in {run.folder}, the numbers in {run.folder / SUMMARY}")
        return record


def part_path(folder: Path, unit: int) -> Path:
    """Where a run keeps the record of a unit."""
    return folder / PARTS / f"{unit:07d}.npz"


@interruptible()
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
    return run_opened(opened, out=out, device=device, resume=resume, shard=shard, executor=executor, say=say)


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
        "too_near_to_certify": int(record.too_near.sum()),
        "flippable": int(record.flippable.sum()),
        "not_finite": int((record.not_finite > 0).sum()),
        "out_of_memory": int(record.out_of_memory.sum()),
        "flippable_rate": asdict(wilson(int(record.flippable.sum()), attacked)),
        "cells": record.cells,
        "queries": int(record.queries.sum()),
        "decided_by_the_network_alone": int(record.rechecked.sum()),
        "chance_of_a_random_hit": {
            "mean_over_correct": float(record.chance_low[record.complete].mean()) if complete else None,
            "median_over_flippable": float(np.median(chances)) if len(chances) else None,
            "not_finite_mean_over_correct": float(record.not_finite[record.complete].mean() / record.cells)
            if complete
            else None,
        },
        "error_bound": float(np.nanmax(record.error_bound)) if attacked else None,
        "seconds": record.seconds,
    }


def describe(record: CertificateRecord) -> str:
    """The table for the terminal."""
    numbers = summary(record)
    attacked = numbers["correct"]
    lines = []
    if numbers["out_of_memory"]:
        lines.append(
            f"WARNING: memory ran out for {numbers['out_of_memory']} images, each alone, and nothing is known of them; "
            "use a device with more"
        )
    if numbers["not_finite"]:
        lines.append(
            f"WARNING: {numbers['not_finite']} images have cells whose output is not finite; those count as no flips, "
            "and these images as not certified"
        )
    lines += [
        f"{numbers['drawn']} images drawn, {attacked} classified correctly, "
        f"{numbers['complete']} of these with every cell tried",
        f"  flippable  {numbers['flippable']} of {attacked}: {wilson(numbers['flippable'], attacked)}",
        f"  certified  {numbers['certified']} of {attacked}: no value of this set at any single pixel flips them",
    ]
    if numbers["too_near_to_certify"]:
        lines.append(
            f"  too near   {numbers['too_near_to_certify']} of {attacked}: nothing flips them, but some value comes "
            "nearer to the boundary than rounding lets one say"
        )
    chance = numbers["chance_of_a_random_hit"]["mean_over_correct"]
    if chance is not None:
        lines.append(f"  a random hit (pixel and value drawn at random) flips a correct image with chance {chance:.2g}")
        broken = numbers["chance_of_a_random_hit"]["not_finite_mean_over_correct"]
        if broken:
            lines.append(f"  and makes its answer not finite with chance {broken:.2g}")
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
    flags = ("correct", "complete", "certified", "too_near")
    names = ("queries", "flipping", "chance_low", "chance_high", "best_margin", "error_bound", "best_row")
    names = (*names, "best_column", "not_finite")
    writer.writerow(["id", "true", *flags, *names, "out_of_memory"])
    columns = [getattr(record, name).astype(int) for name in flags], [getattr(record, name) for name in names]
    for i, (image_id, label) in enumerate(zip(record.ids, record.labels, strict=True)):
        found = [column[i] for column in (*columns[0], *columns[1])]
        writer.writerow([image_id, record.class_names[label], *found, int(record.out_of_memory[i])])
    return buffer.getvalue()


def _join(one: CertificateRecord, other: CertificateRecord) -> CertificateRecord:
    return CertificateRecord.join([one, other])


def _draw(path: Path, record: CertificateRecord) -> None:
    flips, _ = record.class_maps()
    counts = [int((record.correct & (record.labels == k)).sum()) for k in range(len(record.class_names))]
    figure = Figure(figsize=(3.6 * len(counts), 3.6), layout="constrained")
    options = record.cells // flips[0].size
    draw_vulnerability(figure, flips / options, record.class_names, counts)
    write_figure(figure, path, dpi=130)
