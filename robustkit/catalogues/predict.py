"""The class of every object of a survey: images are read a block at a time and never looked at twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from robustkit.catalogues.carried import carried
from robustkit.catalogues.predictions import FLAGGED, Objects, PredictionRecord, Predictions, about_table, joined
from robustkit.catalogues.request import ObjectsRequest, run_folder_of
from robustkit.catalogues.writing import check_writer, write_table
from robustkit.data.pixels import release
from robustkit.files import jsonable, write_json
from robustkit.models import AuditedClassifier
from robustkit.models.decision import Cut, Within
from robustkit.models.fronts.splitting import flagged_images
from robustkit.models.memory import images_in_memory
from robustkit.perturb.decision import decide, settled
from robustkit.records import OUT_OF_MEMORY
from robustkit.runs.folder import SUMMARY
from robustkit.runs.measurement import Measurement, Records
from robustkit.runs.opening import open_objects
from robustkit.runs.running import run_measurement
from robustkit.runs.sample import Sample

_MOST_BLOCK = 256  # images through the network at once


@dataclass(frozen=True, kw_only=True)
class PredictRequest(ObjectsRequest):
    """What `predict` is asked for."""


def run_predict(
    model: str | os.PathLike[str] | Sample, request: PredictRequest | None = None, *, out: Any = None, **how: Any
) -> Predictions:
    """Predicts the class of every object of a set, and writes a table.

    Args:
        model: The checkpoint, or a sample that is open already.
        request: What to do; its `table` is written, and finished groups are kept in a run folder beside it.
        out: The run folder; by default `TABLE.run`.
        **how: Where and how; see `robustkit.runs.running.run_measurement`, whose errors it raises.
    """
    request = request or PredictRequest()
    return run_measurement(Predict, model, request, out=folder_of(request, out, how.get("shard")), **how)


def folder_of(request: ObjectsRequest, out: Any, shard: object) -> Any:
    """Where a run is kept: beside its table, unless it is said otherwise."""
    return run_folder_of(request.table, shard) if out is None and request.table is not None else out


class OfObjects(Measurement):
    """A measurement of every object of a set, which makes a table."""

    result_type: ClassVar[type[Objects]]

    def __init__(self, sample: Sample, request: ObjectsRequest) -> None:
        super().__init__(sample, request)
        if request.table is not None:
            check_writer(request.table)
        own = {name.casefold() for name in self.own_columns()}
        found = carried(request, sample.path, sample.ids, sample.rows, len(sample.whole))
        self.carried = {f"catalogue_{n}" if n.casefold() in own else n: values for n, values in found.items()}
        classifier = sample.checkpoint.classifier
        example = torch.zeros(2, *classifier.input_shape, device=classifier.device)
        self.block = min(_MOST_BLOCK, images_in_memory(classifier.module, example))

    @classmethod
    def open(
        cls, model: str | os.PathLike[str], request: Any, device: torch.device, say: Callable[[str], None]
    ) -> Sample:
        """Opens the model and every image, labelled or not."""
        return open_objects(
            model, data=request.data, part=request.part, options=request.options, device=device, say=say
        )

    def own_columns(self) -> set[str]:
        """The names of the columns that the table has anyway."""
        raise NotImplementedError

    def blocks(self, part: slice) -> Iterator[slice]:
        """A part in blocks that fit into memory; the pages of those that were read are given back."""
        for start in range(part.start, part.stop, self.block):
            yield slice(start, min(part.stop, start + self.block))
            release(self.sample.whole.images)

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be looked at."""
        sample = self.sample
        say(f"{len(sample)} images, part {sample.part} of {sample.path}")
        if self.carried:
            say(f"columns carried along: {', '.join(self.carried)}")
        for note in sample.whole.notes:
            if not note.startswith(("labels:", "classes:")):  # they are not looked at
                say(note)

    def result(self, records: Records, folder: Path | None) -> Objects:
        """The table."""
        record = records[self.command]
        places = np.searchsorted(self.sample.rows, record.rows)
        columns = {name: values[places] for name, values in self.carried.items()}
        return self.result_type(record, self.sample, folder, carried=columns)

    def write(self, folder: Path, result: Objects, about: dict[str, Any]) -> list[str]:
        """Writes the table where it was asked for, or into the folder of a merge, and a summary."""
        table = Path(self.request.table or f"{self.command}.csv")
        beside = self.request.table is not None and folder == run_folder_of(table)
        path = table if beside else folder / table.name
        write_table(path, result.columns(), about_table(about, folder))
        del about["notes"]
        write_json(folder / SUMMARY, {**jsonable(result.summary()), **about, "table": path.name})
        return [result.describe(), f"the table is {path}; how it was made is in {folder / SUMMARY}"]


class Predict(OfObjects):
    """The class of every object."""

    command, doing = "predict", "predicting"
    request_type = PredictRequest
    result_type = Predictions

    def __init__(self, sample: Sample, request: PredictRequest) -> None:
        super().__init__(sample, request)
        self.kinds = {"predict": PredictionRecord}

    def own_columns(self) -> set[str]:
        """The names of the columns that the table has anyway."""
        names = self.sample.checkpoint.classifier.class_names
        return {"id", "class", "probability", "margin", "value", *(f"p_{name}" for name in names)}

    def measure(self, part: slice, bar: tqdm[Any] | None) -> Records:
        """Predicts some of the images."""
        made = []
        for block in self.blocks(part):
            images = self.sample.inputs[block]
            made.append(predicted(self.sample.checkpoint.classifier, images, self.sample.rows[block]))
            if bar is not None:
                bar.update(len(images))
        return {"predict": joined(made)}

    def unknown(self, part: slice) -> Records:
        """The record of images that do not fit into memory."""
        return {"predict": unknown(self.sample.checkpoint.classifier, self.sample.rows[part])}


@torch.inference_mode()
def predicted(classifier: AuditedClassifier, images: Tensor, rows: np.ndarray) -> PredictionRecord:
    """What a classifier says of some images at once.

    Args:
        classifier: The classifier.
        images: Network input, shape (N, C, H, W), on any device.
        rows: Their positions in the image set, shape (N,).
    """
    images = images.to(classifier.device)
    if isinstance(classifier.output.decision, Within):
        value = classifier.output.plain_logits(classifier.module(images))[:, 0].cpu().double().numpy()
        return _record(classifier, rows, value=value, predicted=np.where(np.isfinite(value), 0, -1))
    return _of_logits(classifier, images, classifier(images), rows)


@torch.inference_mode()
def predicted_with_latents(
    classifier: AuditedClassifier, images: Tensor, rows: np.ndarray
) -> tuple[PredictionRecord, Tensor | None]:
    """The same by one pass that gives the latents too, shape (N, D); `None` for a black box."""
    latents, logits = classifier.embed_and_answer(images.to(classifier.device))
    return _of_logits(classifier, images, logits, rows), latents


def _of_logits(classifier: AuditedClassifier, images: Tensor, logits: Tensor, rows: np.ndarray) -> PredictionRecord:
    logits = settled(classifier, images, logits)
    classes = decide(logits)
    classes = torch.where(flagged_images(classifier, images), FLAGGED, classes)
    two = logits.cpu().double().topk(min(2, logits.shape[1]), 1).values
    return _record(
        classifier, rows, predicted=classes.cpu().numpy(), margin=(two[:, 0] - two[:, -1]).float().cpu().numpy(),
        probabilities=probabilities(classifier, logits).float().cpu().numpy(),
    )  # fmt: skip


def probabilities(classifier: AuditedClassifier, logits: Tensor) -> Tensor:
    """The probability of each outcome, shape (N, K): of a cut, the score that is cut and the rest of 1.

    Args:
        classifier: The classifier.
        logits: Its scores of the outcomes, shape (N, K).
    """
    logits = logits.cpu().double()
    cut = classifier.output.decision
    if isinstance(cut, Cut):  # its scores are 0 and the logit of the share minus that of the threshold
        above = torch.sigmoid(logits[:, 1] - logits[:, 0] + np.log(cut.threshold / (1 - cut.threshold)))
        return torch.stack([1 - above, above], 1)
    return logits.softmax(1)


def unknown(classifier: AuditedClassifier, rows: np.ndarray) -> PredictionRecord:
    """The record of images that do not fit into memory."""
    return _record(classifier, rows, predicted=np.full(len(rows), OUT_OF_MEMORY))


def _record(classifier: AuditedClassifier, rows: np.ndarray, **found: np.ndarray) -> PredictionRecord:
    """A record; what is not found is nan."""
    n, k = len(rows), len(classifier.class_names)
    nothing = {"probabilities": np.full((n, k), np.nan, np.float32), "margin": np.full(n, np.nan, np.float32)}
    return PredictionRecord(
        rows=np.asarray(rows, np.int64), class_names=list(classifier.class_names),
        numbers=isinstance(classifier.output.decision, Within),
        **{**nothing, "value": np.full(n, np.nan), **found},
    )  # fmt: skip
