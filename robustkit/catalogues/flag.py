"""How far each answer is to be trusted: every object under the faults of its survey, beside what it was trained on."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from robustkit.catalogues.flag_request import FlagRequest
from robustkit.catalogues.flags import FlagRecord, Flags
from robustkit.catalogues.predict import OfObjects, folder_of, predicted_with_latents, unknown
from robustkit.catalogues.predictions import PredictionRecord, joined
from robustkit.catalogues.reference import level_of, reference_of
from robustkit.errors import InputError
from robustkit.findings.sweep.record import SweepRecord
from robustkit.findings.sweep.suites import faults_of, job_of
from robustkit.models.decision import Within
from robustkit.perturb.boundary import boundary_distance
from robustkit.perturb.search.ranking import has_gradients
from robustkit.perturb.workers import worker_processes
from robustkit.runs.measurement import Records
from robustkit.runs.running import run_measurement
from robustkit.runs.sample import Sample

# Steps towards the boundary: a change that is found changes the class, and a nearer one may exist.
_STEPS = 3


def run_flag(
    model: str | os.PathLike[str] | Sample, request: FlagRequest | None = None, *, out: Any = None, **how: Any
) -> Flags:
    """Says of every object of a set how far its class is to be trusted, and writes a table.

    Args:
        model: The checkpoint, or a sample that is open already.
        request: What to do; its `table` is written, and finished groups are kept in a run folder beside it.
        out: The run folder; by default `TABLE.run`.
        **how: Where and how; see `robustkit.runs.running.run_measurement`, whose errors it raises.
    """
    request = request or FlagRequest()
    with worker_processes(None if how.get("executor") is None else 0):
        return run_measurement(Flag, model, request, out=folder_of(request, out, how.get("shard")), **how)


class Flag(OfObjects):
    """How far the answer for every object is to be trusted."""

    command, doing = "flag", "flagging"
    request_type = FlagRequest
    result_type = Flags

    def __init__(self, sample: Sample, request: FlagRequest) -> None:
        super().__init__(sample, request)
        checkpoint = sample.checkpoint
        if isinstance(checkpoint.classifier.output.decision, Within):
            raise InputError("flag asks whether a class stays, and --tolerance is of numbers; use robustkit predict")
        self.kinds = {"flag": FlagRecord}
        self.faults, self.left_out = faults_of(sample, request.perturbations, request.suite, request.severity)
        self.job = job_of(sample, self.faults, request.seed)
        self.reference = reference_of(sample, request.reference)
        self.level = None if request.conformal is None else level_of(request.conformal, sample)
        self.looks = request.least_change and has_gradients(checkpoint.classifier)
        self.inputs |= {
            "faults": [fault.to_json() for fault in self.faults],
            "seed": request.seed,
            "reference": self.reference.where,
            "least_change": self.looks,
            "conformal": None if self.level is None else [self.level.threshold, self.level.target],
        }

    def own_columns(self) -> set[str]:
        """The names of the columns that the table has anyway."""
        names = self.sample.checkpoint.classifier.class_names
        mine = ("id", "rank", "doubt", "class", "probability", "margin", "set", "agreement", "least_change", "distance")
        return {*mine, *(f"p_{name}" for name in names)}

    @property
    def weight(self) -> int:
        """How many faults an image meets, and the image itself."""
        return 1 + len(self.faults)

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be looked at."""
        super().describe(say)
        say(f"{len(self.faults)} faults at {self.request.severity}: {', '.join(fault.label for fault in self.faults)}")
        if self.left_out:
            say(f"left out, because they need more bands: {', '.join(self.left_out)}")
        say(self.reference.where)
        if self.level is not None:
            say(f"sets are calibrated to hold {self.level.target:.0%} of the classes under any one declared pixel")
        if self.request.least_change and not self.looks:
            say("no least changes: this model has no gradients")

    def measure(self, part: slice, bar: tqdm[Any] | None) -> Records:
        """Looks at some of the images."""
        made = []
        for block in self.blocks(part):
            images = self.sample.inputs[block].to(self.sample.checkpoint.classifier.device)
            record, latents = predicted_with_latents(self.sample.checkpoint.classifier, images, self.sample.rows[block])
            least = np.full(len(images), np.nan)
            if self.looks:
                classes = torch.from_numpy(record.predicted.clip(0)).to(images.device)
                least = boundary_distance(self.sample.checkpoint.classifier, images, classes, steps=_STEPS)
            if bar is not None:
                bar.update(len(images))
            self.job.labels[block] = record.predicted.clip(0)  # what has to stay
            made.append(self._record(record, self.job.sweep(block, bar), images, latents, least))
        return {"flag": joined(made)}

    def unknown(self, part: slice) -> Records:
        """The record of images that do not fit into memory."""
        found = unknown(self.sample.checkpoint.classifier, self.sample.rows[part])
        return {"flag": self._record(found, None, None, None, np.full(part.stop - part.start, np.nan))}

    def _record(
        self, found: PredictionRecord, swept: SweepRecord | None, images: Any, latents: Any, least: np.ndarray
    ) -> FlagRecord:
        n, k = found.probabilities.shape
        known, agreement, odd, distance = found.predicted >= 0, np.nan, np.nan, np.nan
        doubt = np.full(n, np.inf)
        if swept is not None:
            agreement = swept.right.mean(0)
            doubt, odd = self.reference.doubt(images, 1 - found.own_probability())
            distance = self.reference.distance(latents)
        sets = np.full((n, k), -1) if self.level is None else self.level.sets(found.probabilities)
        values = {"agreement": agreement, "least_change": least, "distance": distance}
        single: dict[str, Any] = {
            name: np.where(known, value, np.nan).astype(np.float32) for name, value in values.items()
        }
        return FlagRecord(
            **vars(found), **single, doubt=np.where(known, doubt, np.inf).astype(np.float32), sets=sets.astype(np.int8),
            oddness=np.broadcast_to(odd, n).astype(np.float32),
            faults=[f"{fault.label} {fault.level:g} {fault.unit}" for fault in self.faults],
        )  # fmt: skip
