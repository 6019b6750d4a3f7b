"""Writing files so that a reader never sees half of one, and naming their contents by hash."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
import math
import os
import re
import shutil
import stat
import tempfile
import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from robustkit.errors import InputError, RobustkitError
from robustkit.words import brief, shown

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MOST_JSON = 64 << 20  # of a page's records; what strangers write is read with less
MOST_TOML = 1 << 20
_UNFINISHED = ".robustkit-part"  # no other program gives this name, so what has it may be cleared away
# The parser of TOML takes the square of the length of a dotted key.
_QUOTED = re.compile(r"\"(?:[^\"\\\n]|\\.)*+\"|'[^'\n]*+'")
_LONG_KEY = re.compile(r"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){64}")


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
    descriptor, temporary = _begun(path)
    try:
        yield descriptor, temporary
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)  # a write that fails does not say where
        raise
    finally:
        os.close(descriptor)
        Path(temporary).unlink(missing_ok=True)


def _begun(path: Path) -> tuple[int, str]:
    """An empty file beside `path` that this process holds; another that clears away may take it before it is held."""
    while True:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=_UNFINISHED, dir=path.parent)
        with suppress(OSError):  # on a file system without locks nothing is cleared away either
            _hold(descriptor, wait=True)
        if os.path.exists(temporary):
            return descriptor, temporary
        os.close(descriptor)


def clear_beside(path: Path) -> None:
    """Removes what killed processes left beside a file or folder that is to be made; a living one holds its own."""
    for old in path.parent.glob(f".{glob.escape(path.name[:40])}.*{_UNFINISHED}"):
        with suppress(OSError):
            kind = old.lstat().st_mode
            if stat.S_ISDIR(kind) or stat.S_ISREG(kind):
                with _held(old):
                    shutil.rmtree(old) if stat.S_ISDIR(kind) else old.unlink()


@contextmanager
def unfinished_folder(path: Path) -> Generator[Path]:
    """Makes a folder beside `path`, for what is to take its name by renaming; it is gone when the block ends.

    Those that killed processes left beside it are removed.

    Yields:
        The folder.
    """
    clear_beside(path)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", suffix=_UNFINISHED, dir=path.parent))
    with _held(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def take_room(file: BinaryIO) -> None:
    """Takes the disk's room for all of a file that is to be mapped: a full disk ends a process that writes to a map.

    Raises:
        OSError: If there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)


@contextmanager
def _held(folder: Path) -> Generator[None]:
    """Holds a file or folder while the block runs; raises OSError where another process does."""
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        _hold(descriptor)
        yield
    finally:
        os.close(descriptor)


def _hold(descriptor: int, *, wait: bool = False) -> None:
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def is_unfinished(path: Path) -> bool:
    """Whether a file is one that a killed process was still writing, under a name that only `unfinished_file` gives."""
    return path.name.startswith(".") and path.name.endswith(_UNFINISHED)


def clear_unfinished(folder: Path) -> None:
    """Removes what killed processes left unfinished in a folder, and in those below it."""
    for root, _, names in os.walk(folder):  # which follows no links
        for name in names:
            if is_unfinished(Path(name)):
                Path(root, name).unlink(missing_ok=True)


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


@contextmanager
def reading(name: object, kind: str) -> Generator[None]:
    """Guards the lines that parse, or take apart, a file that nobody has vouched for.

    Args:
        name: The file, for the message.
        kind: What it should be, with its article, such as `"a PNG or JPEG picture"`.

    Raises:
        InputError: In place of anything but robustkit's own errors.
    """
    try:
        yield
    except (RobustkitError, MemoryError):  # that memory is short says nothing of the file
        raise
    except Exception as error:  # parsers raise every kind of error on random bytes
        if isinstance(error, OSError) and error.strerror:  # the system speaks, not a parser
            raise InputError(f"cannot read {shown(name)} as {kind}: {error.strerror}") from error
        raise InputError(
            f"{shown(name)} is not readable as {kind} ({brief(error)}); it is damaged or of another kind"
        ) from error


def check_plain(path: str | os.PathLike[str], kind: str, *, most: int | None = None) -> int:
    """Refuses what is no ordinary file, because a pipe or a device is read for ever, and what is too large.

    Args:
        path: A file, or a link to one.
        kind: What it should be, with its article.
        most: How many bytes it may have.

    Returns:
        How many it has.

    Raises:
        InputError: If it is missing, something else than a file, or larger.
    """
    with reading(path, kind):
        about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise InputError(f"expected {kind} at {shown(path)}, but it is {_what(about.st_mode)}; give an ordinary file")
    if most is not None and about.st_size > most:
        raise InputError(f"{shown(path)} has {about.st_size:,} bytes, more than the {most:,} of {kind}; give another")
    return about.st_size


def _what(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for found, name in kinds if found(mode)), "a device")


def read_text(path: str | os.PathLike[str], kind: str, *, most: int) -> str:
    """The text of a file of at most so many bytes, in UTF-8; raises as `check_plain` does."""
    check_plain(path, kind, most=most)
    with reading(path, kind), open(path, "rb") as file:
        return file.read(most + 1).decode()


def read_json(path: str | os.PathLike[str], *, most: int = MOST_JSON) -> Any:
    """Reads a JSON file.

    Args:
        path: The file.
        most: How many bytes it may have.

    Raises:
        InputError: If the file is missing, too large, nested too deeply, or is not JSON.
    """
    text = read_text(path, "a JSON file", most=most)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{shown(path)} is not readable JSON ({brief(error)}); it may be truncated, so make it again"
        ) from error


def read_object(path: str | os.PathLike[str], kind: str, /, **fields: type | tuple[type, ...]) -> dict[str, Any]:
    """Reads a JSON object that must have some fields.

    Args:
        path: The file.
        kind: What it should be, with its article, such as `"the manifest of a run"`.
        fields: Names that must be there, and the types that each may have.

    Raises:
        InputError: If it is no such object.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{shown(path)} holds no JSON object; expected {kind}, so make it again")
    for name, types in fields.items():
        found = value.get(name)
        if not isinstance(found, types) or (isinstance(found, bool) and types is int):
            what = "nothing" if name not in value else brief(repr(found), 60)
            raise InputError(f"{shown(path)} has {what} as {name!r}; expected {kind}, so make it again")
    return value


def read_toml(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Reads a TOML file of at most 1 MiB.

    Raises:
        InputError: If the file is missing, too large, nested too deeply, or is not TOML.
    """
    text = read_text(path, kind, most=MOST_TOML)
    if _LONG_KEY.search(_QUOTED.sub("q", text)):
        raise InputError(f"{shown(path)} nests tables deeper than {kind} ever does; give another file")
    with reading(path, kind):
        return tomllib.loads(text)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def real_path(path: str | os.PathLike[str]) -> Path:
    """Where a path leads, all links followed; unlike `Path.resolve` it takes links in a circle as they are."""
    return Path(os.path.realpath(path))


def refuse_shared(path: str | os.PathLike[str]) -> None:
    """Refuses the folder that one stands in, one above it, and home as the folder of an output: they hold other files.

    Raises:
        InputError: If it is one of them.
    """
    place, here, home = map(real_path, (path, os.getcwd(), os.path.expanduser("~")))
    if place in (here, *here.parents, home, *home.parents):
        what = "the folder you stand in" if place == here else "your home folder" if place == home else "above that"
        raise InputError(f"{path} is {what}, where other files lie; name a folder of its own with --out")


def own_folder(path: str | os.PathLike[str]) -> Path:
    """Makes a folder inside of an output, or takes the one that is there; a link is not followed.

    Raises:
        InputError: If a link stands there.
        OSError: If it cannot be made.
    """
    path = Path(path)
    if path.is_symlink():
        raise InputError(f"{path} is a link, and what is written here stays here; take the link away")
    path.mkdir(exist_ok=True)
    return path


def refuse_used(path: str | os.PathLike[str], *, hint: str = "") -> None:
    """Refuses what cannot become a new folder.

    Args:
        path: Where the folder is to be.
        hint: What else can be done where a folder already holds something.

    Raises:
        InputError: If the path is a file, the folder one stands in or home, or a folder that already holds something.
    """
    path = Path(path)
    refuse_shared(path)
    if path.is_file():
        raise InputError(f"expected a folder for the output, but {path} is a file; name another with --out")
    if path.is_dir() and any(path.iterdir()):
        raise InputError(f"{path} already holds files and nothing is overwritten; {hint}name another folder with --out")


def new_folder(path: str | os.PathLike[str]) -> Path:
    """Makes a folder for new output.

    Raises:
        InputError: As `refuse_used` does, and where it cannot be made.
    """
    path = Path(path)
    refuse_used(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror or error}") from error
    return path


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Generator[Path]:
    """Makes a folder for new output, in which all is there or nothing: a command that is killed can be given again.

    Yields:
        The folder that takes its name when the block ends without an error.

    Raises:
        InputError: As `new_folder` does.
    """
    fresh = not Path(path).exists()
    folder = real_path(new_folder(path))
    if os.path.ismount(folder):  # as of a container; nothing takes its place
        yield folder
        return
    try:
        with unfinished_folder(folder) as building:
            yield building
            building.chmod(folder.stat().st_mode)
            building.replace(folder)
    except BaseException:
        if fresh:
            folder.rmdir()
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
