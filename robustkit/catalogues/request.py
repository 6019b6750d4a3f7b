"""Which objects a catalogue is made of, and where it goes: what the settings of `predict` and `flag` begin with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robustkit.errors import InputError
from robustkit.options import option

if TYPE_CHECKING:
    from robustkit.models import ModelOptions

# Suffixes of the tables that are written.
TABLES = (".fits", ".parquet", ".csv")


@dataclass(frozen=True, kw_only=True)
class ObjectsRequest:
    """Every object of an image set, in its order; no labels are needed.

    Attributes:
        data: The image set; by default the one that the model was trained on.
        part: A part of the model's split, or `all`.
        columns: Columns of a catalogue that are carried along.
        catalogue: That catalogue: FITS, Parquet or CSV; by default the file of the images, where it is a table.
        id_column: Its column of ids; by default the one with a usual name.
        table: The table that is written, by its suffix FITS, Parquet or CSV; `None` for none.
        seed: Of all random numbers.
        options: Options for a third-party model.
        group: How many images are one unit of work: what a killed run loses at most.
    """

    data: str | os.PathLike[str] | None = option(None, "The images.", shown="those that the model was trained on")
    part: str = option("all", "train, valid or test of the model's split, or all.")
    columns: Sequence[str] = option(
        (), "Columns of a catalogue to carry along, such as ra,dec.", click={"multiple": True}, flag="--columns"
    )
    catalogue: str | os.PathLike[str] | None = option(
        None, "Where they are: FITS, Parquet or CSV.", shown="the file of the images, where it is a table",
        click={"type": str},
    )  # fmt: skip
    id_column: str | None = option(None, "Its column of ids.", shown="id, name, objid ...")
    table: str | os.PathLike[str] | None = None
    seed: int = 0
    options: ModelOptions | None = None
    group: int = 1024

    def __post_init__(self) -> None:
        names = tuple(name.strip() for text in self.columns for name in str(text).split(",") if name.strip())
        object.__setattr__(self, "columns", names)
        if len(set(names)) < len(names):
            raise InputError(f"--columns names one twice: {', '.join(names)}; give each once")
        if self.group < 1:
            raise InputError(f"--group must be at least 1, got {self.group}")
        for name, value in (("--catalogue", self.catalogue), ("--id-column", self.id_column)):
            if value is not None and not names:
                raise InputError(f"{name} says where --columns are, and none are named; name some, or omit {name}")
        if self.table is not None:
            check_table(self.table)


def check_table(path: str | os.PathLike[str]) -> None:
    """Refuses a table whose suffix names no format that is written, or whose folder does not exist.

    Raises:
        InputError: If it does.
    """
    path = Path(path)
    if path.suffix.lower() not in TABLES:
        raise InputError(f"--out {path} must end in {', '.join(TABLES)}, which says the format; got {path.name!r}")
    if path.is_dir():
        raise InputError(f"expected a file for the table, but {path} is a folder; name another with --out")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} for the table {path.name}; make it first")


def run_folder_of(table: str | os.PathLike[str], shard: object = None) -> Path:
    """The run folder beside a table, where finished groups are kept.

    Args:
        table: The table.
        shard: A shard such as `3/64`, which has a folder of its own.

    Examples:
        >>> run_folder_of("classes.fits").name, run_folder_of("classes.fits", "3/64").name
        ('classes.fits.run', 'classes.fits.run-3-of-64')
    """
    path = Path(table)
    end = "" if shard is None else "-" + str(shard).replace("/", "-of-")
    return path.with_name(f"{path.name}.run{end}")
