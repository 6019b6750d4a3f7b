"""Columns of the user's own catalogue, carried along into what is written, joined by id."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.catalogues.request import ObjectsRequest
from robustkit.data.bounds import bounded_memory, stored_bytes
from robustkit.data.readers.fits_headers import check_headers
from robustkit.data.readers.naming import IDS
from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.files import check_plain, reading
from robustkit.words import brief, no_such, shown

_FITS = (".fits", ".fit", ".fts")
_TEXT = (".csv", ".tsv")
_READ = (*_FITS, ".parquet", *_TEXT)


def carried(
    request: ObjectsRequest, path: Path, ids: np.ndarray, rows: np.ndarray, whole: int
) -> dict[str, np.ndarray]:
    """The columns that are asked for, one value for each object.

    Args:
        request: What is asked for.
        path: Where the images are.
        ids: Of the objects, shape (N,), str.
        rows: Their positions in the image set, shape (N,).
        whole: How many images the set has.

    Returns:
        Columns by name, each of shape (N,).

    Raises:
        InputError: If the catalogue or a column is missing, an id stands twice, or an object is not in it.
    """
    if not request.columns:
        return {}
    if request.catalogue is None and path.suffix.lower() not in _READ:
        raise InputError(f"{path} is no table that --columns could be of; name one with --catalogue")
    table = Path(path if request.catalogue is None else request.catalogue)
    known = column_names(table)
    for name in request.columns:
        if name not in known:
            raise InputError(no_such("column", name, known, where=f" of {table}"))
    if request.catalogue is None and request.id_column is None:
        found = read_columns(table, request.columns)
        if len(found[request.columns[0]]) == whole:  # the images are its rows, in their order
            return {name: values[rows] for name, values in found.items()}
    id_column = _id_column(request.id_column, known, table)
    found = read_columns(table, list(dict.fromkeys([id_column, *request.columns])))
    keys = [shown(str(value).strip()) for value in found[id_column].tolist()]
    place = {key: row for row, key in enumerate(keys)}
    if len(place) < len(keys):
        twice = next(key for row, key in enumerate(keys) if place[key] != row)
        raise InputError(f"the id {brief(twice)!r} stands twice in {table}; expected each object in one row")
    missing = [one for one in ids.tolist() if one not in place]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(ids)} objects are not in the column {id_column!r} of {table}, the first is "
            f"{brief(missing[0])!r}; name the column of ids with --id-column, or another catalogue"
        )
    order = np.array([place[one] for one in ids.tolist()])
    return {name: found[name][order] for name in request.columns}


def column_names(path: Path) -> list[str]:
    """The columns of a table.

    Raises:
        InputError: If it is no FITS, Parquet or CSV, or is damaged.
    """
    check_plain(path, "a catalogue")
    suffix = path.suffix.lower()
    if suffix not in _READ:
        raise InputError(f"cannot read the catalogue {path}; expected {', '.join(_READ)}")
    with bounded_memory(stored_bytes(path), path):
        if suffix == ".parquet":
            parquet: Any = require("pyarrow.parquet", extra="parquet", purpose="read Parquet")
            with reading(path, "a Parquet file"):
                return [str(name) for name in parquet.read_schema(path).names]
        if suffix in _FITS:
            with _fits_table(path) as table:
                return [str(name) for name in table.columns.names]
        with reading(path, "a CSV catalogue"), open(path, newline="", encoding="utf-8-sig") as file:
            return [name.strip() for name in next(_rows(file, path), [])]


def read_columns(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Some columns of a table that has them, each of shape (N,): str, int, float or bool.

    Raises:
        InputError: If one holds something else, or the table is damaged or made to fill memory.
    """
    with bounded_memory(stored_bytes(path), path):
        return _some_columns(path, names)


def _some_columns(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        parquet: Any = require("pyarrow.parquet", extra="parquet", purpose="read Parquet")
        with reading(path, "a Parquet file"):
            table = parquet.read_table(path, columns=list(names))
            return {name: _plain(_of_arrow(table.column(name)), name, path) for name in names}
    if suffix in _FITS:
        with _fits_table(path) as table, reading(path, "a FITS table"):
            return {name: _plain(np.array(table.data[name]), name, path) for name in names}
    with reading(path, "a CSV catalogue"), open(path, newline="", encoding="utf-8-sig") as file:
        rows = _rows(file, path)
        header = [name.strip() for name in next(rows)]
        places = [header.index(name) for name in names]
        cells = [[row[place].strip() for place in places] for row in rows if row]
    return {name: _numbers([row[k] for row in cells]) for k, name in enumerate(names)}


def _id_column(named: str | None, known: Sequence[str], table: Path) -> str:
    if named is not None:
        if named not in known:
            raise InputError(no_such("column", named, known, where=f" of {table}"))
        return named
    usual = [name for name in known if name.lower() in (*IDS, "objectid")]
    if len(usual) != 1:
        said = f"{' and '.join(usual)} could be the ids" if usual else "no column has a usual name for ids"
        raise InputError(f"{table}: {said}; name it with --id-column, of {', '.join(known)}")
    return usual[0]


def _fits_table(path: Path) -> Any:
    """The first table of a FITS file, open."""
    fits: Any = require("astropy.io.fits", extra="fits", purpose="read a FITS table")
    with reading(path, "a FITS file"):
        with path.open("rb") as stream:
            check_headers(stream, path.name)
        file = fits.open(path, memmap=True)
        found = next((one for one in file if isinstance(one, fits.BinTableHDU | fits.TableHDU)), None)
    if found is None:
        file.close()
        raise InputError(f"{path} holds no table; name a catalogue with --catalogue")
    return _Open(file, found)


class _Open:
    """Closes the file of a table when a block ends."""

    def __init__(self, file: Any, table: Any) -> None:
        self.file, self.table = file, table

    def __enter__(self) -> Any:
        return self.table

    def __exit__(self, *what: object) -> None:
        self.file.close()


def _rows(file: Any, path: Path) -> Any:
    return csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)


def _of_arrow(column: Any) -> np.ndarray:
    """A column of Parquet; whole numbers with gaps as text, because a float would round them."""
    if column.null_count and str(column.type).startswith(("int", "uint")):
        return np.array(["" if value is None else str(value) for value in column.to_pylist()])
    return np.asarray(column.to_numpy())


def _plain(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    """Values as written: text, whole numbers, numbers or truth values, in the byte order of the machine."""
    if values.dtype.kind == "O":
        values = np.array(["" if value is None else str(value) for value in values.tolist()])
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "U":
        return np.array([shown(value.strip()) for value in values.tolist()], dtype=str)
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise InputError(f"the column {name!r} of {path} holds {values.dtype} of shape {values.shape}; omit it")
    return values.astype(values.dtype.newbyteorder("="))


def _numbers(cells: list[str]) -> np.ndarray:
    """Cells of text as numbers where all are; an empty cell is nan among numbers, and `007` stays as it is."""
    try:
        whole = [int(cell) for cell in cells]
        if all(str(number) == cell for number, cell in zip(whole, cells, strict=True)):
            return np.array(whole, dtype=np.int64)
        if all(cell.lstrip("+-").isdigit() for cell in cells):
            return np.array(cells, dtype=str)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return np.array([shown(cell) for cell in cells], dtype=str)
