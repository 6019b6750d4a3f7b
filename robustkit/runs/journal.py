"""The journal: one line of JSON per finished unit, append-only, and whole again after a crash."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from robustkit.errors import InputError
from robustkit.runs.trouble import trouble_in_words


def read_journal(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Reads the complete lines of a journal; a torn last line is left out.

    Raises:
        InputError: If a complete line is not JSON, which no crash can cause.
    """
    for _, entry in read_places(path):
        yield entry


def read_places(path: str | os.PathLike[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The complete lines of a journal as `read_journal` reads them, each with the byte at which it begins."""
    with open(path, "rb") as file:
        place = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # the write of this line was cut short, so its unit is not finished
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise InputError(
                    f"line {number} of {path} is not JSON ({error}); the file was changed by something else than "
                    "robustkit, so start the run in a new folder"
                ) from error
            yield place, entry
            place += len(line)


class Journal:
    """Appends entries to a journal file; every `append` is on disk when it returns.

    Opening it trims a torn last line, so that the next entry starts on a line of its own.

    Args:
        path: The file; it is made when missing.

    Attributes:
        trimmed: How many bytes the torn last line had, 0 where there was none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self._end = _last_line_end(self._file)
        self.trimmed = os.fstat(self._file).st_size - self._end
        os.ftruncate(self._file, self._end)

    def append(self, entries: Iterable[dict[str, Any]], *, sync: bool = True) -> None:
        """Writes entries, all of them or, as the next reader sees it, a whole number of them.

        Args:
            entries: What to write, as JSON values.
            sync: Wait until they are on disk.

        Raises:
            RobustkitError: If the disk is full or the quota spent; what was written before stays.
        """
        lines = "".join(json.dumps(entry, allow_nan=False, separators=(",", ":")) + "\n" for entry in entries).encode()
        with trouble_in_words(self.path):
            try:
                view = memoryview(lines)
                while view:
                    view = view[os.write(self._file, view) :]
                if sync:
                    os.fsync(self._file)
            except OSError as error:
                os.ftruncate(self._file, self._end)
                error.filename = str(self.path)
                raise
        self._end += len(lines)

    def close(self) -> None:
        """Closes the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _last_line_end(file: int, block: int = 1 << 16) -> int:
    """Where the last complete line of an open file ends."""
    stop = os.fstat(file).st_size
    while stop > 0:
        start = max(0, stop - block)
        newline = os.pread(file, stop - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        stop = start
    return 0
