"""What a catalogue says of each object: its columns, for the images drawn, matched by their ids."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.data.bounds import bounded_memory, stored_bytes
from robustkit.data.guard import reading
from robustkit.data.readers.catalogue import table_columns
from robustkit.data.readers.fits_headers import check_headers
from robustkit.data.readers.galaxies import GALAXIES_FILE
from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.words import shown

SIMULATED = "catalogue.csv"  # which `robustkit simulate` writes beside its image sets
# More columns than this are no description of an object, and are not kept.
_MOST = 200
_MAGNITUDE = re.compile(r"(^|_)(\w*mag|mag\w*)(_|$)", re.IGNORECASE)
_RA = ("ra", "raj2000", "ra_j2000", "ra_deg", "_ra", "alpha_j2000", "right_ascension")
_DEC = ("dec", "decj2000", "dej2000", "dec_j2000", "dec_deg", "_de", "delta_j2000", "declination")


@dataclass(frozen=True, eq=False)
class Columns:
    """What a catalogue says of N images.

    Attributes:
        source: Where it was read, and by which column its rows were matched.
        matched: How many images have a row.
        names: The Q columns of numbers.
        values: Shape (N, Q), float64; nan where the catalogue says nothing.
    """

    source: str
    matched: int
    names: list[str]
    values: np.ndarray


def nothing_known(count: int) -> Columns:
    """The columns of images without a catalogue."""
    return Columns("", 0, [], np.zeros((count, 0)))


def find_catalogue(data: str | os.PathLike[str]) -> Path | None:
    """The catalogue that comes with an image set: the table that lists it, or the one written with it.

    Args:
        data: The image set.
    """
    path = Path(data)
    if path.suffix.lower() in (".csv", ".tsv"):
        return path
    for folder in (path, path.parent):
        if (folder / GALAXIES_FILE).is_file() and (folder / SIMULATED).is_file():
            return folder / SIMULATED
    return None


def read_columns(path: str | os.PathLike[str], ids: Sequence[str] | np.ndarray) -> Columns:
    """The numbers that a catalogue has about some images.

    Rows are matched by the column that names most of the images; `name#rot90` is another image of the object `name`.

    Args:
        path: A .csv, .tsv, .fits or .parquet table with one row per object.
        ids: Ids of the N images, shape (N,).

    Raises:
        InputError: If it is no such table, or no column of it holds the ids.
        MissingExtra: If what reads such files is not installed.
    """
    path = Path(path)
    read = _READERS.get(path.suffix.lower())
    if not path.is_file():
        raise InputError(f"no such file: {path} (--catalogue needs a table: {', '.join(_READERS)})")
    if read is None:
        raise InputError(f"expected --catalogue as a table ({', '.join(_READERS)}), got {path}")
    with bounded_memory(stored_bytes(path), path):
        columns = read(path)
    objects = [str(one).partition("#")[0] for one in ids]
    best, places, hits = "", {}, 0
    for name, cells in columns.items():
        if cells.dtype.kind == "f":
            continue
        rows = {_name(cell): row for row, cell in enumerate(cells.tolist())}
        found = sum(one in rows for one in objects)
        if len(rows) == len(cells) and found > hits:
            best, places, hits = name, rows, found
    if not hits:
        raise InputError(
            f"no column of {path} holds the ids of the images, such as {shown(objects[0])!r}; it has "
            f"{', '.join(map(shown, list(columns)[:12])) or 'none'}"
        )
    numbers = {
        name: values for name, cells in columns.items() if name != best and (values := _numbers(cells)) is not None
    }
    names = list(numbers)[:_MOST]
    values = np.full((len(objects), len(names)), np.nan)
    for place, one in enumerate(objects):
        if one in places:
            values[place] = [numbers[name][places[one]] for name in names]
    return Columns(f"{path}, by its column {shown(best)!r}", hits, [shown(name) for name in names], values)


def sky_places(names: Sequence[str], values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Right ascension and declination in degrees, shape (N,) each; `None` if no columns hold them.

    Args:
        names: The Q columns.
        values: Shape (N, Q).
    """
    lower = [name.lower() for name in names]
    places = [next((lower.index(name) for name in usual if name in lower), None) for usual in (_RA, _DEC)]
    if None in places:
        return None
    ra, dec = (values[:, place] for place in places if place is not None)
    inside = (ra >= -180) & (ra <= 360) & (np.abs(dec) <= 90)
    return (np.where(inside, ra % 360, np.nan), np.where(inside, dec, np.nan)) if inside.any() else None


def magnitude_of(names: Sequence[str]) -> int | None:
    """The place of the first column that holds a magnitude; `None` if none does.

    Examples:
        >>> magnitude_of(["radius", "mag_r"]), magnitude_of(["petroMag_i"]), magnitude_of(["image"])
        (1, 0, None)
    """
    return next((place for place, name in enumerate(names) if _MAGNITUDE.search(name)), None)


def _name(cell: Any) -> str:
    return cell.decode("utf-8", "replace").strip() if isinstance(cell, bytes) else str(cell).strip()


def _numbers(cells: np.ndarray) -> np.ndarray | None:
    """Cells as numbers, float64; `None` if they are none, or all alike."""
    if cells.dtype.kind in "fiub":
        values = cells.astype(np.float64)
    else:
        texts = [_name(cell) for cell in cells.tolist()]
        try:
            values = np.array([float(one) if one else np.nan for one in texts])
        except ValueError:
            return None
    known = values[np.isfinite(values)]
    return np.where(np.isfinite(values), values, np.nan) if len(known) and np.ptp(known) > 0 else None


def _read_csv(path: Path) -> Mapping[str, np.ndarray]:
    return {name: np.array(cells, dtype=str) for name, cells in table_columns(path).items()}


def _read_fits(path: Path) -> Mapping[str, np.ndarray]:
    fits = require("astropy.io.fits", extra="fits", purpose="read FITS tables")
    with reading(path, "a FITS table"), path.open("rb") as stream:
        check_headers(stream, path.name)
        with fits.open(stream, memmap=False, lazy_load_hdus=False) as file:
            tables = [hdu for hdu in file if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
            if not tables:
                raise InputError(f"{path} holds no table")
            data = tables[0].data
            names = [name for name in tables[0].columns.names if data[name].ndim == 1]
            return {name: _native(np.asarray(data[name])) for name in names}


def _native(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder("=")) if values.dtype.kind in "fiu" else values


def _read_parquet(path: Path) -> Mapping[str, np.ndarray]:
    parquet = require("pyarrow.parquet", extra="parquet", purpose="read Parquet files")
    with reading(path, "a Parquet file"), parquet.ParquetFile(path) as opened:
        schema = opened.schema_arrow
        plain = [field.name for field in schema if _PLAIN.match(str(field.type))]
        table = opened.read(columns=plain)
        return {name: _filled(table.column(name).to_pylist()) for name in plain}


_PLAIN = re.compile(r"u?int\d+$|float$|double$|halffloat$|(large_)?string$|bool$")


def _filled(cells: list[Any]) -> np.ndarray:
    """Cells as an array, in which what is missing is nan or an empty text."""
    if any(cell is None for cell in cells):
        text = any(isinstance(cell, str) for cell in cells)
        cells = [("" if text else np.nan) if cell is None else cell for cell in cells]
    return np.array(cells)


_READERS: dict[str, Callable[[Path], Mapping[str, np.ndarray]]] = {
    ".csv": _read_csv, ".tsv": _read_csv, ".fits": _read_fits, ".fit": _read_fits, ".parquet": _read_parquet,
}  # fmt: skip
SUFFIXES = tuple(_READERS)
