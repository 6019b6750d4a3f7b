"""Sets made of many files with one image each: what every file must share with the first, and the hash of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robustkit.data.guard import reading
from robustkit.data.imageset import Units
from robustkit.data.readers.found import Found, Frames, Names
from robustkit.errors import InputError


@dataclass(frozen=True)
class SingleImage:
    """One image as its file holds it.

    Attributes:
        pixels: Shape (C, H, W), any numeric dtype.
        bands: The bands, if the file names them.
        units: The units, if the file states them.
        bounds: The range of a pixel, if the file states it.
        kind: What the file is, in words; all files of a set must be of one kind.
        remark: What was done to it, if anything.
    """

    pixels: np.ndarray
    bands: tuple[str, ...] | None
    units: Units | None
    bounds: tuple[float, float] | None
    kind: str
    remark: str | None = None


GREY_PICTURE, COLOUR_PICTURE = "grey picture", "colour picture"
_PICTURES = {GREY_PICTURE, COLOUR_PICTURE}

ReadOne = Callable[[bytes, Path], SingleImage]


def find_files(root: Path, files: Sequence[Path], read_one: ReadOne) -> Found:
    """A set of files with one image each; they are read, hashed and compared with the first when they are gathered.

    Args:
        root: The folder that names of files start from.
        files: One path per image, inside `root`.
        read_one: Decodes the bytes of a file.

    Raises:
        InputError: If the first file cannot be read; the others when they are gathered.
    """
    names = Names(len(files), lambda index: files[index].relative_to(root).as_posix())
    first = read_one(read_bytes(files[0]), files[0])

    def blocks(_: int | None) -> Iterator[np.ndarray]:
        for index, path in enumerate(files):
            data = read_bytes(path)
            image = read_one(data, path)
            found.hashes[names[index]] = hashlib.sha256(data).hexdigest()
            check_same(first, image, names[0], names[index])
            if image.remark:
                found.remarks[image.remark] += 1
            yield image.pixels[None]

    found = Found(Frames(names, blocks), bands=first.bands, units=first.units, bounds=first.bounds)
    found.stored = sum(path.stat().st_size for path in set(files))
    found.notes.append(f"images: {len(files)} files, the first a {in_words(first)}, {first.pixels.dtype.name}")
    return found


def check_same(first: SingleImage, other: SingleImage, its_name: str, others_name: str) -> None:
    """Refuses an image that is of another kind than the first of its set.

    Args:
        first: The first image of the set.
        other: Another one.
        its_name: Name of the first.
        others_name: Name of the other.
    """
    if {first.kind, other.kind} <= _PICTURES:  # of one band and of three, which steps may bring together
        return
    if (other.kind, other.bands, other.units) != (first.kind, first.bands, first.units):
        raise InputError(
            f"{its_name} is a {in_words(first)} and {others_name} is a {in_words(other)}; expected one kind"
        )


def names_of(root: Path, files: Sequence[Path]) -> np.ndarray:
    """Ids for files: their paths from `root` without the suffix, or with it where two would be the same."""
    paths = [path.relative_to(root) for path in files]
    short = [path.with_suffix("").as_posix() for path in paths]
    return np.array(short if len(set(short)) == len(short) else [path.as_posix() for path in paths], dtype=str)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        InputError: If it cannot be read.
    """
    with reading(path, "a file"):
        return path.read_bytes()


def in_words(image: SingleImage) -> str:
    """What an image is, for notes and errors."""
    bands = f" of bands {' '.join(image.bands)}" if image.bands else f" of {len(image.pixels)} bands"
    units = f" in {image.units}" if image.units and image.units != "display" else ""
    return f"{image.kind}{bands}{units}"
