"""A CSV catalogue: one row per image, with the path of its file, its class and its id. Paths stay inside its folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from robustkit.data.guard import reading
from robustkit.data.readers.decode import SUFFIXES, read_one
from robustkit.data.readers.found import Found, Options
from robustkit.data.readers.labels import LONGEST
from robustkit.data.readers.naming import IDS, LABELS, SPLIT
from robustkit.data.readers.provenance import file_hash
from robustkit.data.readers.single import find_files, names_of
from robustkit.errors import InputError
from robustkit.files import real_path

_PATHS = ("path", "file", "filename", "image", "images", "file_name", "image_path")
_CLASSES = (*LABELS, "type", "morphology")


def read_catalogue(path: Path, options: Options) -> Found:
    """Finds the images that a catalogue lists, in its order.

    Raises:
        InputError: If the table is damaged, a path leaves its folder or leads nowhere, or no column can be told.
    """
    columns = table_columns(path)
    notes: list[str] = []
    paths = _column(columns, options.images, _PATHS, "images", path, notes)
    if paths is None:
        raise InputError(f"{path} has no column of paths among {', '.join(columns)}; name it with --images")
    files = _files(path.parent, columns[paths], path)
    single = replace(options, images=None)  # which named the column
    found = find_files(path.parent, files, lambda data, file: read_one(data, file, single))
    rest = {name: values for name, values in columns.items() if name != paths}
    if isinstance(options.labels, np.ndarray):
        found.labels = options.labels
    else:
        labels = _column(rest, options.labels, _CLASSES, "labels", path, notes)
        found.labels = None if labels is None else np.array(rest[labels])
    ids = _column(rest, options.ids, IDS, "ids", path, notes)
    found.ids = names_of(path.parent, files) if ids is None else np.array(rest[ids])
    split = _column(rest, None, SPLIT, "split", path, notes)
    found.split = None if split is None else np.array(rest[split])
    found.notes += notes
    found.provenance[path.name] = file_hash(path)
    return found


def table_columns(path: Path) -> dict[str, list[str]]:
    """The columns of a CSV or TSV table by name, of equal length.

    Raises:
        InputError: If it has no header of different names, a row of another length, or no rows.
    """
    with reading(path, "a CSV catalogue"), open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        names = [name.strip() for name in next(rows, [])]
        if not names or len(set(names)) != len(names):
            raise InputError(f"{path} has no header of different column names; expected one in its first line")
        columns: dict[str, list[str]] = {name: [] for name in names}
        for row in rows:
            if not any(cell.strip() for cell in row):  # an empty line
                continue
            if any(len(cell) > LONGEST for cell in row):
                raise InputError(f"line {rows.line_num} of {path} has a cell of more than {LONGEST:,} characters")
            if len(row) != len(names):
                raise InputError(f"line {rows.line_num} of {path} has {len(row)} cells; expected {len(names)}")
            for name, cell in zip(names, row, strict=True):
                columns[name].append(cell.strip())
    if not columns[names[0]]:
        raise InputError(f"{path} has no rows; expected one row per image below the header")
    return columns


def _column(
    columns: Mapping[str, list[str]], stated: str | None, usual: Sequence[str], what: str, path: Path, notes: list[str]
) -> str | None:
    """The name of a column: the one stated, or the one with a usual name."""
    if stated is not None:
        if stated not in columns:
            raise InputError(f"{path} has no column {stated!r} for the {what}; it has {', '.join(columns)}")
        return stated
    present = [name for name in columns if name.lower() in usual]
    if len(present) > 1:
        raise InputError(f"{path}: the columns {' and '.join(present)} could be the {what}; name it with --{what}")
    if present:
        notes.append(f"{what}: the column {present[0]!r}")
    return present[0] if present else None


def _files(folder: Path, cells: Sequence[str], path: Path) -> list[Path]:
    """The files that the cells name, all inside the folder."""
    home = real_path(folder)
    files: dict[Path, int] = {}
    for row, cell in enumerate(cells):
        file = folder / cell
        if "\0" in cell or not real_path(file).is_relative_to(home) or Path(cell).is_absolute():
            raise InputError(
                f"row {row + 1} of {path} names {cell!r}, outside the catalogue's folder; expected relative"
            )
        if not file.is_file():
            raise InputError(f"row {row + 1} of {path} names {cell!r}, which is not a file in {folder}")
        if file.suffix.lower() not in SUFFIXES:
            raise InputError(f"row {row + 1} of {path} names {cell!r}; expected an image: {', '.join(SUFFIXES)}")
        if file in files:
            raise InputError(
                f"rows {files[file] + 1} and {row + 1} of {path} both name {cell!r}; expected each file in one row"
            )
        files[file] = row
    return list(files)
