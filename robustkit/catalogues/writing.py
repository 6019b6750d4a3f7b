"""One table, three formats: FITS for catalogues, Parquet for data frames, CSV for everything else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any, cast

import numpy as np

from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.files import atomic_write, clear_beside
from robustkit.tables import Writer, digits

Columns = Mapping[str, np.ndarray]  # by name, each of shape (N,): str, int, float or bool

_ROWS = 1 << 16  # of a CSV that are text at once


def write_table(path: str | os.PathLike[str], columns: Columns, about: Mapping[str, str]) -> None:
    """Writes a table, whole or not at all; the suffix says the format.

    Args:
        path: The file, `.fits`, `.parquet` or `.csv`; replaced if it is there.
        columns: What it holds.
        about: What made it, kept as header cards and as metadata; a CSV has no place for it.

    Raises:
        InputError: If two columns have one name in FITS, which does not tell capital letters apart.
        MissingExtra: If astropy or pyarrow is needed and not installed.
    """
    path = Path(path)
    clear_beside(path)
    {".fits": _fits, ".parquet": _parquet, ".csv": _csv}[path.suffix.lower()](path, columns, about)


def check_writer(path: str | os.PathLike[str]) -> None:
    """Refuses a format whose package is missing, before any work is done."""
    suffix = Path(path).suffix.lower()
    if suffix == ".fits":
        require("astropy.io.fits", extra="fits", purpose="write a FITS table")
    if suffix == ".parquet":
        require("pyarrow.parquet", extra="parquet", purpose="write Parquet")


def _fits(path: Path, columns: Columns, about: Mapping[str, str]) -> None:
    fits: Any = require("astropy.io.fits", extra="fits", purpose="write a FITS table")
    seen: dict[str, str] = {}
    for name in columns:
        if name.casefold() in seen:
            raise InputError(
                f"the columns {seen[name.casefold()]!r} and {name!r} are one in FITS, which does not tell capital "
                "letters apart; write a .parquet or .csv"
            )
        seen[name.casefold()] = name
    made = [_fits_column(fits, name, values) for name, values in columns.items()]
    table = fits.BinTableHDU.from_columns(made, name="OBJECTS")
    for name, value in about.items():
        table.header.add_history(f"{name}: {_ascii(value)}")
    with atomic_write(path) as file:
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)


def _fits_column(fits: Any, name: str, values: np.ndarray) -> Any:
    kinds = {"b": "L", "i": "K", "u": "K", "f": "E" if values.dtype.itemsize <= 4 else "D"}
    if values.dtype.kind == "U":
        text = np.char.encode(values, "utf-8") if len(values) else values.astype("S1")
        return fits.Column(name=_ascii(name), format=f"{max(1, text.dtype.itemsize)}A", array=text)
    return fits.Column(name=_ascii(name), format=kinds[values.dtype.kind], array=values)


def _ascii(text: str) -> str:
    """A text as FITS headers take it: letters of other scripts written out."""
    return text.encode("ascii", "backslashreplace").decode()


def _parquet(path: Path, columns: Columns, about: Mapping[str, str]) -> None:
    pyarrow: Any = require("pyarrow", extra="parquet", purpose="write Parquet")
    parquet: Any = require("pyarrow.parquet", extra="parquet", purpose="write Parquet")
    table = pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()})
    table = table.replace_schema_metadata({f"robustkit {name}": value for name, value in about.items()})
    with atomic_write(path) as file:
        parquet.write_table(table, file)


def _csv(path: Path, columns: Columns, about: Mapping[str, str]) -> None:
    with atomic_write(path) as file:
        text = TextIOWrapper(cast(Any, file), encoding="utf-8", newline="")
        writer = Writer(text)
        writer.writerow(columns)
        writer.writerows(rows_of(columns))
        text.flush()
        text.detach()


def rows_of(columns: Columns) -> Iterator[list[Any]]:
    """The rows of a table as cells of a CSV: numbers with the digits of single precision, nothing for nan."""
    count = len(next(iter(columns.values())))
    for start in range(0, count, _ROWS):
        cells = [_cells(values[start : start + _ROWS]) for values in columns.values()]
        yield from map(list, zip(*cells, strict=True))


def _cells(values: np.ndarray) -> list[Any]:
    if values.dtype.kind == "f" and values.dtype.itemsize <= 4:
        return [digits(value) for value in values.tolist()]
    if values.dtype.kind == "f":  # of the user's own catalogue: every digit
        return ["" if value != value else repr(value) for value in values.tolist()]
    return values.tolist()
