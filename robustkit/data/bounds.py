"""What a set may unpack to: so much for each byte that is stored, so that a small file does not take all memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from robustkit.errors import InputError
from robustkit.words import shown

# Deflate shrinks zeros a thousandfold and other codecs a millionfold; images of anything shrink ten- to sixtyfold.
MOST_UNPACKED = 256  # bytes of float32 for each byte stored
FREE = 64 << 20  # that any set may unpack to
_WORK = 224 << 20  # for a block on its way, and the libraries that decode it
_DEEPEST = 32  # folders below each other

_guarded = threading.Lock()
_holders = 0


def check_unpacked(size: int, stored: int, name: object) -> None:
    """Refuses what unpacks to far more than images do.

    Args:
        size: Bytes in memory.
        stored: Bytes in the file, or files.
        name: What it is, for the message.

    Raises:
        InputError: If it is too much.
    """
    if size > FREE + MOST_UNPACKED * stored:
        raise InputError(
            f"{shown(name)} unpacks to {size:,} bytes from {stored:,} stored, more than images do; it is damaged or "
            "made to fill memory, and if it is not, store it uncompressed"
        )


@contextmanager
def bounded_memory(stored: int, name: object) -> Generator[None]:
    """Lets this process take no more memory than a set of this size explains while the block runs, on Linux.

    Decoders allocate what a file tells them to, and some say so only once it is filled.

    Args:
        stored: Bytes in the file, or files.
        name: What is read, for the message.

    Raises:
        InputError: If memory ends.
    """
    most = _WORK + FREE + MOST_UNPACKED * stored
    try:
        with _limit(most):
            yield
    except MemoryError as error:
        raise InputError(
            f"{shown(name)} takes more than the {most >> 20:,} MiB of memory that its {stored:,} bytes explain, or "
            "memory is short; it is damaged or made to fill memory, and if it is not, store it uncompressed"
        ) from error


@contextmanager
def _limit(most: int) -> Generator[None]:
    """A limit for the data of this process; of several threads and blocks in each other the first sets it."""
    global _holders
    with _guarded:
        held, _holders = _holders, _holders + 1
        before = None if held else _lower(most)
    try:
        yield
    finally:
        with _guarded:
            _holders -= 1
            if before is not None:
                _restore(before)


def _lower(most: int) -> tuple[int, int] | None:
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[5])
    except (ImportError, OSError):  # no Linux
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = pages * os.sysconf("SC_PAGE_SIZE") + most
    if soft != resource.RLIM_INFINITY and soft <= limit:
        return None
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    return soft, hard


def _restore(limits: tuple[int, int]) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, limits)


def stored_bytes(path: Path) -> int:
    """How many bytes a file has, or all files of a folder together."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in files_inside(path))


def files_inside(folder: Path) -> Iterator[Path]:
    """All ordinary files of a folder and of those below it; every folder is entered once, however often it is linked.

    Raises:
        InputError: If folders lie too deep, or one cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    pending = [(os.fspath(folder), 0)]
    while pending:
        place, depth = pending.pop()
        about = os.stat(place)
        if (about.st_dev, about.st_ino) in seen:
            continue
        seen.add((about.st_dev, about.st_ino))
        if depth > _DEEPEST:
            raise InputError(f"folders in {shown(folder)} lie deeper than {_DEEPEST} in each other; expected images")
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir():
                    pending.append((entry.path, depth + 1))
                elif entry.is_file():
                    yield Path(entry.path)
