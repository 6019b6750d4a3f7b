"""Writing files so that a reader never sees half of one, and naming their contents by hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from robustkit.errors import InputError

_UNFINISHED = ".part"


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Generator[BinaryIO]:
    """Opens a temporary file beside `path` that takes its name only when the block ends without an error.

    Args:
        path: The file to write; its folder must exist.

    Yields:
        A binary file open for writing.
    """
    path = Path(path)
    with unfinished_file(path) as (descriptor, temporary):
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            yield file
        os.fsync(descriptor)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)


@contextmanager
def unfinished_file(path: Path) -> Generator[tuple[int, str]]:
    """Makes an empty file beside `path`, for what is to take its name by renaming; it is gone when the block ends.

    Yields:
        Its descriptor, and where it is.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=_UNFINISHED, dir=path.parent)
    try:
        yield descriptor, temporary
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)  # a write that fails does not say where
        raise
    finally:
        os.close(descriptor)
        Path(temporary).unlink(missing_ok=True)


def is_unfinished(path: Path) -> bool:
    """Whether a file is one that a killed process was still writing, under a name that only `unfinished_file` gives."""
    return path.name.startswith(".") and path.name.endswith(_UNFINISHED)


def clear_unfinished(folder: Path) -> None:
    """Removes what killed processes left unfinished in a folder, and in those below it."""
    for path in folder.rglob(f".*{_UNFINISHED}"):
        if path.is_file():
            path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes JSON atomically: sorted keys, two spaces, no NaN."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def jsonable(value: Any) -> Any:
    """Dataclasses, arrays and numbers as JSON values; what is not finite becomes null.

    Examples:
        >>> import numpy as np
        >>> jsonable({"rate": np.float64(0.5), "ends": np.array([np.nan, 1])})
        {'rate': 0.5, 'ends': [None, 1.0]}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if callable(as_list := getattr(value, "tolist", None)):  # NumPy's arrays and numbers, without importing it
        value = as_list()
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file.

    Raises:
        InputError: If the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"expected a JSON file at {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} is not readable JSON ({error}); it may be truncated, so make it again") from error


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def new_folder(path: str | os.PathLike[str]) -> Path:
    """Makes a folder for new output.

    Raises:
        InputError: If the path is a file, or a folder that already holds something.
    """
    path = Path(path)
    if path.is_file():
        raise InputError(f"expected a folder for the output, but {path} is a file; name another with --out")
    if path.is_dir() and any(path.iterdir()):
        raise InputError(f"{path} already holds files and nothing is overwritten; name another folder with --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror or error}") from error
    return path


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
