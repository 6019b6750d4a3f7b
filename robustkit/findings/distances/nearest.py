"""The flip that moves a latent least, and the most dangerous cell, from a complete search.

The flip that a search met is a matter of the search. These two are properties of the network, the image and the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robustkit.engine import Candidates, Evaluator, make_evaluator, paint
from robustkit.errors import InputError
from robustkit.files import read_object
from robustkit.findings.certify.record import RECORD, CertificateRecord
from robustkit.latent.embeddings import Embeddings
from robustkit.latent.geometry import AffineHead
from robustkit.models import AuditedClassifier
from robustkit.perturb.decision import answers, decide
from robustkit.perturb.threats import make_values
from robustkit.perturb.values import ValueSet
from robustkit.progress import progress
from robustkit.runs.folder import SUMMARY
from robustkit.runs.sample import Sample

# Flips of an image whose latents are looked at, at most, and how many at once. Eight times as many took an audit of 150
# images three times as long here, and moved the nearest flip of less than one image in ten, by 17 % at most.
MOST = 512
_AT_ONCE = 64
# Images that share an evaluator.
_BLOCK = 16
# What is left of a lower bound when the rounding of logits is taken off.
_ROUNDED = 1 - 1e-3


@dataclass(frozen=True, eq=False)
class Complete:
    """Twins of N images from a complete search; nan and -1 where it has none.

    Attributes:
        nearest: Latents under the flip that moves them least, shape (N, D).
        nearest_class: The class after it, shape (N,).
        floor: No flip moves the latent by less, shape (N,): the distance of the nearest flip where it is proved to be
            the nearest, else less.
        dangerous: Latents under the cell with the largest margin, flip or not, shape (N, D).
        dangerous_class: The class after it, shape (N,).
        margin: That margin, in logits, shape (N,).
    """

    nearest: np.ndarray
    nearest_class: np.ndarray
    floor: np.ndarray
    dangerous: np.ndarray
    dangerous_class: np.ndarray
    margin: np.ndarray

    @classmethod
    def nothing(cls, n: int, dimensions: int) -> Complete:
        """Where no complete search is at hand."""
        nan, latents = np.full(n, np.nan), np.full((n, dimensions), np.nan, dtype=np.float32)
        return cls(latents, np.full(n, -1), nan, latents.copy(), np.full(n, -1), nan.copy())


def load_certificates(folder: Path, found: Embeddings) -> CertificateRecord:
    """The complete search of the same model.

    Raises:
        InputError: If the folder holds none, or that of another model.
    """
    record = CertificateRecord.load(folder / RECORD)
    inputs = read_object(folder / SUMMARY, "the summary of certificates", inputs=dict)["inputs"]
    if inputs.get("model_sha256") != found.model_sha256:
        raise InputError(
            f"the certificates in {folder} are of another model than the attack; name those of this model, or run "
            "robustkit certify on it"
        )
    return record


def complete_twins(
    sample: Sample, found: Embeddings, record: CertificateRecord, *, most: int | None = None
) -> Complete:
    """Looks up the nearest flip and the most dangerous cell of each image that a complete search went through.

    An affine head bounds from below how far a latent moved from the logits alone, so flips are embedded in the order of
    that bound until it passes the shortest distance seen: the nearest flip then is known, and few were embedded.

    Args:
        sample: The model and its images.
        found: Their embeddings.
        record: The complete search on some of the same images.
        most: How many flips of an image are embedded at most, by default `MOST`; where that does not do, `floor` is
            below `nearest`.

    Raises:
        InputError: If the values of the search cannot be had again.
    """
    place = {str(image_id): i for i, image_id in enumerate(record.ids)}
    row_of = {str(image_id): i for i, image_id in enumerate(sample.ids)}
    classifier, made = sample.checkpoint.classifier, Complete.nothing(len(found.ids), found.clean.shape[1])
    values = _values(sample, record)
    wanted = [i for i, one in enumerate(found.ids) if str(one) in place and record.complete[place[str(one)]]]
    wanted = [i for i in wanted if str(found.ids[i]) in row_of and record.queries[place[str(found.ids[i])]] > 0]
    with torch.inference_mode(), progress(total=len(wanted), label="nearest flips", unit="image") as bar:
        for start in range(0, len(wanted), _BLOCK):
            some = wanted[start : start + _BLOCK]
            rows = [row_of[str(found.ids[i])] for i in some]
            images = torch.cat([sample.inputs[row : row + 1] for row in rows]).to(classifier.device)
            evaluator = make_evaluator(classifier, images)
            for k, i in enumerate(some):
                at = place[str(found.ids[i])]
                clean = images[k : k + 1]
                cell = [torch.as_tensor(getattr(record, f"best_{name}")[at]) for name in ("row", "column", "value")]
                cell = [part.to(clean.device) for part in cell]
                painted = paint(clean, cell[0].view(1, 1), cell[1].view(1, 1), cell[2].view(1, 1, -1))
                made.dangerous[i] = classifier.embed(painted)[0].cpu().numpy()
                made.dangerous_class[i] = int(decide(classifier(painted))[0])
                made.margin[i] = record.best_margin[at]
                if record.flipping[at]:
                    flips = _Flips(classifier, evaluator, clean, k, values, record, at)
                    latent, new, floor = flips.nearest(found.clean[i], found.clean_logits[i], found.head, most or MOST)
                    made.nearest[i], made.nearest_class[i], made.floor[i] = latent, new, floor
                bar.update()
    return made


class _Flips:
    """The flipping cells of one image, nearest first by what their logits say."""

    def __init__(
        self,
        classifier: AuditedClassifier,
        evaluator: Evaluator,
        clean: Tensor,
        k: int,
        values: ValueSet,
        record: CertificateRecord,
        at: int,
    ) -> None:
        self.classifier, self.clean, self.label = classifier, clean, int(record.labels[at])
        width, device = clean.shape[3], clean.device
        pixel = torch.from_numpy(np.flatnonzero(record.flips_map[at].ravel())).to(device)
        pixel = pixel.repeat_interleave(values.size)
        option = torch.arange(values.size, device=device).repeat(len(pixel) // values.size)
        self.row, self.column = pixel // width, pixel % width
        self.value = values.option(clean[0].flatten(1)[:, pixel].T, option)  # (M, C)
        image = torch.tensor([k], device=device)
        logits = evaluator(
            Candidates(image, self.row[None, :, None], self.column[None, :, None], self.value[None, :, None])
        )
        self.logits = logits[0]
        decided = decide(self.logits)
        self.cells = ((decided != self.label) & (decided >= 0)).nonzero().squeeze(1)

    def nearest(self, latent: np.ndarray, logits: np.ndarray, head: object, most: int) -> tuple[np.ndarray, int, float]:
        """The latent under the nearest flip, the class after it, and how near a flip could be at most."""
        bound = np.zeros(len(self.cells))
        if isinstance(head, AffineHead):
            weight = head.weight - head.weight.mean(0)
            change = self.logits[self.cells].cpu().double().numpy() - logits
            change -= change.mean(1, keepdims=True)
            # The shortest displacement that changes the logits so.
            bound = _ROUNDED * np.linalg.norm(change @ np.linalg.pinv(weight).T, axis=1)
        order = np.argsort(bound, kind="stable")
        best, made, new, looked = np.inf, np.full_like(latent, np.nan), -1, 0
        while looked < min(len(order), most) and bound[order[looked]] < best:
            some = self.cells[torch.from_numpy(order[looked : looked + _AT_ONCE]).to(self.cells.device)]
            looked += len(some)
            painted = self._painted(some)
            latents = self.classifier.embed(painted).cpu().numpy()
            moved = np.linalg.norm(latents.astype(np.float64) - latent, axis=1)
            for j in np.argsort(moved, kind="stable").tolist():
                if moved[j] >= best:
                    break
                decided = int(decide(answers(self.classifier, painted[j : j + 1]))[0])
                if decided not in (self.label, -1):  # proved alone
                    best, made, new = float(moved[j]), latents[j], decided
                    break
        left = bound[order[looked]] if looked < len(order) else np.inf
        return made, new, min(best, float(left)) if new >= 0 else float("nan")

    def _painted(self, some: Tensor) -> Tensor:
        images = self.clean.expand(len(some), -1, -1, -1)
        return paint(images, self.row[some, None], self.column[some, None], self.value[some, None])


def _values(sample: Sample, record: CertificateRecord) -> ValueSet:
    """The values that the complete search tried."""
    wanted = record.settings["values"]
    for value_range in (None, "data", "paper"):
        try:
            values = make_values(
                wanted["name"],
                input_range=sample.checkpoint.card.input_range,
                value_range=value_range,
                stretch=sample.checkpoint.stretch,
                units=sample.whole.units,
                bounds=sample.whole.bounds,
                device=sample.checkpoint.classifier.device,
            )
        except InputError:
            continue
        if values.to_json() == wanted:
            return values
    raise InputError(
        f"the values {wanted['name']!r} of the complete search cannot be made again from this model and these images; "
        "run robustkit certify on them"
    )
