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
from robustkit.findings.hazard.depths import DepthOfHazard, depths_of
from robustkit.findings.hazard.rare import BLOCK, RUNS, Events, rare_chances
from robustkit.findings.hazard.record import NAME, HazardRecord, HazardRequest, depth_word, record_name
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


# What can be asked of images whose accidents have no rate.
_INSTEAD = "ask robustkit certify --values line which amplitudes of a pixel flip them, in their own units"


class Hazard(Measurement):
    """Accidents to the images of a sample."""

    command, doing = "hazard", "hitting"
    request_type = HazardRequest

    def __init__(self, sample: Sample, request: HazardRequest) -> None:
        super().__init__(sample, request)
        self.conditions = conditions_of(sample.whole, _INSTEAD)
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
        self.depths = depths_of(request.depths, sample.whole.meta, self.conditions)
        self.rates: dict[str, dict[str, float]] = {}
        for depth in self.depths:
            # A rate given is one of the images: an exposure of a part of them has a part of the events.
            exposure, visits = depth.conditions.exposure, depth.conditions.visits
            part = float((depth.share * self.conditions.visits).sum() / self.conditions.visits.sum())
            self.rates[depth.name] = {
                fault: own[fault] * part if fault in own
                else np.nan if rate is None else float(rate.expected(size, exposure, visits).sum())
                for fault, rate in zip(self.faults, found, strict=True)
            }  # fmt: skip
        # A chance without a rate says nothing of depths; it is looked at once.
        self.asked = {
            depth.name: [fault for fault in self.faults if k == 0 or not np.isnan(self.rates[depth.name][fault])]
            for k, depth in enumerate(self.depths)
        }
        self.depths = [depth for depth in self.depths if self.asked[depth.name]]
        self.kinds = {record_name(k, depth.name): HazardRecord for k, depth in enumerate(self.depths)}
        self.source = {
            fault: "given" if fault in own else "unknown" if rate is None else f"{rate.source} ({rate.year})"
            for fault, rate in zip(self.faults, found, strict=True)
        }
        self._known: dict[tuple[str, int], np.ndarray] = {}  # chances by depth and first image of the block
        self.levels = {fault: _levels(fault, request.events) for fault in self.faults}
        self.inputs["settings"] = {
            "seed": request.seed, "events": request.events, "faults": list(self.faults), "survey": survey,
            "rates": own, "kept": request.kept, "rare": request.rare, "depths": [depth.name for depth in self.depths],
            "conditions": self.conditions.to_json(),
        }  # fmt: skip

    @property
    def weight(self) -> int:
        """How many faults hit an image."""
        return sum(map(len, self.asked.values()))

    def measure(self, part: slice, bar: tqdm[Any] | None) -> Records:
        """Hits some of the images."""
        records: Records = {}
        with torch.inference_mode():
            for k, depth in enumerate(self.depths):
                hits = self._hits(depth, self._stored(depth, part), self.sample.ids[part], bar)
                records[record_name(k, depth.name)] = self._record(depth, part, *hits, self._rare(depth, part))
        return records

    def _stored(self, depth: DepthOfHazard, part: slice) -> Tensor:
        """The images of a part at a depth, as they were taken, shape (N, C, H, W)."""
        whole = calibrated(self.sample.whole.select(self.sample.rows[part]))
        stored = torch.from_numpy(np.array(whole.images, np.float32)).to(self.sample.checkpoint.classifier.device)
        streams = Streams(self.request.seed, self.sample.ids[part], f"hazard {depth.name}")
        return depth.images(stored, self.conditions, streams)

    def _hits(
        self, depth: DepthOfHazard, stored: Tensor, ids: np.ndarray, bar: tqdm[Any] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The classes of images, and how many events of each fault gave each class."""
        clean, faults = self.classes_of(stored), self.asked[depth.name]
        became = np.zeros((len(faults), len(ids), len(self.sample.checkpoint.card.class_names) + 1), np.int64)
        for f, fault in enumerate(faults):
            for event, level in enumerate(self.levels[fault]):
                streams = Streams(self.request.seed, ids, f"hazard {fault} {event}")
                hit = PERTURBATIONS[fault](float(level))(stored, conditions=depth.conditions, streams=streams)
                # Output that is not finite counts in the last place.
                became[f, np.arange(len(ids)), self.classes_of(hit)] += 1
            if bar is not None:
                bar.update(len(ids))
        return clean, became

    def _rare(self, depth: DepthOfHazard, part: slice) -> np.ndarray:
        """The mean chances over the block of each image of a part, shape (F, R, N).

        Blocks lie in the sample and not in the part, so that groups, shards and short memory change no answer.
        """
        runs = RUNS if self.request.rare else 0
        made = np.full((len(self.asked[depth.name]), runs, part.stop - part.start), np.nan)
        for start in range(part.start - part.start % BLOCK, part.stop if runs else 0, BLOCK):
            stop = min(start + BLOCK, len(self.sample))
            inside = slice(max(start - part.start, 0), stop - part.start)
            key = depth.name, start
            if key not in self._known:
                self._known[key] = self._chances(depth, slice(start, stop))
            made[:, :, inside] = self._known[key][..., None]
        return made

    def _chances(self, depth: DepthOfHazard, block: slice) -> np.ndarray:
        """The mean chances over the images of a block, shape (F, R)."""
        stored, ids = self._stored(depth, block), self.sample.ids[block]
        clean, faults = self.classes_of(stored), self.asked[depth.name]
        made, known = np.full((len(faults), RUNS), np.nan), clean >= 0
        assert self.stretch is not None
        for f, fault in enumerate(faults):
            if np.isnan(self.rates[depth.name][fault]) or not known.any():
                continue
            events = Events(
                self.sample.checkpoint.classifier, self.stretch, stored[np.flatnonzero(known)], clean[known], fault,
                self.levels[fault], depth.conditions,
            )  # fmt: skip
            streams = Streams(self.request.seed, ids[:1], f"hazard rare {depth.name} {fault}")
            made[f] = rare_chances(events, np.random.default_rng(streams.integers(2**31, 4)[0]))
        return made

    def unknown(self, part: slice) -> Records:
        """The record of images that do not fit into memory."""
        n, classes = part.stop - part.start, len(self.sample.checkpoint.card.class_names)
        clean = np.full(n, OUT_OF_MEMORY)
        return {
            record_name(k, depth.name): self._record(
                depth,
                part,
                clean,
                np.zeros((len(self.asked[depth.name]), n, classes + 1), np.int64),
                np.full((len(self.asked[depth.name]), RUNS if self.request.rare else 0, n), np.nan),
            )
            for k, depth in enumerate(self.depths)
        }

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to happen."""
        sample = self.sample
        say(f"{len(sample)} of {sample.available} images, part {sample.part} of {sample.path}")
        for note in sample.whole.notes:
            say(note)
        say(f"{self.request.events} events of each of {', '.join(self.faults)}, one at a time")
        if others := self.depths[1:]:
            made = " and ".join(depth_word(one.name) for one in others)
            say(
                f"{made} made of the {self.depths[0].name} images by a shorter exposure; there, faults with a rate only"
            )

    def result(self, records: Records, folder: Path | None) -> HazardResult:
        """The hazard with its numbers."""
        return HazardResult(records[NAME], self.sample, folder, [one for name, one in records.items() if name != NAME])

    def write(self, folder: Path, result: HazardResult, about: dict[str, Any]) -> list[str]:
        """Writes record, table, figure and summary."""
        del about["notes"]
        return write_hazard(folder, result.record, result.shallower, {**about, "settings": self.inputs["settings"]})

    def classes_of(self, stored: Tensor) -> np.ndarray:
        """The classes of calibrated images (N, C, H, W), shape (N,)."""
        classifier = self.sample.checkpoint.classifier
        assert self.stretch is not None
        seen = self.stretch(stored)
        return decide(settled(classifier, seen, classifier(seen))).cpu().numpy()

    def _record(
        self, depth: DepthOfHazard, part: slice, clean: np.ndarray, became: np.ndarray, rare: np.ndarray
    ) -> HazardRecord:
        assert NOT_FINITE == -1  # the last place
        faults, rates = self.asked[depth.name], self.rates[depth.name]
        return HazardRecord(
            ids=np.asarray(self.sample.ids[part], dtype=str), true=self.sample.labels[part].numpy(), clean=clean,
            faults=faults, became=became, level=np.stack([self.levels[fault] for fault in faults]),
            units=[PERTURBATIONS[fault].unit for fault in faults], rate=np.array([rates[fault] for fault in faults]),
            source=[self.source[fault] for fault in faults], kept=self.request.kept, depth=depth.name,
            class_names=list(self.sample.checkpoint.card.class_names), settings=self.inputs["settings"], rare=rare,
        )  # fmt: skip


def _levels(fault: str, events: int) -> np.ndarray:
    """Severities of events, one from each stratum of the fault's distribution; else its named levels in turn."""
    if fault in rates.SEVERITIES:
        return rates.SEVERITIES[fault].at((np.arange(events) + 0.5) / events)
    return np.resize(np.array(PERTURBATIONS[fault].levels, np.float64), events)
