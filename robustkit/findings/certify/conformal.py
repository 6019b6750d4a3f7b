"""Prediction sets that hold under any one pixel of a declared set: calibrated on the worst score of each image.

The score of an image is 1 minus the probability of its class (least ambiguous sets). The worst score of a new image
exceeds the calibrated level as rarely as that of any other, whatever the attack, so plain sets at that level hold the
class as often as promised. Nothing is searched when they are used.

Source: Sadinle, Lei & Wasserman 2019, doi:10.1080/01621459.2017.1395341, for the sets and their level.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from robustkit.engine import Candidates, make_evaluator
from robustkit.errors import InputError
from robustkit.files import jsonable, write_json, write_text
from robustkit.findings.certify.record import CertifyRequest
from robustkit.findings.certify.sets import ConformalRecord, ConformalResult, needed
from robustkit.findings.sweep.suites import faults_of, job_of
from robustkit.models import AuditedClassifier
from robustkit.models.fronts.splitting import flagging
from robustkit.perturb.decision import answers
from robustkit.perturb.threats import describe_values, make_values
from robustkit.perturb.values import ValueSet
from robustkit.perturb.workers import worker_processes
from robustkit.runs.draw import draw
from robustkit.runs.measurement import Measurement, Records
from robustkit.runs.running import run_measurement
from robustkit.runs.sample import Sample
from robustkit.words import shown as written

RECORD, TABLE, SUMMARY = "conformal.npz", "conformal.csv", "summary.json"
_UNKNOWN = (
    "nothing says that the model was not trained on these images or chosen by them; if it was, the level does not hold"
)
# Cells at once: a bound of memory that changes no answer.
_CELLS = 1 << 16


def run_conformal(
    model: str | os.PathLike[str] | Sample, request: CertifyRequest | None = None, **how: Any
) -> ConformalResult:
    """Calibrates prediction sets on one half of a sample and tests them on the other, under the complete search.

    Args:
        model: The checkpoint, or a sample that is open already.
        request: What to do; `conformal` is the level.
        **how: Where and how; see `robustkit.runs.running.run_measurement`, whose errors it raises.
    """
    with worker_processes(None if how.get("executor") is None else 0):
        return run_measurement(Conformal, model, request, **how)


def _seen(data: Mapping[str, Any]) -> set[str]:
    """The objects that trained a model or chose its epoch, on the source or on a target, as its card has them."""
    domains = [data, data.get("target") or {}, *data.get("more_targets", ())]
    splits = [domain.get("split") or {} for domain in domains]
    return {
        written(one).partition("#")[0] for split in splits for part in ("train", "valid") for one in split.get(part, ())
    }


class Conformal(Measurement):
    """Prediction sets of the images of a sample."""

    command, doing = "conformal", "calibrating"
    request_type = CertifyRequest

    def __init__(self, sample: Sample, request: CertifyRequest) -> None:
        super().__init__(sample, request)
        target, checkpoint = request.conformal, sample.checkpoint
        assert target is not None
        if checkpoint.classifier.output.decision is not None:
            raise InputError("--conformal makes sets of classes; omit --threshold, --question and --multi-label")
        if front := flagging(checkpoint.classifier).get("flagged_by"):
            raise InputError(
                f"--conformal makes a set for every image, and {front} gives some no class; calibrate the model "
                "without it"
            )
        split = checkpoint.card.data.get("split") or {}
        # The file of a model of robustkit says by which parts it was trained and chosen; of any other nobody knows.
        self.unseen = bool(split.get("train")) and checkpoint.origin.own
        seen = _seen(checkpoint.card.data)
        used = sum(str(one).partition("#")[0] in seen for one in sample.ids)
        if used:
            raise InputError(
                f"part {sample.part} holds {used} images that the model was trained on or chosen by, and calibration "
                "needs others; use --part test, or other images with --data"
            )
        half = len(sample) // 2
        if half < needed(target):
            raise InputError(
                f"a level of {target:g} needs at least {needed(target)} calibration images, and half of {len(sample)} "
                f"are {half}; ask for --n {2 * needed(target)} or more, or lower --conformal"
            )
        # By the ids alone, so that shards and groups agree.
        chosen = set(draw([str(one) for one in sample.ids], half, request.seed))
        self.calibration = np.array([str(one) in chosen for one in sample.ids])
        self.kinds = {"conformal": ConformalRecord}
        self.images = sample.inputs
        self.values = make_values(
            request.values,
            input_range=checkpoint.card.input_range,
            value_range=request.value_range,
            stretch=checkpoint.stretch,
            units=sample.whole.units,
            bounds=sample.whole.bounds,
            device=checkpoint.classifier.device,
        )
        self.faults, _ = faults_of(sample)
        self.job = job_of(sample, self.faults, request.seed)
        self.inputs["settings"] = {
            "values": self.values.to_json(), "conformal": target, "seed": request.seed,
            "faults": [fault.to_json() for fault in self.faults],
        }  # fmt: skip

    def measure(self, part: slice, bar: tqdm[Any] | None) -> Records:
        """What one pixel does to the probabilities of some of the images."""
        began, classifier = time.perf_counter(), self.sample.checkpoint.classifier
        images = self.images[part].to(classifier.device)
        lowest, highest, broken = extremes(classifier, images, self.values)
        clean = torch.softmax(answers(classifier, images).cpu().double(), 1)
        record = self._record(part, clean, lowest, highest, broken, self._faulty(part))
        if bar is not None:
            bar.update(len(images))
        return {"conformal": replace(record, seconds=time.perf_counter() - began)}

    def unknown(self, part: slice) -> Records:
        """The record of images that do not fit into memory: anything may happen to them."""
        n, k = len(self.sample.ids[part]), len(self.sample.checkpoint.card.class_names)
        nothing, everything = torch.zeros(n, k, dtype=torch.float64), torch.ones(n, k, dtype=torch.float64)
        unknown = np.full((len(self.faults), n), np.nan)
        broken = torch.ones(n, dtype=torch.int64)
        return {"conformal": self._record(part, nothing, nothing, everything, broken, unknown)}

    @torch.inference_mode()
    def _faulty(self, part: slice) -> np.ndarray:
        """Probability of the class of some of the images under each fault, shape (F, B)."""
        classifier, labels = self.sample.checkpoint.classifier, self.sample.labels[part]
        found = [torch.softmax(classifier(images).cpu().double(), 1) for images in self.job.faulty(part)]
        return torch.stack([one[torch.arange(len(labels)), labels] for one in found]).numpy()

    def _record(
        self, part: slice, clean: Tensor, lowest: Tensor, highest: Tensor, broken: Tensor, faulty: np.ndarray
    ) -> ConformalRecord:
        request, card = self.request, self.sample.checkpoint.card
        return ConformalRecord(
            ids=self.sample.ids[part],
            labels=self.sample.labels[part].numpy(),
            calibration=self.calibration[part],
            clean=clean.cpu().numpy(),
            lowest=lowest.cpu().numpy(),
            highest=highest.cpu().numpy(),
            not_finite=broken.cpu().numpy(),
            faulty=faulty,
            faults=[f"{fault.label} {fault.level:g} {fault.unit}" for fault in self.faults],
            unseen=self.unseen,
            cells=int(np.prod(self.images.shape[2:])) * self.values.size,
            target=request.conformal,
            class_names=list(card.class_names),
            settings=self.inputs["settings"],
            seconds=0.0,
        )

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be tried."""
        sample, card = self.sample, self.sample.checkpoint.card
        n = int(self.calibration.sum())
        say(
            f"{len(sample)} of {sample.available} images, part {sample.part} of {sample.path}: {n} calibrate, the rest "
            "test"
        )
        if self.unseen:
            say(f"its file says that it was neither trained on part {sample.part} nor chosen by it")
        else:
            say(f"WARNING: {_UNKNOWN}")
        say(describe_values(self.values, bands=card.bands, stretch=sample.checkpoint.stretch, units=sample.whole.units))

    def result(self, records: Records, folder: Path | None) -> ConformalResult:
        """The sets with their numbers."""
        return ConformalResult(records["conformal"], self.sample, folder)

    def write(self, folder: Path, result: ConformalResult, about: dict[str, Any]) -> list[str]:
        """Writes record, table and summary."""
        del about["notes"]
        replace(result.record, seconds=0.0).save(folder / RECORD)
        write_text(folder / TABLE, result.table())
        about |= {"settings": self.inputs["settings"]}
        if not self.unseen:
            about["warnings"] = [*about.get("warnings", ()), _UNKNOWN]
        write_json(folder / SUMMARY, {**jsonable(result.summary()), **about})
        return [result.describe(), f"everything is in {folder}, the numbers in {folder / SUMMARY}"]


@torch.inference_mode()
def extremes(classifier: AuditedClassifier, images: Tensor, values: ValueSet) -> tuple[Tensor, Tensor, Tensor]:
    """The lowest and highest probability of each class over every cell of some images.

    Args:
        classifier: The classifier.
        images: Network input, shape (N, C, H, W), on its device.
        values: What a pixel may become.

    Returns:
        Lowest and highest, (N, K) each, widened by what the evaluator may be wrong by; and how many cells of each image
        have no finite answer, (N,).
    """
    evaluator = make_evaluator(classifier, images)
    height, width = images.shape[2:]
    shape = (len(images), classifier.classes)
    lowest, highest = torch.ones(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
    broken = torch.zeros(len(images), dtype=torch.int64)
    cells = torch.arange(height * width * values.size, device=images.device)
    for i in range(len(images)):
        for some in cells.split(_CELLS):
            pixel, option = some // values.size, some % values.size
            row, column = pixel // width, pixel % width
            value = values.option(images[i, :, row, column].T, option)
            place = torch.tensor([i], device=images.device)
            asked = Candidates(place, row[None, :, None], column[None, :, None], value[None, :, None])
            logits = evaluator(asked)[0].cpu().double()
            finite = logits.isfinite().all(1)
            broken[i] += (~finite).sum()
            if bool(finite.any()):
                found = torch.softmax(logits[finite], 1)
                lowest[i], highest[i] = lowest[i].minimum(found.amin(0)), highest[i].maximum(found.amax(0))
    # Two logits that are each wrong by so much move a probability by at most half of it.
    room = evaluator.tolerance / 2
    return (lowest - room).clamp(0, 1), (highest + room).clamp(0, 1), broken
