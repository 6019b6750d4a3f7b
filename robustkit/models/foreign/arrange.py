"""Images in the order of a classifier: its classes, and its bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from robustkit.data import ImageSet
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
        if set(class_names) >= set(images.class_names):
            place = np.array([list(class_names).index(name) for name in images.class_names])
            labels = None if images.labels is None else place[images.labels]
            images = replace(images, class_names=tuple(class_names), labels=labels)
            notes.append(f"classes: put into the order of the model, {', '.join(class_names)}")
        elif len(class_names) == len(images.class_names) and list(class_names) == [
            f"class {k}" for k in range(len(class_names))
        ]:
            images = replace(images, class_names=tuple(class_names))
            notes.append("classes: numbered in the order of the images, because the model has no names for them")
    if bands is not None and tuple(bands) != images.bands:
        if set(bands) <= set(images.bands):
            order = [images.bands.index(name) for name in bands]
            images = replace(images, images=np.ascontiguousarray(images.images[:, order]), bands=tuple(bands))
            notes.append(f"bands: {', '.join(bands)}, taken in the order of the model")
        elif len(bands) == len(images.bands):
            raise InputError(
                f"the model takes bands {', '.join(bands)} and the images have {', '.join(images.bands)}; name them "
                "alike, or leave the bands out of the card"
            )
    return replace(images, notes=tuple(notes))
