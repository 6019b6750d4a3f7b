"""Zarr: a folder of chunks, read a few images at a time. Only codecs known to run no code are opened."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.data.guard import reading
from robustkit.data.pixels import rows_per_block
from robustkit.data.readers.found import Found, Frames, Options, rows_of
from robustkit.data.readers.labels import stated_labels, text
from robustkit.data.readers.layout import set_layout
from robustkit.data.readers.naming import Member, choose
from robustkit.data.readers.packed import packing_of
from robustkit.data.readers.shards import hash_shards
from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.words import shown

_KIND = "a Zarr store"
_MOST_NODES, _DEEPEST = 1000, 32
_MARKS = ("zarr.json", ".zgroup", ".zarray")
_MOST_COMPRESSED = 1040  # as for HDF5
# A store names its own codecs, and one of them (pickle) runs code.
_COMPRESSORS = {"blosc", "zstd", "gzip", "zlib", "bz2", "lzma", "lz4"}
_CHECKS = {"crc32c", "crc32", "adler32", "fletcher32"}
_FORMS = {"bytes", "transpose", "sharding_indexed", "shuffle", "delta", "fixedscaleoffset", "vlen-utf8", "vlen-bytes"}
_CODECS = _COMPRESSORS | _CHECKS | _FORMS


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return any((path / name).is_file() for name in _MARKS)


def read_zarr(path: Path, options: Options) -> Found:
    """Finds the images of a Zarr array or group and what lies beside them.

    Args:
        path: The folder of the array or the group.
        options: `images`, `labels` and `ids` name an array.

    Raises:
        InputError: If the store is damaged, claims more than it stores, has other codecs, or leaves a choice open.
        MissingExtra: If zarr is not installed.
    """
    require("zarr", extra="zarr", purpose="read Zarr stores")
    files = _plain_files(path)
    notes: list[str] = []
    with _opened(path) as store:
        arrays = _arrays(store, path)
        members = {name: _member(array) for name, array in arrays.items()}
        usable = {name: member for name, member in members.items() if member is not None}
        chosen = choose(usable, options, path.name, notes)
        _check_size(arrays[chosen.images], usable[chosen.images], chosen.images, path)
        for name in filter(None, (chosen.images, chosen.labels, chosen.ids, chosen.class_names, chosen.split)):
            _check_written(arrays[name], name, path)
        with reading(path, _KIND):
            attributes = dict(arrays[chosen.images].attrs)
            beside = {name: _values(arrays[name]) for name in (chosen.labels, chosen.ids, chosen.class_names,
                      chosen.split) if name is not None}  # fmt: skip
    found = Found(frames=Frames(rows_of(chosen.images, 0), lambda _: iter(())), notes=notes)
    labels = None if chosen.labels is None else beside[chosen.labels]
    found.labels = stated_labels(options, notes, found.provenance) if labels is None else labels
    member = usable[chosen.images]
    known = None if found.labels is None else len(found.labels)
    layout = set_layout(member.shape, options, repr(chosen.images), labelled=known)
    notes.append(layout.note)
    packing = packing_of(attributes, repr(chosen.images), notes)

    def blocks(rows: int | None) -> Iterator[np.ndarray]:
        with _opened(path) as store:
            images = _arrays(store, path)[chosen.images]
            # Whole chunks, because a part of one is decompressed as a whole.
            step = (
                max(1, (rows or rows_per_block(member.shape, member.dtype.itemsize)) // images.chunks[0])
                * images.chunks[0]
            )
            step = member.shape[0] if layout.whole else step
            for start in range(0, member.shape[0], step):
                with reading(path, _KIND):
                    values = np.asarray(images[start : start + step])
                yield layout.apply(packing.unpack(values))

    found.frames = Frames(rows_of(chosen.images, layout.count(member.shape)), blocks)
    found.class_names = tuple(text(beside[chosen.class_names]).tolist()) if chosen.class_names else None
    found.ids = beside[chosen.ids] if chosen.ids else None
    found.split = text(beside[chosen.split]) if chosen.split else None
    hash_shards(found, path, files)
    return found


def _plain_files(path: Path) -> list[Path]:
    """All files of a store, sorted. Links may lead outside or in a circle, and what is no file is read for ever.

    Raises:
        InputError: If there is anything but files and folders, or more arrays and groups than stores of images have.
    """
    found: list[Path] = []
    nodes = 0
    for root, folders, names in os.walk(path):
        for name in (*folders, *names):
            mode = os.lstat(os.path.join(root, name)).st_mode
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                raise InputError(f"{os.path.join(root, name)} is a link or no plain file; expected plain files only")
        found += [Path(root, name) for name in names]
        nodes += any(name in _MARKS for name in names)
        if nodes > _MOST_NODES or len(Path(root).relative_to(path).parts) > _DEEPEST:
            raise InputError(
                f"{shown(path)} has more than {_MOST_NODES} arrays and groups, or has them deeper than {_DEEPEST} in "
                "each other; expected a Zarr store of images"
            )
    return sorted(found)


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    import zarr
    from zarr.storage import LocalStore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what the specification does not fix yet
        _quiet_loop()
        with reading(path, _KIND):
            store = LocalStore(path, read_only=True)
            # Consolidated metadata are a copy, and may say something else than the arrays do.
            options: dict[str, Any] = {} if (path / ".zarray").is_file() else {"use_consolidated": False}
            opened = zarr.open(store, mode="r", **options)
        yield opened


def _quiet_loop() -> None:
    """Keeps zarr's own loop from printing a traceback for each member that failed: one of them is raised."""
    from zarr.core import sync

    get_loop: Any = getattr(sync, "_get_loop", None)
    if get_loop is not None:
        get_loop().set_exception_handler(lambda loop, context: None)


def _arrays(store: Any, path: Path) -> dict[str, Any]:
    """All arrays by name; a store that is one array is called `images`."""
    import zarr

    with reading(path, _KIND):
        if isinstance(store, zarr.Array):
            found = {"images": store}
        else:
            found = {name: item for name, item in store.members(max_depth=None) if isinstance(item, zarr.Array)}
        for name, array in found.items():
            unknown = sorted(_codecs(array.metadata.to_dict()) - _CODECS)
            if unknown:
                raise InputError(
                    f"{name!r} in {path} is stored with {', '.join(unknown)}, which is not opened; store it with "
                    "blosc, zstd or gzip"
                )
    return found


def _codecs(value: Any) -> set[str]:
    """The names of all codecs in the metadata of an array."""
    if isinstance(value, dict):
        inside = [
            value[name]
            for name in ("codecs", "index_codecs", "filters", "compressor", "configuration")
            if name in value
        ]
        return set().union(*map(_names, inside))
    return set()


def _names(value: Any) -> set[str]:
    if isinstance(value, list | tuple):
        return set().union(*map(_names, value))
    if not isinstance(value, dict):
        return set()
    named = {str(value[key]) for key in ("name", "id") if key in value}
    return named | _codecs(value)


def _member(array: Any) -> Member | None:
    """Shape and type of an array that can be used."""
    dtype = np.dtype(array.dtype)
    if dtype.kind in "OT" and array.ndim == 1:  # strings of any length
        return Member(tuple(array.shape), np.dtype("U1"))
    return Member(tuple(array.shape), dtype) if dtype.kind in "fiubSU" else None


def _values(array: Any) -> np.ndarray:
    """A whole array in memory, strings as strings of one length."""
    values = np.asarray(array[...])
    return values.astype(str) if values.dtype.kind in "OT" else values


def _check_written(array: Any, name: str, path: Path) -> None:
    """Refuses an array of which parts are not stored: they would be read as the fill value, such as class 0."""
    with reading(path, _KIND):
        there, all_of_them = int(array.nchunks_initialized), int(array.nchunks)
    if there < all_of_them:
        raise InputError(
            f"{all_of_them - there} of the {all_of_them} chunks of {name!r} in {path} are not stored and would be read "
            f"as {array.fill_value}; copy the store again, or, if they really hold that value, write them with "
            "write_empty_chunks switched on"
        )


def _check_size(array: Any, member: Member, name: str, path: Path) -> None:
    with reading(path, _KIND):
        stored = array.nbytes_stored()
    if member.nbytes > stored * _MOST_COMPRESSED + 4096:
        raise InputError(f"{name!r} in {path} claims {member.nbytes} bytes and stores {stored}")
