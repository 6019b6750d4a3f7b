"""The domains of a training run as tensors: split by object, stretched once, test images left out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from robustkit.data import STRETCHES, IdentityStretch, ImageSet, Stretch
from robustkit.errors import InputError
from robustkit.training._interim import Split

# Images stretched at a time, so that a memory-mapped set is never held twice.
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class Part:
    """The training or validation images of a domain.

    Attributes:
        images: Network input, shape (N, C, H, W), float32, channels last in memory.
        labels: Classes, shape (N,), int64; `None` in a target domain, whose labels never come this far.
        ids: Image ids, shape (N,).
    """

    images: Tensor
    labels: Tensor | None
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Domain:
    """What training sees of an image set: its training and validation images. Test images are not among them.

    Attributes:
        train: The training images.
        valid: The validation images.
        split: Which object is where.
    """

    train: Part
    valid: Part
    split: Split


def without_labels(images: ImageSet) -> ImageSet:
    """The image set as an unlabelled target: nothing after this can read its labels."""
    return replace(images, labels=None)


def fit_stretch(images: ImageSet, split: Split, name: str | None) -> Stretch:
    """The stretch of a run, fitted on the training images of the source.

    Args:
        images: The source.
        split: Which object is where.
        name: A name in `STRETCHES`, or `None` to choose.

    Raises:
        InputError: If the images are stretched already and another stretch is asked for.
    """
    if images.stretch is not None:
        if name not in (None, IdentityStretch.name):
            raise InputError(
                f"the images are stretched already, by {images.stretch.name}; leave --stretch away or give the "
                "calibrated images"
            )
        return IdentityStretch()
    return STRETCHES[name or "arcsinh"].fit(images.images[images.positions(split.train)])


def make_domain(images: ImageSet, split: Split, stretch: Stretch, device: torch.device | str = "cpu") -> Domain:
    """Stretches the training and validation images and puts them on the device.

    Args:
        images: The set.
        split: Which object is where.
        stretch: The fitted stretch.
        device: Where training runs.
    """
    train, valid = (_part(images, ids, stretch, device) for ids in (split.train, split.valid))
    return Domain(train, valid, split)


def input_range(part: Part) -> tuple[tuple[float, float], ...]:
    """Lowest and highest network input of each band."""
    low, high = part.images.amin((0, 2, 3)).tolist(), part.images.amax((0, 2, 3)).tolist()
    return tuple(zip(low, high, strict=True))


def check_classes(images: ImageSet, split: Split) -> None:
    """Refuses a source that cannot be trained on.

    Raises:
        InputError: If the source has no labels, or a class has fewer than two objects in a part of the split.
    """
    if images.labels is None:
        raise InputError("the source has no labels, and training needs them; give a labelled set with --source")
    if len(images.class_names) < 2:
        raise InputError(f"expected at least 2 classes, the source has {len(images.class_names)}")
    for part in ("train", "valid", "test"):
        labels = images.labels[images.positions(getattr(split, part))]
        counts = np.bincount(labels, minlength=len(images.class_names))
        for name, count in zip(images.class_names, counts.tolist(), strict=True):
            if count < 2:
                raise InputError(
                    f"class {name!r} has {count} objects in the {part} part of the source; every part needs at least "
                    "2 of each class, so add images or take the class out"
                )


def _part(images: ImageSet, ids: tuple[str, ...], stretch: Stretch, device: torch.device | str) -> Part:
    positions = images.positions(ids)
    _, bands, height, width = images.images.shape
    tensor = torch.empty((len(positions), bands, height, width), memory_format=torch.channels_last)
    for start in range(0, len(positions), _CHUNK):
        rows = positions[start : start + _CHUNK]
        tensor[start : start + len(rows)] = torch.from_numpy(np.ascontiguousarray(stretch(images.images[rows])))
    if not bool(torch.isfinite(tensor).all()):
        raise InputError("some images are not finite after the stretch; repair NaN and infinite pixels first")
    labels = None if images.labels is None else torch.from_numpy(images.labels[positions]).to(device)
    return Part(tensor.to(device), labels, images.ids[positions])
