"""Lines of every pixel of a sample, followed image by image."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from robustkit.data.pixels import picked
from robustkit.engine import make_evaluator
from robustkit.engine.chain import UnsupportedChain
from robustkit.engine.lines import LineNetwork
from robustkit.errors import InputError, MissingExtra
from robustkit.findings.amplitudes.record import AmplitudeRecord
from robustkit.findings.amplitudes.show import write_amplitudes
from robustkit.findings.amplitudes.summary import AmplitudeResult
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.perturb.amplitudes import is_line, make_amplitudes
from robustkit.perturb.conditions import conditions_of
from robustkit.perturb.decision import answers, decide
from robustkit.perturb.faults.cosmic_ray import PEAK
from robustkit.perturb.faults.hot_pixel import HotPixel
from robustkit.perturb.line_survey import Lines, LineSurvey
from robustkit.runs.measurement import Measurement, Records
from robustkit.runs.running import run_measurement
from robustkit.runs.sample import Sample
from robustkit.seeds import Streams

# Values of the grid on each half of a line, where a network cannot be followed.
LEVELS = 33


def run_amplitudes(
    model: str | os.PathLike[str] | Sample, request: CertifyRequest | None = None, **how: Any
) -> AmplitudeResult:
    """Follows the lines of every pixel of every correctly classified image, and leaves what was found in a run folder.

    Args:
        model: The checkpoint, or a sample that is open already.
        request: What to do; its `values` are `line` or `line:W,W,...`.
        **how: Where and how; see `robustkit.runs.running.run_measurement`, whose errors it raises.
    """
    return run_measurement(FollowLines, model, request, **how)


def run_values(model: str | os.PathLike[str] | Sample, request: CertifyRequest, **how: Any) -> Any:
    """What `robustkit certify` does: lines where every value is asked for, else every cell of a declared set.

    Args:
        model: The checkpoint, or a sample that is open already.
        request: What to do.
        **how: Where and how; see `robustkit.runs.running.run_measurement`, whose errors it raises.
    """
    return (run_amplitudes if is_line(request.values) else run_certify)(model, request, **how)


class FollowLines(Measurement):
    """The lines of the images of a sample."""

    command, doing = "certify-lines", "following lines"
    request_type = CertifyRequest

    def __init__(self, sample: Sample, request: CertifyRequest) -> None:
        # An image takes seconds, and its lines do not depend on the others: a killed run loses one.
        super().__init__(sample, replace(request, group=1))
        if request.value_range is not None:
            raise InputError("--range has no meaning for lines, which go as far as pixels can; omit --range")
        if request.budget is not None and request.budget < 1:
            raise InputError(f"the budget must be at least 1 pixel per image, got {request.budget}")
        self.kinds = {"amplitudes": AmplitudeRecord}
        checkpoint, whole = sample.checkpoint, sample.whole
        self.amplitudes = make_amplitudes(
            request.values,
            input_range=checkpoint.card.input_range,
            stretch=checkpoint.stretch,
            units=whole.units,
            bounds=whole.bounds,
        )
        self.inputs["settings"] = {
            "values": self.amplitudes.to_json(), "budget": request.budget, "seed": request.seed, "levels": LEVELS,
        }  # fmt: skip

    @cached_property
    def network(self) -> tuple[LineNetwork | None, str]:
        """What follows the lines exactly, or why nothing does."""
        if not self.amplitudes.straight:
            stretch = self.amplitudes.stretch
            return None, f"several bands do not move along a straight line under the stretch {stretch and stretch.name}"
        classifier = self.sample.checkpoint.classifier
        try:
            return LineNetwork(classifier, self.sample.inputs[0:1].to(classifier.device)), "followed piece by piece"
        except (UnsupportedChain, MissingExtra) as error:
            return None, str(error)

    def measure(self, part: slice, bar: tqdm[Any] | None) -> Records:
        """Follows the lines of some of the images."""
        images, labels, ids = self.sample.inputs[part], self.sample.labels[part], self.sample.ids[part]
        calibrated = self._calibrated(part, images)
        classifier, began = self.sample.checkpoint.classifier, time.perf_counter()
        made: list[AmplitudeRecord] = []
        for i in range(len(ids)):
            image = images[i].to(classifier.device)
            label = int(labels[i])
            empty = self._empty(ids[i : i + 1], labels[i : i + 1].numpy())
            if int(decide(answers(classifier, image[None]))[0]) == label:
                survey = LineSurvey(
                    classifier, image, calibrated[i], label, self.amplitudes, network=self.network[0],
                    evaluator=lambda image=image: make_evaluator(classifier, image[None]), levels=LEVELS,
                )  # fmt: skip
                made.append(self._one(survey, empty))
            else:
                made.append(empty)
            if bar is not None:
                bar.update(1)
        return {"amplitudes": replace(AmplitudeRecord.join(made), seconds=time.perf_counter() - began)}

    def unknown(self, part: slice) -> Records:
        """The record of images that do not fit into memory."""
        record = self._empty(self.sample.ids[part], self.sample.labels[part].numpy())
        record.out_of_memory[:] = True
        return {"amplitudes": record}

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be followed, and how."""
        sample = self.sample
        say(f"{len(sample)} of {sample.available} images, part {sample.part} of {sample.path}")
        for note in sample.whole.notes:
            say(note)
        say(self.amplitudes.describe(sample.checkpoint.card.bands))
        network, why = self.network
        lines = self._lines()
        if network is not None:
            say(f"{lines:,} half lines per image: bounds first, then from breakpoint to breakpoint")
        else:
            say(f"{lines:,} half lines per image, {LEVELS} values on each, because {why}: what happens between two "
                "neighbouring values is not seen")  # fmt: skip

    def result(self, records: Records, folder: Path | None) -> AmplitudeResult:
        """The amplitudes with their numbers."""
        return AmplitudeResult(records["amplitudes"], self.sample, folder)

    def write(self, folder: Path, result: AmplitudeResult, about: dict[str, Any]) -> list[str]:
        """Writes record, table, figures and summary."""
        del about["notes"]
        return write_amplitudes(folder, result.record, {**about, "settings": self.inputs["settings"]})

    def _lines(self) -> int:
        _, _, height, width = self.sample.inputs.shape
        return 2 * height * width * self.amplitudes.kinds

    def _calibrated(self, part: slice, images: torch.Tensor) -> np.ndarray:
        """The images before the stretch, (M, C, H, W); from network input where that is all there is."""
        whole, stretch = self.sample.whole, self.amplitudes.stretch
        if stretch is None:
            return images.numpy().astype(np.float64)
        if whole.stretch is None:
            return picked(whole.images, self.sample.rows[part]).astype(np.float64)
        return np.asarray(stretch.inverse(images.numpy().astype(np.float64)))

    def _empty(self, ids: np.ndarray, labels: np.ndarray) -> AmplitudeRecord:
        """The record of images that nothing was tried on."""
        n, kinds, bands = len(ids), self.amplitudes.kinds, self.sample.checkpoint.card.bands
        _, _, height, width = self.sample.inputs.shape
        none, nan = np.zeros(n, np.int64), np.full(n, np.nan)
        scale, sigma = self._units()
        no = np.empty(0, np.int64)
        return AmplitudeRecord(
            ids=np.asarray(ids), labels=np.asarray(labels), correct=np.zeros(n, bool), lines=self._lines(),
            tried=none, whole=none.copy(), pieces=none.copy(), peak=nan, peak_row=none - 1, peak_column=none - 1,
            peak_kind=none - 1, peak_change=nan.copy(), error_bound=nan.copy(), out_of_memory=np.zeros(n, bool),
            span_image=no, span_row=no, span_column=no, span_kind=no, span_low=np.empty(0), span_high=np.empty(0),
            least=np.full((n, kinds, 2), np.nan), least_row=np.full((n, kinds, 2), -1),
            least_column=np.full((n, kinds, 2), -1), unproved=none.copy(),
            kinds=list(bands) if self.amplitudes.weights is None else ["all bands together"],
            units=self.amplitudes.units, scale=scale, sigma=sigma, marks=self._marks(),
            exact=self.network[0] is not None,
            why=self.network[1], resolution=np.array([0.0 if self.network[0] else 1 / (LEVELS - 1)]),
            size=[height, width], class_names=list(self.sample.checkpoint.card.class_names),
            settings=self.inputs["settings"], seconds=0.0,
        )  # fmt: skip

    def _units(self) -> tuple[np.ndarray, np.ndarray]:
        """The change of an electron and of a sigma of the sky on each line."""
        nothing = np.full(self.amplitudes.kinds, np.nan)
        if self.amplitudes.units != "electron" or self.amplitudes.weights is not None:
            return nothing, nothing
        try:
            conditions = conditions_of(self.sample.whole)
        except InputError:  # electrons of which nobody says how they were gathered
            return np.ones(self.amplitudes.kinds), nothing
        return conditions.scale, conditions.scale * np.sqrt(conditions.background)

    def _marks(self) -> dict[str, list[float]]:
        """Electrons that real artefacts leave in a pixel in one visit."""
        if self.amplitudes.units != "electron" or self.amplitudes.weights is not None:
            return {}
        try:
            conditions = conditions_of(self.sample.whole)
        except InputError:
            return {}
        seconds = float((conditions.exposure / conditions.visits).mean())
        return {
            "hot pixel": [seconds * HotPixel.levels[0], seconds * HotPixel.levels[3]],
            "cosmic ray": [PEAK[0], PEAK[1]],
            "saturated": [float(conditions.full_well.min()), float((conditions.full_well * conditions.visits).max())],
        }

    def _one(self, survey: LineSurvey, empty: AmplitudeRecord) -> AmplitudeRecord:
        """The record of one image."""
        height, width = empty.size
        streams = Streams(self.request.seed, [str(empty.ids[0])], purpose="lines")
        pixels = np.stack(np.unravel_index(np.arange(height * width), (height, width)), 1)
        if self.request.budget is not None and self.request.budget < len(pixels):
            order = streams.generators[0].permutation(len(pixels))[: self.request.budget]
            pixels = pixels[np.sort(order)]
        found = survey.run(pixels, lambda n: None)
        bound = survey.error_bound(found, streams.generators[0])
        best = max(found, key=lambda lines: lines.spans.peak.max())
        top = np.array([int(best.spans.peak.argmax())])
        values: dict[str, Any] = {
            "correct": np.array([True]), "tried": np.array([sum(len(lines.end) for lines in found)]),
            "whole": np.array([sum(int(lines.spans.whole.sum()) for lines in found)]),
            "pieces": np.array([sum(int(lines.spans.pieces.sum()) for lines in found)]),
            "peak": best.spans.peak[top], "peak_row": best.pixel[top, 0], "peak_column": best.pixel[top, 1],
            "peak_kind": np.array([best.kind]), "peak_change": survey.changes(best, top, best.spans.peak_at[top]),
            "error_bound": np.array([bound]),
        }  # fmt: skip
        spans: dict[str, list[np.ndarray]] = {name: [] for name in ("row", "column", "kind", "low", "high")}
        least, place, unproved = empty.least.copy(), np.full((*empty.least.shape, 2), -1), 0
        for lines in found:
            at = lines.spans.line
            if len(at) == 0:
                continue
            ends = [survey.changes(lines, at, one) for one in (lines.spans.start, lines.spans.stop)]
            for name, one in zip(("row", "column", "kind", "low", "high"), (
                lines.pixel[at, 0], lines.pixel[at, 1], np.full(len(at), lines.kind), *ends[:: lines.sign]
            ), strict=True):  # fmt: skip
                spans[name].append(one)
            change, pixel = self._least(survey, lines, np.abs(ends[0]))
            unproved += change is None
            if change is not None:
                where = (0, lines.kind, int(lines.sign > 0))
                least[where], place[where] = change, pixel
        joined = {f"span_{name}": np.concatenate(one) for name, one in spans.items() if one}
        if joined:
            joined["span_image"] = np.zeros(len(joined["span_row"]), np.int64)
        return replace(
            empty, **values, **joined, least=least, least_row=place[..., 0], least_column=place[..., 1],
            unproved=np.array([unproved]),
        )  # fmt: skip

    @staticmethod
    def _least(survey: LineSurvey, lines: Lines, away: np.ndarray) -> tuple[float | None, np.ndarray]:
        """The least change that the network itself is seen to flip at, among the nearest spans, and its pixel."""
        nearest = np.argsort(away, kind="stable")
        for some in np.array_split(nearest[:64], 4):
            if len(some) == 0:
                continue
            distance, proved = survey.prove(lines, some)
            if proved.any():
                at = lines.spans.line[some[proved]]
                change = survey.changes(lines, at, distance[proved])
                best = int(np.abs(change).argmin())
                return float(change[best]), lines.pixel[at[best]]
        return None, np.array([-1, -1])
