"""One writer per run folder: a lock file that names who holds it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from robustkit.errors import InputError


@contextmanager
def only_writer(path: str | os.PathLike[str]) -> Generator[None]:
    """Holds a lock file while the block runs; the lock of a process that died on this machine is taken over.

    Args:
        path: The lock file. It is made with O_EXCL, which network file systems honour too.

    Raises:
        InputError: If another process holds it; the message names its machine and process.
    """
    path = Path(path)
    mine = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
    while not _claim(path, mine):
        holder = _holder(path)
        if holder is None:
            continue  # it was given back between the two looks
        host, pid = holder
        if host == socket.gethostname() and not _alive(pid):
            path.unlink(missing_ok=True)
            continue
        raise InputError(
            f"another process writes to {path.parent} (process {pid} on {host}); wait for it, or delete {path} if that "
            "process is gone"
        )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _claim(path: Path, content: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return True


def _holder(path: Path) -> tuple[str, int] | None:
    try:
        value = json.loads(path.read_text())
        return str(value["host"]), int(value["pid"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # Made, and not yet written to: its writer is alive or died within a microsecond.
        return "an unknown machine", 0


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
