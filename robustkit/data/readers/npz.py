"""One .npz archive: images beside their labels, ids, class names and split. Members are checked, then streamed."""

from __future__ import annotations

import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np

from robustkit.data.guard import reading
from robustkit.data.npyfile import NUMBERS, TEXT, NpyHeader, read_header
from robustkit.data.pixels import rows_per_block
from robustkit.data.readers.found import Found, Frames, Options, rows_of
from robustkit.data.readers.labels import stated_labels, text
from robustkit.data.readers.layout import Layout, set_layout
from robustkit.data.readers.naming import Member, choose
from robustkit.data.readers.provenance import file_hash
from robustkit.errors import InputError

_KIND = "an .npz archive"
_MOST_DEFLATED = 1040  # deflate cannot shrink further than 1032 to 1


def read_npz(path: Path, options: Options) -> Found:
    """Finds the images of an .npz archive and what lies beside them.

    Raises:
        InputError: If the archive is damaged, claims more than it can hold, or leaves a choice open.
    """
    headers = read_npz_headers(path)
    notes: list[str] = []
    chosen = choose({key: Member(h.shape, h.dtype) for key, h in headers.items()}, options, path.name, notes)
    provenance = {path.name: file_hash(path)}
    if chosen.labels is not None:
        labels = np.atleast_1d(read_member(path, chosen.labels))
    else:
        labels = stated_labels(options, notes, provenance)
    header = headers[chosen.images]
    layout = set_layout(header.shape, options, f"{chosen.images!r}", labelled=None if labels is None else len(labels))
    notes.append(layout.note)
    names = None if chosen.class_names is None else tuple(text(read_member(path, chosen.class_names)).tolist())
    return Found(
        frames=_frames(path, chosen.images, header, layout),
        labels=labels,
        class_names=names,
        ids=None if chosen.ids is None else read_member(path, chosen.ids),
        split=None if chosen.split is None else text(read_member(path, chosen.split)),
        notes=notes,
        provenance=provenance,
    )


def read_npz_headers(path: Path) -> dict[str, NpyHeader]:
    """The header of each member, proved against the sizes that the archive states.

    Raises:
        InputError: If a member is damaged, claims more than it can hold, or holds Python objects.
    """
    headers = {}
    with reading(path, _KIND), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                raise InputError(f"{path} holds {info.filename!r}; expected an .npz archive of .npy members only")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError(f"{path} is compressed in a way that NumPy does not write; save it again with NumPy")
            if info.file_size > info.compress_size * _MOST_DEFLATED + 1024:
                raise InputError(
                    f"{info.filename!r} in {path} claims more bytes than its {info.compress_size} can hold"
                )
            with archive.open(info) as file:
                name = f"{info.filename} in {path.name}"
                headers[info.filename[:-4]] = read_header(
                    cast(BinaryIO, file), name, info.file_size, kinds=NUMBERS + TEXT
                )
    return headers


def read_member(path: Path, key: str) -> np.ndarray:
    """A member as one array in memory."""
    with _opened(path, key) as (file, header):
        data = _exactly(file, header.size - header.offset, path, key)
        return np.frombuffer(data, header.dtype).reshape(header.shape, order="F" if header.fortran else "C")


@contextmanager
def _opened(path: Path, key: str) -> Generator[tuple[IO[bytes], NpyHeader]]:
    """A member, open at its first value."""
    with reading(path, _KIND), zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        size = archive.getinfo(f"{key}.npy").file_size
        yield file, read_header(cast(BinaryIO, file), f"{key} in {path.name}", size, kinds=NUMBERS + TEXT)


def _exactly(file: IO[bytes], size: int, path: Path, key: str) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise InputError(f"{key!r} in {path} ends early; the archive is truncated")
    return data


def _frames(path: Path, key: str, header: NpyHeader, layout: Layout) -> Frames:
    count = layout.count(header.shape)

    def blocks(rows: int | None) -> Iterator[np.ndarray]:
        if layout.whole or header.fortran:  # neither can be read row by row
            images = layout.apply(read_member(path, key))
            step = rows or count
            yield from (images[start : start + step] for start in range(0, count, step))
            return
        step = rows or rows_per_block(header.shape, header.dtype.itemsize)
        row_bytes = (header.size - header.offset) // count
        with _opened(path, key) as (file, _):
            for start in range(0, count, step):
                stop = min(start + step, count)
                data = _exactly(file, (stop - start) * row_bytes, path, key)
                yield layout.apply(np.frombuffer(data, header.dtype).reshape(stop - start, *header.shape[1:]))
            if file.read(1):  # reading to the end makes zipfile check the sum of the whole member
                raise InputError(f"{key!r} in {path} continues after its last value; the archive is damaged")

    return Frames(rows_of(key, count), blocks)
