"""Images in the order of a classifier: its classes, and its bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from robustkit.data import ImageSet
from robustkit.data.pixels import blocks, release
from robustkit.data.readers.gather import room_for
from robustkit.errors import InputError


def arrange(images: ImageSet, class_names: Sequence[str] | None, bands: Sequence[str] | None) -> ImageSet:
    """The images with classes and bands in a classifier's order, where they have the same names in another one.

    Args:
        images: The images.
        class_names: The classifier's classes; numbered ones (`class 0`) fit any of as many.
        bands: The classifier's bands.

    Raises:
        InputError: If the bands have other names.
    """
    notes = list(images.notes)
    if class_names is not None and tuple(class_names) != images.class_names:
        place, how = _places(tuple(class_names), images.class_names)
        if place is not None:
            labels = None if images.labels is None else place[images.labels]
            images = replace(images, class_names=tuple(class_names), labels=labels)
            notes.append(f"classes: {how}")
    if bands is not None and tuple(bands) != images.bands:
        if len(bands) == len(images.bands) and images.bands == tuple(f"band{k}" for k in range(len(bands))):
            images = replace(images, bands=tuple(bands))
            notes.append(
                f"bands: the images do not name theirs, so they are taken as {', '.join(bands)}, in this order"
            )
        elif set(bands) <= set(images.bands):
            order = [images.bands.index(name) for name in bands]
            images = replace(images, images=_with_bands(images.images, order, notes), bands=tuple(bands))
            notes.append(f"bands: {', '.join(bands)}, taken in the order of the model")
        elif len(bands) == len(images.bands):
            raise InputError(
                f"the model takes bands {', '.join(bands)} and the images have {', '.join(images.bands)}; name them "
                "alike, or leave --bands out, and the bands out of the card"
            )
    return replace(images, notes=tuple(notes))


def _with_bands(images: np.ndarray, order: Sequence[int], notes: list[str]) -> np.ndarray:
    """Images with some of their bands, in another order; like those that were converted, large ones not in memory."""
    out = room_for((len(images), len(order), *images.shape[2:]), notes)
    start = 0
    for block in blocks(images):
        out[start : start + len(block)] = block[:, order]
        start += len(block)
        release(out)
    return out


def in_order(images: ImageSet, class_names: Sequence[str]) -> ImageSet:
    """The images with their classes in a classifier's order, where they are the same ones in another."""
    names = tuple(class_names)
    if images.class_names == names or set(images.class_names) != set(names):
        return images
    return arrange(images, names, None)


def _places(model: tuple[str, ...], images: tuple[str, ...]) -> tuple[np.ndarray | None, str]:
    """Which of the model's classes each class of the images is, shape (k,), and how that is known; else `None`."""
    if set(model) >= set(images):
        return np.array([model.index(name) for name in images]), f"put into the order of the model, {', '.join(model)}"
    if len(model) == 2 and model[0] == f"not {model[1]}" and model[1] in images:
        return np.array([int(name == model[1]) for name in images]), f"all but {model[1]} are {model[0]}"
    numbers = tuple(str(k) for k in range(len(images)))
    if len(model) == len(images) and model == tuple(f"class {k}" for k in range(len(model))):
        return np.arange(len(images)), "numbered in the order of the images, because the model has no names for them"
    if images == numbers and len(images) <= len(model):
        pairs = ", ".join(f"{number} is {name}" for number, name in zip(numbers, model, strict=False))
        return np.arange(len(images)), f"the labels are numbers, so {pairs}"
    counted = tuple(str(k) for k in range(1, len(images) + 1))
    if images == counted and len(images) == len(model):
        pairs = ", ".join(f"{number} is {name}" for number, name in zip(counted, model, strict=True))
        return np.arange(len(images)), f"the labels are numbers from 1, so {pairs}"
    plain = [_plain(name) for name in model]
    theirs = [_plain(name) for name in images]
    if len(set(plain)) == len(plain) and len(set(theirs)) == len(theirs) and set(plain) >= set(theirs):
        pairs = ", ".join(f"{name} is {model[plain.index(_plain(name))]}" for name in images)
        return np.array([plain.index(name) for name in theirs]), f"matched whatever their capital letters are: {pairs}"
    return None, ""


def _plain(name: str) -> str:
    """A class name without capital letters, and with one kind of gap between its words."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
