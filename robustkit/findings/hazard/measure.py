"""Accidents at random places, one at a time: which classes images get, and how often accidents happen."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from robustkit.data import rates
from robustkit.data.survey import open_survey
from robustkit.errors import InputError
from robustkit.findings.hazard.record import HazardRecord, HazardRequest
from robustkit.findings.hazard.show import write_hazard
from robustkit.findings.hazard.summary import HazardResult
from robustkit.perturb.conditions import calibrated, conditions_of
from robustkit.perturb.decision import decide, settled
from robustkit.perturb.faults.registry import HITS, PERTURBATIONS
from robustkit.records import NOT_FINITE, OUT_OF_MEMORY
from robustkit.runs.measurement import Measurement, Records
from robustkit.runs.running import run_measurement
from robustkit.runs.sample import Sample
from robustkit.seeds import Streams


def run_hazard(
    model: str | os.PathLike[str] | Sample, request: HazardRequest | None = None, **how: Any
) -> HazardResult:
    """Hits every image of a sample with accidents, and leaves what they change in a run folder.

    Args:
        model: The checkpoint, or a sample that is open already.
        request: What to do.
        **how: Where and how; see `robustkit.runs.running.run_measurement`, whose errors it raises.
    """
    return run_measurement(Hazard, model, request, **how)


class Hazard(Measurement):
    """Accidents to the images of a sample."""

    command, doing = "hazard", "hitting"
    request_type = HazardRequest

    def __init__(self, sample: Sample, request: HazardRequest) -> None:
        super().__init__(sample, request)
        self.kinds = {"hazard": HazardRecord}
        self.conditions = conditions_of(sample.whole)
        self.stretch = sample.checkpoint.stretch
        if self.stretch is None or (sample.whole.stretch is not None and not sample.whole.stretch.invertible):
            raise InputError("accidents happen before the stretch, which is not known or cannot be inverted")
        survey = request.survey or str(sample.whole.meta.get("survey", ""))
        if request.survey is not None:
            open_survey(request.survey)
        self.faults = request.faults or HITS
        size = (sample.inputs.shape[2], sample.inputs.shape[3])
        own = request.own_rates()
        found = [rates.rate_of(survey, fault) for fault in self.faults]
        exposure, visits = self.conditions.exposure, self.conditions.visits
        self.rate = np.array([
            own[fault] if fault in own else np.nan if rate is None else rate.expected(size, exposure, visits).sum()
            for fault, rate in zip(self.faults, found, strict=True)
        ])  # fmt: skip
        self.source = [
            "given" if fault in own else "unknown" if rate is None else f"{rate.source} ({rate.year})"
            for fault, rate in zip(self.faults, found, strict=True)
        ]
        self.levels = np.stack([_levels(fault, request.events) for fault in self.faults])
        self.inputs["settings"] = {
            "seed": request.seed, "events": request.events, "faults": list(self.faults), "survey": survey,
            "rates": own, "kept": request.kept, "conditions": self.conditions.to_json(),
        }  # fmt: skip

    @property
    def weight(self) -> int:
        """How many faults hit an image."""
        return len(self.faults)

    def measure(self, part: slice, bar: tqdm[Any] | None) -> Records:
        """Hits some of the images."""
        classifier, ids = self.sample.checkpoint.classifier, self.sample.ids[part]
        whole = calibrated(self.sample.whole.select(self.sample.rows[part]))
        with torch.inference_mode():
            stored = torch.from_numpy(np.array(whole.images, np.float32)).to(classifier.device)
            clean = self._classes(stored)
            became = np.zeros((len(self.faults), len(ids), len(self.sample.checkpoint.card.class_names) + 1), np.int64)
            for f, fault in enumerate(self.faults):
                for event, level in enumerate(self.levels[f]):
                    streams = Streams(self.request.seed, ids, f"hazard {fault} {event}")
                    hit = PERTURBATIONS[fault](float(level))(stored, conditions=self.conditions, streams=streams)
                    # Output that is not finite counts in the last place.
                    became[f, np.arange(len(ids)), self._classes(hit)] += 1
                if bar is not None:
                    bar.update(len(ids))
        return {"hazard": self._record(ids, self.sample.labels[part].numpy(), clean, became)}

    def unknown(self, part: slice) -> Records:
        """The record of images that do not fit into memory."""
        n, classes = part.stop - part.start, len(self.sample.checkpoint.card.class_names)
        became = np.zeros((len(self.faults), n, classes + 1), np.int64)
        clean = np.full(n, OUT_OF_MEMORY)
        return {"hazard": self._record(self.sample.ids[part], self.sample.labels[part].numpy(), clean, became)}

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to happen."""
        sample = self.sample
        say(f"{len(sample)} of {sample.available} images, part {sample.part} of {sample.path}")
        for note in sample.whole.notes:
            say(note)
        say(f"{self.request.events} events of each of {', '.join(self.faults)}, one at a time")

    def result(self, records: Records, folder: Path | None) -> HazardResult:
        """The hazard with its numbers."""
        return HazardResult(records["hazard"], self.sample, folder)

    def write(self, folder: Path, result: HazardResult, about: dict[str, Any]) -> list[str]:
        """Writes record, table, figure and summary."""
        del about["notes"]
        return write_hazard(folder, result.record, {**about, "settings": self.inputs["settings"]})

    def _classes(self, stored: Tensor) -> np.ndarray:
        classifier = self.sample.checkpoint.classifier
        assert self.stretch is not None
        seen = self.stretch(stored)
        return decide(settled(classifier, seen, classifier(seen))).cpu().numpy()

    def _record(self, ids: np.ndarray, true: np.ndarray, clean: np.ndarray, became: np.ndarray) -> HazardRecord:
        assert NOT_FINITE == -1  # the last place
        return HazardRecord(
            ids=np.asarray(ids, dtype=str), true=true, clean=clean, faults=list(self.faults), became=became,
            level=self.levels, units=[PERTURBATIONS[fault].unit for fault in self.faults], rate=self.rate,
            source=self.source, kept=self.request.kept, depth=str(self.sample.whole.meta.get("depth", "depth unknown")),
            class_names=list(self.sample.checkpoint.card.class_names), settings=self.inputs["settings"],
        )  # fmt: skip


def _levels(fault: str, events: int) -> np.ndarray:
    """Severities of events, one from each stratum of the fault's distribution; else its named levels in turn."""
    if fault in rates.SEVERITIES:
        return rates.SEVERITIES[fault].at((np.arange(events) + 0.5) / events)
    return np.resize(np.array(PERTURBATIONS[fault].levels, np.float64), events)
