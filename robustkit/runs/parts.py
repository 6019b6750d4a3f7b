"""The finished units of a run: one file each, under its name only when it is whole."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from robustkit.errors import InputError
from robustkit.files import atomic_write, own_folder
from robustkit.records import Record, load_note, load_records, save_records

PARTS = "parts"
_NAME = re.compile(r"(\d{7,})\.npz")


class Parts:
    """The units that a run folder holds.

    Each is a file of records with a note, renamed into place when it is whole. So a unit is finished if and only if its
    file is there, and no kill leaves half of one.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder) / PARTS

    def path(self, unit: int) -> Path:
        """Where a unit is kept."""
        return self.folder / f"{unit:07d}.npz"

    def __contains__(self, unit: int) -> bool:
        return self.path(unit).is_file()

    def __iter__(self) -> Iterator[int]:
        """The finished units in their order."""
        if not self.folder.is_dir():
            return iter(())
        found = (_NAME.fullmatch(entry.name) for entry in os.scandir(self.folder))
        return iter(sorted(int(match[1]) for match in found if match is not None))

    def keep(self, unit: int, records: Mapping[str, Record], note: dict[str, Any]) -> None:
        """Keeps a finished unit; it is on disk when this returns."""
        own_folder(self.folder)
        save_records(self.path(unit), records, note)

    def load(self, unit: int, kinds: Mapping[str, type[Any]]) -> dict[str, Any]:
        """The records of a unit, by name.

        Raises:
            InputError: If it cannot be read.
        """
        try:
            return load_records(self.path(unit), kinds)[0]
        except InputError as error:
            raise InputError(f"{error}; delete that file and continue with --resume") from error

    def note(self, unit: int) -> dict[str, Any]:
        """The note of a unit."""
        return load_note(self.path(unit))

    def gather(self, others: Iterable[Parts]) -> None:
        """Copies the units of other run folders into this one."""
        own_folder(self.folder)
        for other in others:
            for unit in other:
                with open(other.path(unit), "rb") as source, atomic_write(self.path(unit)) as target:
                    shutil.copyfileobj(source, target)
