"""Image sets in several files of one kind: which files, which part of a split each is, and pictures as one stream."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from robustkit.data.bounds import files_inside
from robustkit.data.readers.folder import PARTS
from robustkit.data.readers.found import Found, Names
from robustkit.data.readers.provenance import file_hash
from robustkit.data.readers.single import SingleImage, check_same
from robustkit.errors import WARNING, InputError

_MOST_SHARDS = 100_000


def shard_files(path: Path, suffix: str) -> list[Path]:
    """The file itself, or all files of a folder with this suffix, sorted by name; hidden ones are left out."""
    if not path.is_dir():
        return [path]
    inside = (file for file in files_inside(path) if file.name.endswith(suffix))
    return sorted(file for file in inside if not any(part.startswith(".") for part in file.relative_to(path).parts))


def hash_shards(found: Found, path: Path, files: Sequence[Path]) -> None:
    """Notes the hash of each file, and which of the files that their names count are not there."""
    if len(files) > 1 or path.is_dir():
        found.notes += [
            f"{WARNING}{len(gone)} of the {of} files {stem}-...-of-{of:05d} are not there, the first {gone[0]:05d}"
            for (stem, of), gone in _gone(files).items()
        ]
        found.notes += [
            f"{WARNING}{len(between)} of the files {stem}N are not there, {between[0]} first, between others that are"
            for stem, between in _between(files).items()
        ]
    for file in files:
        name = file.name if file == path else file.relative_to(path).as_posix()
        found.hashes[name] = file_hash(file)


def _gone(files: Sequence[Path]) -> dict[tuple[str, int], list[int]]:
    """The shards that are missing, by the start of their name and how many there should be."""
    there: dict[tuple[str, int], set[int]] = defaultdict(set)
    for file in files:
        named = re.search(r"^(.*)-(\d+)-of-(\d+)", file.name)
        if named:
            there[named[1], int(named[3])].add(int(named[2]))
    missing = {key: [number for number in range(key[1]) if number not in found] for key, found in there.items()}
    return {key: gone for key, gone in missing.items() if gone and key[1] < _MOST_SHARDS}


def _between(files: Sequence[Path]) -> dict[str, list[str]]:
    """The numbers that are missing between those of files which are numbered and not counted, by what comes before."""
    there: dict[str, dict[int, str]] = defaultdict(dict)
    for file in files:
        named = re.search(r"^(.*[^\d])?(\d{1,9})\.\w+$", file.name)
        if named and "-of-" not in file.name:
            there[named[1] or ""][int(named[2])] = named[2]
    missing = {
        stem: [f"{k:0{len(found[min(found)])}d}" for k in range(min(found), max(found)) if k not in found]
        for stem, found in there.items()
        if max(found) - min(found) < 2 * len(found)  # so that they are numbered in order, and few are missing
    }
    return {stem: gone for stem, gone in missing.items() if gone}


def split_of(files: Sequence[Path], counts: Sequence[int]) -> np.ndarray | None:
    """The part of each image, where all files are called `train-00000-of-00002`, `test-00000` and so on.

    Args:
        files: The shards.
        counts: Number of images in each.

    Returns:
        Shape (N,), str, or `None` where the names say nothing.
    """
    parts = [file.name.replace("_", "-").replace(".", "-").partition("-")[0] for file in files]
    return np.repeat(parts, counts) if set(parts) <= set(PARTS) and len(set(parts)) > 1 else None


def picture_blocks(
    images: Iterator[SingleImage], names: Names, first: SingleImage, found: Found
) -> Iterator[np.ndarray]:
    """Pictures one by one, each of the kind of the first; remarks on them are counted.

    Args:
        images: The pictures, in order.
        names: Their names.
        first: The first of them, which sets the kind of all.
        found: Takes the remarks.

    Raises:
        InputError: If one is of another kind, or there are fewer pictures than names.
    """
    index = -1
    for index, image in enumerate(images):
        check_same(first, image, names[0], names[index])
        if image.remark:
            found.remarks[image.remark] += 1
        yield image.pixels[None]
    if index + 1 != len(names):
        raise InputError(f"expected {len(names)} images, got {index + 1}; a file is truncated")
