"""Galaxies of each class in source and target, after the stretch: Figure 2 of AD22."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from robustkit.data import ImageSet, open_images
from robustkit.findings.attack.gallery import picture_limits, picture_panel, to_picture
from robustkit.models import open_checkpoint
from robustkit.records import Record
from robustkit.report.blocks import PAGE, Drawing
from robustkit.report.section import Table

_SOME = 256  # images whose lowest and highest pixels are looked up


@dataclass(frozen=True, eq=False)
class Examples(Record):
    """The first object of each class, in both domains.

    Attributes:
        ids: Image ids, source then target, shape (2, K), str.
        pictures: Shape (2, K, H, W, 3), uint8; both of an object between the limits of the first.
        class_names: The K classes.
        published: What a network input of 0 and of 1 in all bands are in units of the images, shape (2, C); NaN where
            the stretch has no inverse.
        there: The lowest and the highest pixel of the source, first 256 images, shape (2, C).
        units: Those of the images.
    """

    axis_letters: ClassVar[Mapping[str, str]] = {
        "ids": "2K", "pictures": "2KHW3", "class_names": "K", "published": "2C", "there": "2C",
    }  # fmt: skip

    ids: np.ndarray
    pictures: np.ndarray
    class_names: list[str]
    published: np.ndarray
    there: np.ndarray
    units: str

    def ends(self) -> str:
        """What the published range of values is, beside the pixels that there are, in a sentence."""
        if not np.isfinite(self.published).all():
            return ""
        (low, high), (least, most) = self.published, self.there
        unit = (
            "" if self.units in ("", "unknown") else f" {self.units}s" if self.units == "electron" else f" {self.units}"
        )
        outside = low.min() < least.min() or high.max() > most.max()
        return (
            f"Inputs 0 and 1 are {low.min():,.0f} and {high.max():,.0f}{unit} at the extreme band, where the pixels of "
            f"the source run from {least.min():,.0f} to {most.max():,.0f}"
            + (": that range is not physical, and neither are the flips in it." if outside else ".")
        )


def take_examples(source: Path, target: Path, model: Path) -> Examples:
    """Takes the first object of each class of the source and the same object of the target.

    Args:
        source: The image set of the source.
        target: That of the target. If it lacks the object, its first object of that class is taken.
        model: A checkpoint, for its stretch.
    """
    checkpoint = open_checkpoint(model)
    sets = open_images(source), open_images(target)
    ids, pictures = [], []
    for k in range(len(sets[0].class_names)):
        first = _first(sets[0], k)
        places = first, _same(sets[1], str(sets[0].ids[first]), k)
        seen = [
            np.asarray(checkpoint.stretch(one.images[place][None]))[0] for one, place in zip(sets, places, strict=True)
        ]
        limits = picture_limits(seen[0])
        pictures.append([to_picture(image, sets[0].bands, limits) for image in seen])
        ids.append([str(one.ids[place]) for one, place in zip(sets, places, strict=True)])
    bands = len(sets[0].bands)
    ends = [np.full((bands, 1, 1), value, np.float64) for value in (0.0, 1.0)]
    invertible = sets[0].stretch is None and checkpoint.stretch.invertible
    published = [checkpoint.stretch.inverse(end)[:, 0, 0] if invertible else np.full(bands, np.nan) for end in ends]
    some = np.asarray(sets[0].images[:_SOME])
    return Examples(
        np.array(ids).T.copy(),
        np.array(pictures).swapaxes(0, 1).copy(),
        class_names=list(sets[0].class_names),
        published=np.array(published),
        there=np.stack([some.min((0, 2, 3)), some.max((0, 2, 3))]).astype(np.float64),
        units=str(sets[0].units),
    )


@dataclass(frozen=True, eq=False)
class ExampleImages:
    """The examples as a section.

    Attributes:
        domains: The paper's names for source and target.
    """

    examples: Examples
    domains: Sequence[str]
    title: str
    name: str = "examples"

    def summary(self) -> str:
        """How to read the drawing."""
        return (
            "The first object of each class, after the stretch that the networks use; both rows of a column are shown "
            "between the same limits, so that their noise can be compared."
        )

    def table(self) -> Table:
        """The ids of the images."""
        columns = ("class", *self.domains)
        return Table(columns, [(name, *self.examples.ids[:, k]) for k, name in enumerate(self.examples.class_names)])

    def drawing(self) -> Drawing:
        """A row for each domain, a column for each class."""
        names = self.examples.class_names
        panels = [
            picture_panel(f"{name}, {domain}", self.examples.pictures[row, k])
            for row, domain in enumerate(self.domains)
            for k, name in enumerate(names)
        ]
        width = min(PAGE, 1.9 * len(names) + 0.3)
        height = 2 * (width - 0.3) / len(names) + 0.5
        return Drawing(panels, (width, height), 560, len(names), legend="none")


def _first(images: ImageSet, label: int) -> int:
    assert images.labels is not None
    return int(np.flatnonzero(images.labels == label)[0])


def _same(images: ImageSet, image_id: str, label: int) -> int:
    found = np.flatnonzero(images.ids == image_id)
    return int(found[0]) if len(found) else _first(images, label)
