"""What objects are compared with: how training images look, their latents, and the level of prediction sets."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robustkit.catalogues.looks import Looks, Tail, oddness, statistics
from robustkit.catalogues.predict import predicted_with_latents
from robustkit.data import ImageSet
from robustkit.data.pixels import release
from robustkit.errors import InputError
from robustkit.files import read_object
from robustkit.findings.certify.conformal import RECORD
from robustkit.findings.certify.sets import ConformalRecord
from robustkit.models import ModelOptions
from robustkit.runs.draw import draw
from robustkit.runs.folder import MANIFEST
from robustkit.runs.opening import open_objects
from robustkit.runs.sample import Sample, as_input
from robustkit.training.recall import recall_domains

_NEIGHBOURS = 10
_MOST = 2000  # images of each kind at most: enough for a covariance and for a tail
_LEAST = 24
_BLOCK = 64
_NOTHING = 1e-3  # by how much rounding may take a probability out of its range

Rows = tuple[ImageSet, np.ndarray]  # a set, and positions in it


@dataclass(frozen=True, eq=False)
class Reference:
    """Images that objects are compared with: some that set the scale, and unseen ones that say what is usual.

    Attributes:
        looks: How images look, one for each domain.
        latents: Shape (R, D), float32, on the device of the network; `None` without a latent.
        typical: Median distance of unseen images to these latents.
        odd: The oddness of unseen images.
        unsure: 1 minus the probability of the class of unseen images.
        where: Where all this is from, in words.
        training: Whether it is from the images that the model was trained on, or from images that were named.
    """

    looks: tuple[Looks, ...]
    latents: Tensor | None
    typical: float
    odd: Tail
    unsure: Tail
    where: str
    training: bool

    def distance(self, latents: Tensor | None) -> np.ndarray | float:
        """Mean distance to the nearest latents in units of what is typical, (N, D) to (N,); nan without latents."""
        if latents is None or self.latents is None or not self.training:
            return np.nan
        return (_nearest(latents.float(), self.latents) / self.typical).cpu().numpy()

    def doubt(self, images: Tensor, unsure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Doubt and oddness of images, shape (N,) each; the doubt is the larger of the places of both in their tails.

        Args:
            images: Network input, shape (N, C, H, W).
            unsure: 1 minus the probability of their class, shape (N,).
        """
        odd = oddness(self.looks, statistics(images))
        return np.maximum(self.odd.place(odd), self.unsure.place(unsure)), odd / self.odd.scale


def reference_of(sample: Sample, where: str | os.PathLike[str] | None) -> Reference:
    """What the objects of a sample are compared with.

    Args:
        sample: The model with the objects.
        where: Images to compare with, for a model that does not say what it was trained on; `None` for those that it
            says, or else for the objects themselves.

    Raises:
        InputError: If images are named and cannot be used, or there are too few.
    """
    checkpoint = sample.checkpoint
    if where is not None:
        options = checkpoint.origin.options
        other = open_objects(
            sample.model, data=where, options=ModelOptions.from_json(options) if options else None,
            device=checkpoint.classifier.device, say=lambda line: None,
        )  # fmt: skip
        pair = _halves(other, f"--reference {where}")
        return _reference(sample, *pair, f"compared with {len(pair[0][0][1])} images of {where}", training=True)
    try:
        domains = recall_domains(sample.model, checkpoint.card)
    except (InputError, KeyError) as error:
        said = str(error) if isinstance(error, InputError) else "the model does not say what it was trained on"
        pair = _halves(sample, "the set")
        text = f"compared with {len(pair[0][0][1])} of the objects themselves, because {said}; --reference names others"
        return _reference(sample, *pair, text, training=False)
    seen, unseen = (
        [(one.images, _some(one.images, one.rows(part))) for one in domains.values()] for part in ("train", "valid")
    )
    count = sum(len(rows) for _, rows in seen)
    text = f"compared with {count} training images of {' and '.join(domains)}"
    return _reference(sample, seen, unseen, text, training=True)


def _halves(sample: Sample, what: str) -> tuple[list[Rows], list[Rows]]:
    """Some images of a set in two halves, by their ids alone."""
    ids = draw(sample.ids.tolist(), 2 * _MOST, 0)
    if len(ids) < 2 * _LEAST:
        raise InputError(f"{what} has {len(ids)} images to compare objects with; expected at least {2 * _LEAST}")
    rows, half = sample.whole.positions(ids), len(ids) // 2
    return [(sample.whole, np.sort(rows[:half]))], [(sample.whole, np.sort(rows[half:]))]


def _some(images: ImageSet, rows: np.ndarray) -> np.ndarray:
    """Some of the rows, by their ids alone."""
    ids = draw([str(one) for one in images.ids[rows]], _MOST, 0)
    return np.sort(images.positions(ids))


def _reference(sample: Sample, seen: list[Rows], unseen: list[Rows], where: str, *, training: bool) -> Reference:
    parts = [_look(sample, images, rows) for images, rows in seen]
    others = [_look(sample, images, rows) for images, rows in unseen]
    looks = tuple(Looks.of(found) for _, _, found in parts)
    found = np.concatenate([found for _, _, found in others])
    unsure = np.concatenate([unsure for _, unsure, _ in others])
    latents, typical = None, 1.0
    if all(one is not None for one, _, _ in (*parts, *others)):
        latents = torch.cat([one for one, _, _ in parts if one is not None])
        typical = float(_nearest(torch.cat([one for one, _, _ in others if one is not None]), latents).median()) or 1.0
    return Reference(looks, latents, typical, Tail.of(oddness(looks, found)), Tail.of(unsure), where, training)


@torch.inference_mode()
def _look(sample: Sample, images: ImageSet, rows: np.ndarray) -> tuple[Tensor | None, np.ndarray, np.ndarray]:
    """Latents, 1 minus the probability of the class, and statistics of some images."""
    classifier, stretch = sample.checkpoint.classifier, sample.checkpoint.stretch
    latents, unsure, found = list[Tensor](), list[np.ndarray](), list[np.ndarray]()
    for some in np.split(rows, range(_BLOCK, len(rows), _BLOCK)):
        seen = as_input(stretch, images, images.images[some]).to(classifier.device)
        record, latent = predicted_with_latents(classifier, seen, some)
        if latent is not None:
            latents.append(latent.float())
        unsure.append(1 - record.own_probability())
        found.append(statistics(seen))
    release(images.images)
    return torch.cat(latents) if latents else None, np.concatenate(unsure), np.concatenate(found)


def _nearest(latents: Tensor, others: Tensor) -> Tensor:
    """Mean distance to the nearest of others, shape (N,)."""
    count = min(_NEIGHBOURS, len(others))
    parts = [torch.cdist(some, others).topk(count, largest=False).values.mean(1) for some in latents.split(1024)]
    return torch.cat(parts)


@dataclass(frozen=True)
class Level:
    """The level of prediction sets.

    Attributes:
        threshold: The most that 1 minus the probability of a class in a set may be.
        target: The share of classes that sets are to hold.
    """

    threshold: float
    target: float

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """Which classes are in the sets, of probabilities (N, K), int8."""
        return (1 - probabilities.astype(np.float64) <= self.threshold).astype(np.int8)


def level_of(folder: str | os.PathLike[str], sample: Sample) -> Level:
    """The level that `robustkit certify --conformal` calibrated for this model, on the worst score of each image.

    Raises:
        InputError: If the folder holds no such run, or that of another model.
    """
    folder = Path(folder)
    if not (folder / RECORD).is_file():
        raise InputError(
            f"{folder} holds no calibration; make one with: robustkit certify --model {sample.model} --conformal 0.9"
        )
    manifest = read_object(folder / MANIFEST, "the manifest of a run", inputs=dict)
    theirs, mine = manifest["inputs"].get("model_sha256"), sample.checkpoint.origin.sha256
    if theirs != mine:
        raise InputError(
            f"the calibration in {folder} is that of another model (SHA-256 {str(theirs)[:12]}, this one has "
            f"{mine[:12]}); calibrate this one with robustkit certify --conformal"
        )
    record = ConformalRecord.load(folder / RECORD)
    if tuple(record.class_names) != sample.checkpoint.classifier.class_names:
        raise InputError(f"the calibration in {folder} is of other classes; calibrate the model as it is decided here")
    threshold = record.threshold(worst=True) if 0 < record.target < 1 else math.nan
    if not -_NOTHING <= threshold <= 1 + _NOTHING:  # nan neither
        raise InputError(
            f"the calibration in {folder} holds no probabilities, of target {record.target:g} and threshold "
            f"{threshold:g}; make it again with robustkit certify --conformal"
        )
    return Level(threshold, record.target)
