"""`ImageSet`: images with everything that must be known about them to audit a classifier honestly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np

from robustkit.data.stretch import Stretch, stretch_from_json
from robustkit.errors import InputError
from robustkit.files import atomic_write, new_folder, read_json, sha256_file, write_json

Units = Literal["electron", "display", "unknown"]
IMAGE_SET_FILE = "imageset.json"


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A set of images of one shape, with what is known about them.

    Attributes:
        images: Shape (N, C, H, W), float32, finite; may be memory-mapped.
        labels: Class of each image, shape (N,), int64 in [0, K), or `None` when nobody knows.
        class_names: The K classes.
        bands: A name for each of the C bands.
        ids: A unique id for each image, shape (N,), str.
        units: `electron` (sky-subtracted counts), `display` (a picture's own scale) or `unknown`.
        bounds: Lowest and highest value that a pixel can physically take, or `None`.
        stretch: The stretch that was already applied to these images; `None` for calibrated values.
        meta: Survey, exposure and whatever else the source says; JSON values.
        provenance: SHA-256 of each file that was read, by name.
    """

    images: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    bands: tuple[str, ...]
    ids: np.ndarray
    units: Units = "unknown"
    bounds: tuple[float, float] | None = None
    stretch: Stretch | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.ndim != 4:
            raise InputError(f"expected images of shape (N, C, H, W), came shape {self.images.shape}")
        if len(self.images) == 0:
            raise InputError("the image set is empty; expected at least one image")
        if self.images.dtype != np.float32:
            raise InputError(f"expected float32 images, came {self.images.dtype}; convert them first")
        if len(self.bands) != self.images.shape[1]:
            raise InputError(
                f"the images have {self.images.shape[1]} bands but {len(self.bands)} are named: {', '.join(self.bands)}"
            )
        if self.units not in get_args(Units):
            raise InputError(f"unknown units {self.units!r}; known are {', '.join(get_args(Units))}")
        if len(self.ids) != len(self.images):
            raise InputError(f"{len(self.images)} images but {len(self.ids)} ids; expected one each")
        if len(np.unique(self.ids)) != len(self.ids):
            raise InputError("image ids must be unique, because each image's random stream is made from its id")
        if self.labels is not None:
            self._check_labels(self.labels)

    def _check_labels(self, labels: np.ndarray) -> None:
        if labels.shape != (len(self.images),):
            raise InputError(f"{len(self.images)} images but labels of shape {labels.shape}; expected one label each")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(self.class_names):
            raise InputError(
                f"labels run from {low} to {high} but there are {len(self.class_names)} classes "
                f"({', '.join(self.class_names)}); expected integers from 0 to {len(self.class_names) - 1}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: Sequence[int] | np.ndarray) -> Self:
        """The set of some of the images, in the order given.

        Args:
            indices: Positions in this set, or a mask of shape (N,).
        """
        indices = np.asarray(indices)
        if indices.dtype == bool:
            indices = np.flatnonzero(indices)
        labels = None if self.labels is None else self.labels[indices]
        return replace(self, images=np.asarray(self.images[indices]), labels=labels, ids=self.ids[indices])

    def positions(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """Where the images with these ids stand.

        Raises:
            InputError: If an id is not in the set.
        """
        place = {str(image_id): i for i, image_id in enumerate(self.ids)}
        missing = [str(image_id) for image_id in ids if str(image_id) not in place]
        if missing:
            raise InputError(f"{len(missing)} of {len(ids)} ids are not in the image set, the first is {missing[0]!r}")
        return np.array([place[str(image_id)] for image_id in ids], dtype=np.int64)

    def class_counts(self) -> dict[str, int]:
        """How many images each class has; empty when there are no labels."""
        if self.labels is None:
            return {}
        return dict(
            zip(self.class_names, np.bincount(self.labels, minlength=len(self.class_names)).tolist(), strict=True)
        )

    def describe(self) -> str:
        """One line for the terminal."""
        n, _, height, width = self.images.shape
        counts = ", ".join(f"{count} {name}" for name, count in self.class_counts().items()) or "no labels"
        stretch = f", stretched by {self.stretch.name}" if self.stretch else ""
        return f"{n} images of {height}x{width}, bands {' '.join(self.bands)}, units {self.units}{stretch}: {counts}"

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes the set to a new folder: images.npy, labels.npy, imageset.json."""
        folder = new_folder(folder)
        with atomic_write(folder / "images.npy") as file:
            np.save(file, self.images, allow_pickle=False)
        self.save_description(folder)
        return folder

    def save_description(self, folder: str | os.PathLike[str]) -> None:
        """Writes labels.npy and imageset.json into a folder that already holds images.npy."""
        folder = Path(folder)
        if self.labels is not None:
            with atomic_write(folder / "labels.npy") as file:
                np.save(file, self.labels, allow_pickle=False)
        write_json(
            folder / IMAGE_SET_FILE,
            {
                "class_names": list(self.class_names),
                "bands": list(self.bands),
                "ids": [str(image_id) for image_id in self.ids],
                "units": self.units,
                "bounds": list(self.bounds) if self.bounds else None,
                "stretch": self.stretch.to_json() if self.stretch else None,
                "meta": self.meta,
                "provenance": self.provenance,
            },
        )

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Opens a folder that `save` wrote; the images are memory-mapped.

        Raises:
            InputError: If a file is missing, truncated or does not fit the others.
        """
        folder = Path(folder)
        value = read_json(folder / IMAGE_SET_FILE)
        try:
            images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
            has_labels = (folder / "labels.npy").exists()
            labels = np.load(folder / "labels.npy", allow_pickle=False) if has_labels else None
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"the image set in {folder} cannot be read ({error}); it may be truncated") from error
        return cls(
            images=images,
            labels=labels,
            class_names=tuple(value["class_names"]),
            bands=tuple(value["bands"]),
            ids=np.array(value["ids"], dtype=str),
            units=value["units"],
            bounds=tuple(value["bounds"]) if value["bounds"] else None,
            stretch=stretch_from_json(value["stretch"]) if value["stretch"] else None,
            meta=value["meta"],
            provenance={name: sha256_file(folder / name) for name in ("images.npy",)},
        )
