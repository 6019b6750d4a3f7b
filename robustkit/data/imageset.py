"""`ImageSet`: images with everything that must be known about them to audit a classifier honestly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np

from robustkit.data.guard import reading
from robustkit.data.npyfile import map_npy, write_npy
from robustkit.data.pixels import picked
from robustkit.data.stretch import Stretch, stretch_from_json
from robustkit.errors import InputError
from robustkit.files import read_json, sha256_file, whole_folder, write_json
from robustkit.words import no_such, shown

Units = Literal["electron", "display", "unknown"]
IMAGE_SET_FILE = "imageset.json"
KIND = "robustkit-images"


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A set of images of one shape, with what is known about them.

    Attributes:
        images: Shape (N, C, H, W), float32, finite; may be memory-mapped.
        labels: Class of each image, shape (N,), int64 in [0, K), or `None` if unknown.
        values: The number that a regression predicts of each image, shape (N,), float64; `None` for classes.
        class_names: The K classes.
        bands: A name for each of the C bands.
        ids: A unique id for each image, shape (N,), str. `name#rot90` is another image of the object `name`.
        units: `electron` (sky-subtracted counts), `display` (a picture's own scale) or `unknown`.
        bounds: Lowest and highest value that a pixel can physically take, or `None`.
        stretch: The stretch that was already applied to these images; `None` for calibrated values.
        meta: Survey, exposure and whatever else the source says; JSON values.
        provenance: SHA-256 of each file that was read, by name.
        notes: What was decided for the user when the images were opened, one sentence each.
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
    notes: tuple[str, ...] = ()
    values: np.ndarray | None = None

    def __post_init__(self) -> None:
        # From here on names go to terminals, tables and pages, so what these would obey is written out at this door.
        object.__setattr__(self, "class_names", tuple(map(shown, self.class_names)))
        object.__setattr__(self, "bands", tuple(map(shown, self.bands)))
        object.__setattr__(self, "ids", all_shown(self.ids))
        if self.images.ndim != 4:
            raise InputError(f"expected images of shape (N, C, H, W), got shape {self.images.shape}")
        if 0 in self.images.shape:
            raise InputError(f"the image set is empty, its shape is {self.images.shape}; expected at least one image")
        if self.images.dtype != np.float32:
            raise InputError(f"expected float32 images, got {self.images.dtype}; convert them first")
        if len(self.bands) != self.images.shape[1]:
            raise InputError(
                f"the images have {self.images.shape[1]} bands but {len(self.bands)} are named: {', '.join(self.bands)}"
            )
        for what, names in (("bands", self.bands), ("classes", self.class_names)):
            if len(set(names)) != len(names):
                raise InputError(f"expected {what} with different names, got {', '.join(names)}")
        if self.units not in get_args(Units):
            raise InputError(no_such("units", self.units, get_args(Units)))
        if self.bounds is not None and not (len(self.bounds) == 2 and self.bounds[0] < self.bounds[1]):
            raise InputError(f"expected bounds as the lowest and the highest value of a pixel, got {self.bounds}")
        if self.ids.shape != (len(self.images),):
            raise InputError(f"{len(self.images)} images but ids of shape {self.ids.shape}; expected one each")
        if len(np.unique(self.ids)) != len(self.ids):
            raise InputError("image ids must be unique, because each image's random stream is made from its id")
        if self.labels is not None:
            self._check_labels(self.labels)

    def _check_labels(self, labels: np.ndarray) -> None:
        if labels.shape != (len(self.images),):
            raise InputError(f"{len(self.images)} images but labels of shape {labels.shape}; expected one label each")
        if labels.dtype.kind not in "iu":
            raise InputError(f"expected labels as integers, got {labels.dtype}")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(self.class_names):
            raise InputError(
                f"labels run from {low} to {high} but there are {len(self.class_names)} classes "
                f"({', '.join(self.class_names)}); expected integers from 0 to {len(self.class_names) - 1}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def objects(self) -> np.ndarray:
        """The object that each image shows: its id up to the first `#`, shape (N,), str."""
        return np.array([str(image_id).partition("#")[0] for image_id in self.ids], dtype=str)

    def select(self, indices: Sequence[int] | np.ndarray) -> Self:
        """The set of some of the images, in the order given.

        Args:
            indices: Positions in this set, or a mask of shape (N,).
        """
        indices = np.asarray(indices)
        if indices.dtype == bool:
            indices = np.flatnonzero(indices)
        if len(indices) == 0:
            raise InputError(f"no image of {len(self)} was selected; expected at least one")
        labels = None if self.labels is None else self.labels[indices]
        values = None if self.values is None else self.values[indices]
        images = picked(self.images, indices)
        return replace(self, images=images, labels=labels, values=values, ids=self.ids[indices])

    def positions(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """The positions of the images with these ids.

        Raises:
            InputError: If an id is not in the set.
        """
        place = {str(image_id): i for i, image_id in enumerate(self.ids)}
        ids = [shown(image_id) for image_id in ids]
        missing = [str(image_id) for image_id in ids if str(image_id) not in place]
        if missing:
            raise InputError(f"{len(missing)} of {len(ids)} ids are not in the image set, the first is {missing[0]!r}")
        return np.array([place[str(image_id)] for image_id in ids], dtype=np.int64)

    def class_counts(self) -> dict[str, int]:
        """How many images each class has; empty when there are no labels."""
        if self.labels is None:
            return {}
        counts = np.bincount(self.labels, minlength=len(self.class_names)).tolist()
        return dict(zip(self.class_names, counts, strict=True))

    def describe(self) -> str:
        """One line for the terminal."""
        n, _, height, width = self.images.shape
        counts = ", ".join(f"{count} {name}" for name, count in self.class_counts().items()) or "no labels"
        stretch = f", stretched by {self.stretch.name}" if self.stretch else ""
        images = "image" if n == 1 else "images"
        return f"{n} {images} of {height}x{width}, bands {' '.join(self.bands)}, units {self.units}{stretch}: {counts}"

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes the set to a new folder: images.npy, labels.npy, and imageset.json with the hashes of both."""
        if self.values is not None:
            raise InputError("an image set whose labels are numbers cannot be saved; keep images and numbers in a .npz")
        with whole_folder(folder) as building:
            self._describe(building, write_npy(building / "images.npy", self.images))
        return Path(folder)

    def save_description(self, folder: str | os.PathLike[str]) -> None:
        """Writes labels.npy and imageset.json into a folder that already holds images.npy."""
        self._describe(Path(folder), sha256_file(Path(folder) / "images.npy"))

    def _describe(self, folder: Path, images_sha256: str) -> None:
        hashes = {"images.npy": images_sha256}
        if self.labels is not None:
            hashes["labels.npy"] = write_npy(folder / "labels.npy", self.labels)
        write_json(
            folder / IMAGE_SET_FILE,
            {
                "kind": KIND,
                "class_names": list(self.class_names),
                "bands": list(self.bands),
                "ids": [str(image_id) for image_id in self.ids],
                "units": self.units,
                "bounds": list(self.bounds) if self.bounds else None,
                "stretch": self.stretch.to_json() if self.stretch else None,
                "meta": self.meta,
                "provenance": self.provenance,
                "notes": list(self.notes),
                "sha256": hashes,
            },
        )

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Opens a folder that `save` wrote; the images are memory-mapped.

        Raises:
            InputError: If a file is missing, truncated, or no longer what was written.
        """
        folder = Path(folder)
        with reading(folder / IMAGE_SET_FILE, "the description of an image set"):
            value = read_json(folder / IMAGE_SET_FILE)
            if not isinstance(value, dict) or value.get("kind") != KIND:
                raise InputError(f"{folder / IMAGE_SET_FILE} does not describe an image set; expected kind {KIND!r}")
            written = value["sha256"]
            digests = {name: _verified(folder, name, written[name]) for name in sorted({"images.npy", *written})}
            digests[IMAGE_SET_FILE] = sha256_file(folder / IMAGE_SET_FILE)
            return cls(
                images=map_npy(folder / "images.npy"),
                labels=np.array(map_npy(folder / "labels.npy")) if "labels.npy" in digests else None,
                class_names=tuple(map(str, value["class_names"])),
                bands=tuple(map(str, value["bands"])),
                ids=np.array(value["ids"], dtype=str),
                units=value["units"],
                bounds=(float(value["bounds"][0]), float(value["bounds"][1])) if value["bounds"] else None,
                stretch=stretch_from_json(value["stretch"]) if value["stretch"] else None,
                meta=dict(value["meta"]),
                provenance=dict(value["provenance"]) | digests,
                notes=tuple(map(str, value["notes"])),
            )


def all_shown(names: np.ndarray) -> np.ndarray:
    """Names, shape (N,), str, with what is not printed written out; the same array where all is printed."""
    if names.dtype.kind != "U" or all(name.isprintable() for name in names.tolist()):
        return names
    return np.array([shown(name) for name in names.tolist()])


def _verified(folder: Path, name: str, expected: Any) -> str:
    """The hash of a file that must be what it was when it was written."""
    if name not in ("images.npy", "labels.npy"):
        raise InputError(f"{folder / IMAGE_SET_FILE} names a file {name!r} that no image set has")
    path = folder / name
    if not path.is_file():
        raise InputError(f"the image set lacks the file {path}; write the image set again")
    found = sha256_file(path)
    if found != expected:
        raise InputError(
            f"{path} was changed or damaged after it was written (its SHA-256 differs); write the image set again"
        )
    return found
