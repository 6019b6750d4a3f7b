"""One writer per run folder: a lock file that names who holds it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from robustkit.errors import InputError
from robustkit.files import unfinished_file

# What a file system says that knows no hard links, as those of memory sticks.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


@contextmanager
def only_writer(path: str | os.PathLike[str]) -> Generator[None]:
    """Holds a lock file while the block runs; the lock of a process that died on this machine is taken over.

    The lock is written beside its place and put there by a hard link, which network file systems honour too, so that
    nobody ever sees it without the name of its holder.

    Args:
        path: The lock file.

    Raises:
        InputError: If another process holds it; the message names its machine and process.
        OSError: If it cannot be written, as on a full disk; nothing is left then.
    """
    path = Path(path)
    mine = {"host": socket.gethostname(), "pid": os.getpid()}
    while not _claim(path, mine):
        pass
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            if _read(path) == mine:  # or somebody took this process for dead
                path.unlink()


def _claim(path: Path, mine: dict[str, Any]) -> bool:
    """Takes the lock where it is free or its holder is dead; `False` where it changed hands in between."""
    if path.exists():
        _refuse_living(path, mine["host"])
    with unfinished_file(path) as (descriptor, temporary):
        os.fchmod(descriptor, 0o644)  # so that others may read who holds it
        os.write(descriptor, json.dumps(mine).encode())
        os.fsync(descriptor)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return _take_over(path, temporary, mine["host"])
        except FileNotFoundError:
            return False  # the holder before, as it began, cleared away what it took for left behind
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _claim_without_links(path, temporary)
    return True


def _claim_without_links(path: Path, temporary: str) -> bool:
    """O_EXCL alone: killed between these two lines, it leaves an empty lock, which is then refused."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        return False
    try:
        os.replace(temporary, path)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return True


def _take_over(path: Path, temporary: str, host: str) -> bool:
    """Puts this process's lock in the place of a dead one; of several that try, only one does.

    All of them are on this machine, so that `flock` holds between them on network file systems too. Whoever holds the
    old file's flock and still finds that file in its place is alone, because nothing else takes a dead lock away.
    """
    try:
        old = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False  # it was given back
    try:
        try:
            fcntl.flock(old, fcntl.LOCK_EX)
        except OSError as error:  # a file system without
            raise InputError(
                f"the process that held {path} is gone, but its lock cannot be taken over safely here "
                f"({error.strerror}); delete it if no other process writes to {path.parent}"
            ) from error
        _refuse_living(path, host)
        if not _in_place(old, path):
            return False
        os.replace(temporary, path)
    finally:
        os.close(old)
    return True


def _in_place(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _refuse_living(path: Path, host: str) -> None:
    """Refuses a lock unless its holder died on this machine, or it is gone."""
    try:
        holder = _read(path)
    except FileNotFoundError:
        return
    if holder is None:
        raise InputError(
            f"{path} does not say which process writes to {path.parent}, as after a full disk; delete it if none does"
        )
    if holder["host"] != host or _alive(holder["pid"]):
        raise InputError(
            f"another process writes to {path.parent} (process {holder['pid']} on {holder['host']}); wait for it, or "
            f"delete {path} if that process is gone"
        )


def _read(path: Path) -> dict[str, Any] | None:
    """Who holds a lock; `None` where it does not say."""
    try:
        value = json.loads(path.read_bytes())
        return {"host": str(value["host"]), "pid": int(value["pid"])}
    except (ValueError, KeyError, TypeError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
