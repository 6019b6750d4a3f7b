"""The certificate: no change of one pixel, from a declared set of values, flips this image."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from robustkit.engine import Evaluator, make_evaluator
from robustkit.engine.rate import candidates_per_second, engine_line
from robustkit.errors import InputError
from robustkit.findings.certify.record import CertificateRecord, CertifyRequest
from robustkit.findings.certify.show import write_certificates
from robustkit.findings.certify.summary import CertifyResult
from robustkit.models import AuditedClassifier
from robustkit.perturb.decision import UNTARGETED, answers
from robustkit.perturb.edges import SUFFIX, with_edges
from robustkit.perturb.sampled_survey import SampledSurvey
from robustkit.perturb.search.base import Problem
from robustkit.perturb.survey import Survey
from robustkit.perturb.threats import describe_values, make_values
from robustkit.perturb.values import ValueSet
from robustkit.progress import progress
from robustkit.runs.halving import halved
from robustkit.runs.measurement import Measurement, Records
from robustkit.runs.running import run_measurement
from robustkit.runs.sample import Sample
from robustkit.seeds import Streams

if TYPE_CHECKING:
    from robustkit.findings.certify.sets import ConformalResult

# Images at once: a bound of memory that changes no answer.
_BLOCK = 128


def run_certify(
    model: str | os.PathLike[str] | Sample, request: CertifyRequest | None = None, **how: Any
) -> CertifyResult | ConformalResult:
    """Tries every cell of every correctly classified image of a sample, and leaves what was found in a run folder.

    Args:
        model: The checkpoint, or a sample that is open already.
        request: What to do.
        **how: Where and how; see `robustkit.runs.running.run_measurement`, whose errors it raises.
    """
    if request is not None and request.conformal is not None:
        from robustkit.findings.certify.conformal import run_conformal

        return run_conformal(model, request, **how)
    return run_measurement(Certify, model, request, **how)


class Certify(Measurement):
    """Certificates of the images of a sample."""

    command, doing = "certify", "certifying"
    request_type = CertifyRequest

    def __init__(self, sample: Sample, request: CertifyRequest) -> None:
        super().__init__(sample, request)
        self.kinds = {"certificates": CertificateRecord}
        self._engine: tuple[str, str, float] | None = None
        self.images = sample.inputs
        name = request.values.removesuffix(SUFFIX)
        self.values = make_values(
            name,
            input_range=sample.checkpoint.card.input_range,
            value_range=request.value_range,
            stretch=sample.checkpoint.stretch,
            units=sample.whole.units,
            bounds=sample.whole.bounds,
            device=sample.checkpoint.classifier.device,
        )
        if name != request.values:
            self.values = with_edges(self.values, sample.checkpoint.classifier)
        self.inputs["settings"] = {"values": self.values.to_json(), "budget": request.budget, "seed": request.seed}

    def measure(self, part: slice, bar: tqdm[Any] | None) -> Records:
        """Certifies some of the images at once."""
        record = CertificateRecord.join(
            [
                certify(
                    classifier,
                    self.images[one],
                    self.sample.labels[one],
                    values=self.values,
                    ids=self.sample.ids[one],
                    budget=self.request.budget,
                    seed=self.request.seed,
                )
                for classifier, one in self.sample.asked(part)
            ]
        )
        if bar is not None:
            bar.update(len(record.ids))
        return {"certificates": record}

    def unknown(self, part: slice) -> Records:
        """The record of images that do not fit into memory."""
        _, bands, height, width = self.images.shape
        record = CertificateRecord.unknown(
            self.sample.ids[part],
            self.sample.labels[part].numpy(),
            shape=(bands, height, width),
            options=self.values.size,
            class_names=self.sample.checkpoint.card.class_names,
            settings=self.inputs["settings"],
        )
        return {"certificates": record}

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be tried, and how long it takes."""
        sample, card = self.sample, self.sample.checkpoint.card
        say(f"{len(sample)} of {sample.available} images, part {sample.part} of {sample.path}")
        for note in sample.whole.notes:
            say(note)
        stretch, units = sample.checkpoint.stretch, sample.whole.units
        say(describe_values(self.values, bands=card.bands, stretch=stretch, units=units))
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
            say(f"{cells:,} cells per image; memory ran out for the first images, so how long they take is not known")
            return
        self._engine, *_ = rates
        name, _, rate = self._engine
        seconds = min(cells, self.request.budget or cells) / rate
        say(f"{cells:,} cells per image, about {seconds:.2g} s each by the {name} engine")

    def forecast(self, images: int) -> str:
        """Which engine tries the cells, why not a faster one, how fast, and how long all takes."""
        if self._engine is None:
            return ""
        cells = int(np.prod(self.images.shape[2:])) * self.values.size
        return engine_line(*self._engine, images * min(cells, self.request.budget or cells))

    def _rate(self, part: slice) -> tuple[str, str, float]:
        """The engine for some images, why not a faster one, and how many cells it tries in a second."""
        classifier = self.sample.checkpoint.classifier
        evaluator = make_evaluator(classifier, self.images[part].to(classifier.device))
        return evaluator.name, evaluator.why_not_faster, candidates_per_second(evaluator)

    def result(self, records: Records, folder: Path | None) -> CertifyResult:
        """The certificates with their numbers."""
        return CertifyResult(records["certificates"], self.sample, folder)

    def write(self, folder: Path, result: CertifyResult, about: dict[str, Any]) -> list[str]:
        """Writes record, table, map and summary."""
        del about["notes"]
        return write_certificates(folder, result.record, {**about, "settings": self.inputs["settings"]})


def certify(
    classifier: AuditedClassifier,
    images: Tensor,
    labels: Tensor,
    *,
    values: ValueSet,
    ids: Sequence[str] | np.ndarray,
    budget: int | None = None,
    seed: int = 0,
    level: float = 0.95,
    evaluator: Callable[[AuditedClassifier, Tensor], Evaluator] = make_evaluator,
) -> CertificateRecord:
    """Tries every cell of every correctly classified image, or the most dangerous and a random sample of the others.

    Args:
        classifier: The classifier.
        images: Clean network input, shape (N, C, H, W).
        labels: The class that each image should keep, shape (N,), int64.
        values: What a pixel may become, on the classifier's device.
        ids: A unique id for each image.
        budget: The most queries per image; where it covers no complete pass, the cells that look dangerous are tried
            and others drawn at random, and the record bounds how many flip the image. `None` tries them all.
        seed: Of that sample, at least 0.
        level: Confidence level of that bound, in (0.5, 1).
        evaluator: Makes what scores the candidates.

    Raises:
        InputError: If images, labels and ids differ in number, or the budget is below 1.
    """
    if not len(images) == len(labels) == len(ids) or len(images) == 0:
        raise InputError(f"{len(images)} images need a label and an id each, got {len(labels)} and {len(ids)}")
    if budget is not None and budget < 1:
        raise InputError(f"the budget must be at least 1 query per image, got {budget}")
    settings = {"values": values.to_json(), "budget": budget, "seed": seed}
    total = len(images) * images.shape[2] * images.shape[3] * values.size
    parts = []
    with progress(total=total, label="certifying", unit="cell") as bar:
        for start in range(0, len(images), _BLOCK):
            part = slice(start, start + _BLOCK)
            began = time.perf_counter()
            clean = images[part].to(classifier.device)
            problem = Problem(
                images=clean,
                clean_logits=answers(classifier, clean),
                labels=labels[part].to(clean.device),
                targets=torch.full((len(clean),), UNTARGETED, device=clean.device),
                values=values,
                streams=Streams(seed, [str(image_id) for image_id in ids[part]], purpose="certificate"),
                classifier=classifier,
            )
            over = (problem, evaluator(classifier, clean), classifier)
            survey = Survey(*over) if budget is None else SampledSurvey(*over, budget)
            survey.run(bar.update)
            arrays = survey.arrays(level)
            parts.append(
                CertificateRecord(
                    ids=np.array([str(image_id) for image_id in ids[part]]),
                    labels=labels[part].cpu().numpy(),
                    cells=survey.cells.count,
                    level=level,
                    class_names=list(classifier.class_names),
                    settings=settings,
                    seconds=time.perf_counter() - began,
                    **arrays,
                )
            )
    return CertificateRecord.join(parts)
