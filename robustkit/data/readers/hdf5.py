"""HDF5 in a separate process: a damaged file can hang or crash the library, and must not stop the audit."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from robustkit.data.guard import brief
from robustkit.data.pixels import rows_per_block
from robustkit.data.readers.found import Found, Frames, Options, rows_of
from robustkit.data.readers.labels import stated_labels, text
from robustkit.data.readers.layout import set_layout
from robustkit.data.readers.naming import Member, choose
from robustkit.data.readers.packed import packing_of
from robustkit.data.readers.provenance import file_hash
from robustkit.errors import InputError
from robustkit.extras import require

WORKER = Path(__file__).with_name("hdf5_worker.py")
PATIENCE = 60.0  # seconds without a byte after which the library counts as hung
_MOST_COMPRESSED = 1040  # deflate, and nearly every other filter, cannot shrink further than about 1032 to 1


def read_hdf5(path: Path, options: Options) -> Found:
    """Finds the images of an HDF5 file and what lies beside them. Links to other files are not followed.

    Raises:
        InputError: If the file is damaged, claims more than it stores, or leaves a choice open.
    """
    require("h5py", extra="hdf5", purpose="read HDF5 files")
    notes: list[str] = []
    provenance = {path.name: file_hash(path)}
    members, unwritten, attributes = _members(path, options)
    chosen = choose(members, options, path.name, notes)
    for name in (chosen.images, chosen.labels, chosen.ids, chosen.class_names, chosen.split):
        if name in unwritten:
            raise InputError(
                f"{name!r} in {path} was not written whole ({unwritten[name]} missing), and what is missing would be "
                "read as the fill value, such as class 0; write the file again"
            )
    beside = _read(path, [chosen.labels, chosen.ids, chosen.class_names, chosen.split], members)
    labels = beside.get(chosen.labels)
    if labels is None:
        labels = stated_labels(options, notes, provenance)
    member = members[chosen.images]
    layout = set_layout(member.shape, options, repr(chosen.images), labelled=None if labels is None else len(labels))
    notes.append(layout.note)
    packing = packing_of(attributes.get(chosen.images, {}), repr(chosen.images), notes)

    def blocks(rows: int | None) -> Iterator[np.ndarray]:
        step = member.shape[0] if layout.whole else rows or rows_per_block(member.shape, member.dtype.itemsize)
        for stored in _stream(path, chosen.images, member, step):
            yield layout.apply(packing.unpack(stored))

    return Found(
        frames=Frames(rows_of(chosen.images, layout.count(member.shape)), blocks),
        labels=labels,
        class_names=tuple(text(beside[chosen.class_names]).tolist()) if chosen.class_names else None,
        ids=beside.get(chosen.ids),
        split=text(beside[chosen.split]) if chosen.split else None,
        notes=notes,
        provenance=provenance,
    )


def _members(path: Path, options: Options) -> tuple[dict[str, Member], dict[str, str], dict[str, Any]]:
    """The datasets of the file that can be used, by name, what of them was never written, and their attributes."""
    with _Worker(path, "list") as worker:
        listed = json.loads(worker.read())
    members: dict[str, Member] = {}
    unwritten: dict[str, str] = {}
    for entry in listed:
        if entry["refused"]:
            if entry["name"] in (options.images, options.labels, options.ids):
                raise InputError(f"{entry['name']!r} in {path} {entry['refused']}; copy it into a plain dataset")
            continue
        member = Member(tuple(entry["shape"]), np.dtype(entry["dtype"]))
        if member.nbytes > entry["stored"] * _MOST_COMPRESSED + 4096:
            raise InputError(f"{entry['name']!r} in {path} claims {member.nbytes} bytes and stores {entry['stored']}")
        members[entry["name"]] = member
        if entry.get("unwritten"):
            unwritten[entry["name"]] = entry["unwritten"]
    return members, unwritten, {entry["name"]: entry.get("attributes", {}) for entry in listed}


def _read(path: Path, names: Iterable[str | None], members: dict[str, Member]) -> dict[str | None, np.ndarray]:
    """Whole datasets, in memory, by name."""
    wanted = sorted({name for name in names if name is not None})
    if not wanted:
        return {}
    with _Worker(path, "read", "0", *wanted) as worker:
        return {name: _values(worker.read(members[name].nbytes), members[name]) for name in wanted}


def _stream(path: Path, name: str, member: Member, rows: int) -> Iterator[np.ndarray]:
    """Consecutive rows of a dataset, as the other process sends them."""
    with _Worker(path, "read", str(rows), name) as worker:
        for start in range(0, member.shape[0], rows):
            part = replace(member, shape=(min(rows, member.shape[0] - start), *member.shape[1:]))
            yield _values(worker.read(part.nbytes), part)


def _values(data: bytes, member: Member) -> np.ndarray:
    return np.frombuffer(data, member.dtype).reshape(member.shape)


class _Worker:
    """A process that opens one HDF5 file and writes what is asked for to a pipe."""

    def __init__(self, path: Path, *command: str) -> None:
        self.path = path
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), str(path), *command], stdout=subprocess.PIPE, stderr=self.errors
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def read(self, size: int = -1) -> bytes:
        """The next bytes; by default all that are left.

        Raises:
            InputError: If fewer arrive, because the library failed, crashed or hangs.
        """
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        try:
            pipe = self.process.stdout
            assert pipe is not None
            data = pipe.read(size)
            if 0 <= len(data) < size or (size < 0 and self.process.wait() != 0):
                self._explain(self.process.wait())
        finally:
            watchdog.cancel()
        return data

    def _explain(self, status: int) -> None:
        if status < 0:
            raise InputError(
                f"the HDF5 library crashed or hung on {self.path}; the file is damaged, or nothing was read for "
                f"{PATIENCE:.0f} seconds"
            )
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        reason = brief(lines[-1]) if lines else "it ends early"
        raise InputError(f"{self.path} is not readable as an HDF5 file ({reason}); it is damaged or of another kind")
