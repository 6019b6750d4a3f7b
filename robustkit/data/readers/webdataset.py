"""Webdataset: tar files in which the files of one sample share a key, such as 000017.jpg and 000017.cls."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.data.guard import reading
from robustkit.data.readers import decode
from robustkit.data.readers.found import Found, Frames, Names, Options
from robustkit.data.readers.labels import stated_labels
from robustkit.data.readers.naming import LABELS
from robustkit.data.readers.shards import hash_shards, picture_blocks, shard_files, split_of
from robustkit.data.readers.single import SingleImage, in_words
from robustkit.errors import InputError

_KIND = "an uncompressed tar file"
_MOST_LABEL = 1 << 20  # bytes of a label or of a sample's JSON
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}")
_LABEL = ("cls", "cls.txt", "label", "label.txt")


@dataclass(frozen=True)
class _Sample:
    """One sample: where the files that share its key lie, by what follows the key in their names."""

    shard: int
    key: str
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)  # offset and size


def read_webdataset(path: Path, options: Options) -> Found:
    """Finds the images of a tar file, or of all tar files of a folder; images are read where they lie in the tar.

    Args:
        path: The file or the folder.
        options: `images` names an ending (`jpg`), `labels` an ending (`cls`) or a field of the JSON of each sample.

    Raises:
        InputError: If a file is damaged or compressed, or a sample lacks its image or its label.
    """
    files = shard_files(path, ".tar")
    samples = [sample for shard, file in enumerate(files) for sample in _samples(shard, file)]
    if not samples:
        raise InputError(f"{path} holds no samples; expected files such as 000017.jpg and 000017.cls in it")
    ending = _image_ending(samples, options, path)
    with _Shards(files) as shards:
        first = shards.image(samples[0], ending, options)
        labels = _labels(samples, shards, options)
    notes = [
        f"images: the files .{ending} of {len(samples)} samples in {len(files)} tar files, the first a "
        f"{in_words(first)}, {first.pixels.dtype.name}"
    ]

    def images() -> Iterator[SingleImage]:
        with _Shards(files) as shards:
            yield from (shards.image(sample, ending, options) for sample in samples)

    names = Names(len(samples), lambda index: f"{samples[index].key}.{ending}")
    found = Found(
        frames=Frames(names, lambda _: picture_blocks(images(), names, first, found)),
        ids=np.array([sample.key for sample in samples]),
        bands=first.bands,
        units=first.units,
        bounds=first.bounds,
        split=split_of(files, np.bincount([sample.shard for sample in samples], minlength=len(files)).tolist()),
        notes=notes,
    )
    if labels is None:
        found.labels = stated_labels(options, notes, found.provenance)
    else:
        found.labels, said = labels
        notes.append(said)
    if found.labels is None:
        notes.append("labels: none found; each sample may have a .cls, or a .json with a label")
    hash_shards(found, path, files)
    return found


def _samples(shard: int, file: Path) -> list[_Sample]:
    """The samples of a tar file, from the headers of its members alone."""
    found: dict[str, _Sample] = {}
    size = file.stat().st_size
    with reading(file, _KIND), tarfile.open(file, "r:") as archive:
        for member in archive:
            if member.isdir():
                continue
            name = f"{member.name!r} in {file.name}"
            if not member.isreg() or member.issparse():
                raise InputError(f"{name} is a link or no plain file; expected plain files only")
            if member.offset_data + member.size > size:
                raise InputError(f"{name} extends past the end of the file; it is truncated")
            folder, slash, base = member.name.rpartition("/")
            stem, dot, ending = base.partition(".")
            if not stem or not dot:
                continue  # hidden, or without an ending: no part of a sample
            sample = found.setdefault(folder + slash + stem, _Sample(shard, folder + slash + stem))
            if ending.lower() in sample.parts:
                raise InputError(f"{name} is there twice; expected each file once")
            sample.parts[ending.lower()] = (member.offset_data, member.size)
    return list(found.values())


def _image_ending(samples: list[_Sample], options: Options, path: Path) -> str:
    """Which of the files of a sample is its image; every sample must have it."""
    known = [suffix.removeprefix(".") for suffix in decode.SUFFIXES]
    able = [ending for ending in samples[0].parts if ending.rpartition(".")[2] in known]
    if options.images is not None:
        able = [options.images.removeprefix(".").lower()]
    if len(able) != 1:
        what = f"several images ({', '.join(able)}); name one with --images" if able else "no image"
        raise InputError(f"the sample {samples[0].key!r} in {path} has {what}; it has {', '.join(samples[0].parts)}")
    for sample in samples:
        if able[0] not in sample.parts:
            raise InputError(
                f"the sample {sample.key!r} in {path} has no .{able[0]}, it has {', '.join(sample.parts)}; expected "
                "the same kind of image in all"
            )
    return able[0]


def _labels(samples: list[_Sample], shards: _Shards, options: Options) -> tuple[np.ndarray, str] | None:
    """The labels, and where they were found."""
    stated = options.labels if isinstance(options.labels, str) else None
    if options.labels is not None and (stated is None or stated.endswith(".npy")):
        return None
    endings = _LABEL if stated is None else (stated.removeprefix("."),)
    ending = next((one for one in endings if one in samples[0].parts), None)
    if ending is not None:
        values = [shards.text(sample, ending).strip() for sample in samples]
        return _as_array(values), f"labels: the files .{ending}"
    if "json" not in samples[0].parts:
        if stated is not None:
            raise InputError(f"the sample {samples[0].key!r} has neither a .{stated} nor a .json; omit --labels")
        return None
    first = shards.json(samples[0])
    name = next((one for one in ((stated,) if stated is not None else LABELS) if one in first), None)
    if name is None:
        if stated is not None:
            raise InputError(f"the .json of {samples[0].key!r} has no field {stated!r}; it has {', '.join(first)}")
        return None
    found = []
    for sample in samples:
        value = shards.json(sample).get(name)
        if not isinstance(value, int | str):
            raise InputError(f"the .json of {sample.key!r} has no {name!r} that is a number or a name")
        found.append(str(value))
    return _as_array(found), f"labels: the field {name!r} of the .json files"


def _as_array(values: list[str]) -> np.ndarray:
    whole = all(_WHOLE.fullmatch(value) for value in values)
    return np.array([int(value) for value in values]) if whole else np.array(values)


class _Shards(ExitStack):
    """The tar files, one of them open at a time."""

    def __init__(self, files: list[Path]) -> None:
        super().__init__()
        self.files = files
        self.at: int | None = None

    def bytes(self, sample: _Sample, ending: str) -> bytes:
        """One of the files of a sample."""
        if ending not in sample.parts:
            raise InputError(f"the sample {sample.key!r} has no .{ending}; expected one in all samples")
        if self.at != sample.shard:
            self.close()
            self.file = self.enter_context(open(self.files[sample.shard], "rb"))  # noqa: SIM115 - closed by the stack
            self.at = sample.shard
        offset, size = sample.parts[ending]
        self.file.seek(offset)
        data = self.file.read(size)
        if len(data) != size:
            raise InputError(f"{sample.key}.{ending} in {self.files[sample.shard]} ends early; the file is truncated")
        return data

    def image(self, sample: _Sample, ending: str, options: Options) -> SingleImage:
        """The image of a sample."""
        return decode.read_one(self.bytes(sample, ending), Path(f"{sample.key}.{ending}"), options)

    def text(self, sample: _Sample, ending: str) -> str:
        """A short text file of a sample."""
        if sample.parts.get(ending, (0, 0))[1] > _MOST_LABEL:
            raise InputError(f"{sample.key}.{ending} is larger than a label or its JSON; expected at most 1 MiB")
        with reading(f"{sample.key}.{ending}", "UTF-8 text"):
            return self.bytes(sample, ending).decode()

    def json(self, sample: _Sample) -> dict[str, Any]:
        """The JSON of a sample."""
        with reading(f"{sample.key}.json", "JSON"):
            value = json.loads(self.text(sample, "json"))
        if not isinstance(value, dict):
            raise InputError(f"{sample.key}.json holds no object; expected fields such as label")
        return value
