"""The process in which `hdf5` opens a file. It is run as a script and needs h5py and NumPy only.

usage: hdf5_worker.py FILE list                 the datasets, as JSON
       hdf5_worker.py FILE read ROWS NAME...    the values of some, so many rows at a time; all at once for 0
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np

MOST_STRINGS, FREE_STRINGS = 10_000_000, 100_000
TAKEN = "fiubSU"
ABOUT_VALUES = ("_FillValue", "missing_value", "scale_factor", "add_offset")


def describe(name: str, dataset: Any) -> dict[str, Any]:
    """Shape, dtype and stored size in bytes of a dataset, or why it is refused."""
    import h5py

    entry = {"name": name, "shape": dataset.shape, "refused": None}
    if dataset.external or dataset.is_virtual:
        return entry | {"refused": "keeps its values in another file"}
    if dataset.shape is None:
        return entry | {"refused": "is empty"}
    if h5py.check_string_dtype(dataset.dtype) and dataset.dtype.kind == "O":
        if dataset.size > MOST_STRINGS or dataset.size > FREE_STRINGS + dataset.id.get_storage_size():
            return entry | {"refused": f"claims {dataset.size} strings, more than are stored or can be read"}
        values = strings(dataset)
        return entry | {"dtype": values.dtype.str, "stored": values.nbytes}
    if dataset.dtype.kind not in TAKEN:
        return entry | {"refused": f"holds values of type {dataset.dtype}"}
    return entry | {
        "dtype": dataset.dtype.str,
        "stored": dataset.id.get_storage_size(),
        "unwritten": unwritten(dataset),
        "attributes": {key: numbers(dataset.attrs[key]) for key in ABOUT_VALUES if key in dataset.attrs},
    }


def numbers(value: Any) -> list[float] | str:
    """The numbers of an attribute, or what it is instead."""
    try:
        return np.asarray(value, dtype=np.float64).ravel()[:16].tolist()
    except (TypeError, ValueError):
        return str(value)[:40]


def unwritten(dataset: Any) -> str:
    """Which part of a dataset was never written, so that it would be read as the fill value; empty for none."""
    if dataset.size == 0:
        return ""
    if dataset.chunks is None:
        return "" if dataset.id.get_storage_size() else "all"
    chunks = 1
    for side, length in zip(dataset.shape, dataset.chunks):  # noqa: B905 - as many as there are axes
        chunks *= -(-side // length)
    missing = chunks - dataset.id.get_num_chunks()
    return f"{missing} of {chunks} chunks" if missing > 0 else ""


def strings(dataset: Any) -> np.ndarray:
    """Strings of any length as strings of one length."""
    return np.array(dataset.asstr()[()], dtype=str)


def list_datasets(file: Any) -> list[dict[str, Any]]:
    """All datasets that are reached without following a soft or external link."""
    import h5py

    found = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(describe(name, item))

    file.visititems(visit)
    return found


def limit(size: int) -> None:
    """Gives this process the time of a core and the memory that a file of this size explains."""
    try:
        import resource
    except ImportError:  # Windows
        return
    seconds = int(6 + size / (1 << 20))
    for kind, most in (
        (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_DATA, (512 << 20) + 256 * size), (resource.RLIMIT_CORE, 0)
    ):  # fmt: skip
        resource.setrlimit(kind, (most, most))


def main(path: str, command: str, *rest: str) -> None:
    """Writes what was asked for to standard output."""
    limit(os.path.getsize(path))
    os.environ["HDF5_PLUGIN_PRELOAD"] = "::"  # a file must not choose a filter plugin to load
    import h5py

    with h5py.File(path, "r") as file:
        if command == "list":
            sys.stdout.write(json.dumps(list_datasets(file)))
            return
        for name in rest[1:]:
            dataset: Any = file[name]
            source = strings(dataset) if dataset.dtype.kind == "O" else dataset
            rows = int(rest[0]) or max(1, dataset.shape[0])
            for start in range(0, dataset.shape[0], rows):
                sys.stdout.buffer.write(np.ascontiguousarray(source[start : start + rows]).tobytes())


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except MemoryError:
        sys.exit("it takes more memory than its size explains")
    except Exception as error:  # the other side shows the last line
        sys.exit(f"{type(error).__name__}: {error}")
