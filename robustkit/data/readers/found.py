"""What every reader receives, and what every reader returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from robustkit.data.imageset import Units
from robustkit.data.pixels import release, rows_per_block
from robustkit.data.preprocess import ImageStep
from robustkit.errors import InputError

Channels = Literal["first", "last", "none"]


@dataclass(frozen=True)
class Options:
    """What the user said about a source; `None` where nothing was. See `open_images` for each."""

    images: str | None = None
    labels: str | np.ndarray | None = None
    ids: str | None = None
    class_names: tuple[str, ...] | None = None
    class_count: int | None = None
    accepted: tuple[str, ...] = ()
    bands: tuple[str, ...] | None = None
    channels: Channels | None = None
    axes: str | None = None
    units: Units | None = None
    bounds: tuple[float, float] | None = None
    steps: tuple[ImageStep, ...] = ()
    numbers: bool = False
    nan: Literal["refuse", "fill"] = "refuse"


@dataclass(frozen=True)
class Frames:
    """Images that have been found and not yet read.

    Attributes:
        names: What to call each of the N images in an error.
        blocks: Yields the images in order, as arrays (n, C, H, W) of any numeric dtype; its argument is n, or `None`
            to leave that to the source.
        view: The same images as one array (N, C, H, W), where they can be used without a copy.
    """

    names: Names
    blocks: Callable[[int | None], Iterator[np.ndarray]]
    view: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Names:
    """Names for N images, made when one is asked for.

    Attributes:
        count: N.
        name: The name of image i.
    """

    count: int
    name: Callable[[int], str]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> str:
        return self.name(index)


@dataclass
class Found:
    """The contents of a source, unconverted.

    Attributes:
        labels: Integers, one-hot rows or names, in the order of the images.
        class_names: The classes, if the source names them.
        ids: Ids, if the source has any.
        bands: The bands, if the source names them.
        units: The units, if the source states them.
        bounds: The range of a pixel, if the source states it.
        split: The part that each image belongs to, if the source says.
        meta: Whatever else is known; JSON values.
        notes: What the reader chose, one sentence each.
        provenance: SHA-256 of each file, by name.
        hashes: SHA-256 of each of many files, filled while they are read; becomes one manifest hash.
        remarks: What was done to single images, filled while they are read, with how often.
        stored: How many bytes the files have, where they are others than those of the path that was opened.
    """

    frames: Frames
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    ids: np.ndarray | None = None
    bands: tuple[str, ...] | None = None
    units: Units | None = None
    bounds: tuple[float, float] | None = None
    split: np.ndarray | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    remarks: Counter[str] = field(default_factory=Counter)
    stored: int | None = None


def rows_of(name: str, count: int) -> Names:
    """Names for the rows of an array."""
    return Names(count, lambda index: f"image {index} of {name}")


def array_frames(images: np.ndarray, name: str) -> Frames:
    """Frames of an array (N, C, H, W) that is in memory or mapped."""

    def blocks(rows: int | None) -> Iterator[np.ndarray]:
        step = rows or rows_per_block(images.shape, images.dtype.itemsize)
        for start in range(0, len(images), step):
            yield images[start : start + step]
            release(images)

    return Frames(rows_of(name, len(images)), blocks, images)


def stack_bands(parts: list[Frames], bands: tuple[str, ...]) -> Frames:
    """Frames whose bands come from several sources, one after the other.

    Raises:
        InputError: If their numbers of images differ, or, once they are read, images of unequal size.
    """
    counts = [len(part) for part in parts]
    if len(set(counts)) > 1:
        stated = ", ".join(f"{count} in {band}" for band, count in zip(bands, counts, strict=True))
        raise InputError(f"expected the same number of images in every band, got {stated}")

    def blocks(_: int | None) -> Iterator[np.ndarray]:
        for index, images in enumerate(zip(*(part.blocks(1) for part in parts), strict=True)):
            if len({image.shape for image in images}) > 1:
                raise InputError(
                    f"{parts[0].names[index]} has another size than {parts[1].names[index]}; all bands of an object "
                    "must be on one pixel grid"
                )
            yield np.concatenate(images, axis=1)

    return Frames(parts[0].names, blocks)
