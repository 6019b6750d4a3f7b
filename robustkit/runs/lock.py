"""One writer per run folder: a lock file that is held for the whole run, and names who holds it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from robustkit.errors import InputError
from robustkit.files import unfinished_file

# What a file system says that knows no hard links, as those of memory sticks, and one that knows no file locks.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
_BEAT = 10.0  # seconds between two signs of life, the time of the lock file
_SILENCE = 300.0  # seconds without one after which a holder on another machine is taken for dead
_MOST_BYTES = 4096


@contextmanager
def only_writer(path: str | os.PathLike[str]) -> Generator[None]:
    """Holds a lock file while the block runs; the lock of a process that died is taken over.

    The file is put in its place whole, by a hard link, and its `flock` is held until the block ends. On one machine
    that alone decides, whatever containers the processes are in; a process that dies lets go of it. Machines may share
    a file system that does not share such locks, so the holder also renews the time of the file every ten seconds.

    Args:
        path: The lock file.

    Raises:
        InputError: If another process holds it; the message names its machine and process.
        OSError: If it cannot be written, as on a full disk; nothing is left then.
    """
    path = Path(path)
    mine = _this_process()
    while (held := _claim(path, mine)) is None:
        pass
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(held, over), daemon=True, name="lock")
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()
        with suppress(FileNotFoundError):
            if _read(path) == mine:  # or somebody took this process for dead
                path.unlink()
        os.close(held)


def _this_process() -> dict[str, Any]:
    """What tells a process from all others, on this machine and elsewhere, in any container and after a reboot."""
    host = socket.gethostname()
    boot = _first_of("/proc/sys/kernel/random/boot_id") or host
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return {"host": host, "boot": boot, "pid_namespace": space, "pid": os.getpid(), "started": _started(os.getpid())}


def _started(pid: int) -> str:
    """When a process began, in ticks since the boot; empty where the system does not say."""
    return (_first_of(f"/proc/{pid}/stat").rpartition(") ")[2].split() or [""] * 20)[19]


def _first_of(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _beat(held: int, over: threading.Event) -> None:
    while not over.wait(_BEAT):
        with suppress(OSError):
            os.utime(held)


def _claim(path: Path, mine: dict[str, Any]) -> int | None:
    """Takes the lock where it is free or its holder is dead; `None` where it changed hands in between.

    Returns:
        The open file, whose `flock` is held where the file system has it.
    """
    if path.is_symlink():
        raise InputError(f"{path} is a link, which robustkit never makes; take it away")
    with unfinished_file(path) as (descriptor, temporary):
        os.fchmod(descriptor, 0o644)  # so that others may read who holds it
        os.write(descriptor, json.dumps(mine).encode())
        os.fsync(descriptor)
        held = os.dup(descriptor)
        try:
            trouble = _try_lock(held)
            if _put(path, temporary, mine, trouble):
                return held
        except BaseException:
            os.close(held)
            raise
    os.close(held)
    return None


def _put(path: Path, temporary: str, mine: dict[str, Any], trouble: OSError | None) -> bool:
    """Puts the lock of this process in its place."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return _take_over(path, temporary, mine, trouble)
    except FileNotFoundError:
        return False  # the holder before, as it began, cleared away what it took for left behind
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            return _take_over(path, temporary, mine, trouble)
        return _put_without_links(path, temporary)
    return True


def _put_without_links(path: Path, temporary: str) -> bool:
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


def _take_over(path: Path, temporary: str, mine: dict[str, Any], trouble: OSError | None) -> bool:
    """Puts the lock of this process in the place of a dead one; of several that try, only one does.

    Whoever holds the old file's `flock` and still finds that file in its place is alone on this machine, because
    nothing else takes a dead lock away.
    """
    try:
        old = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False  # it was given back
    try:
        try:
            trouble = _try_lock(old) or trouble
        except BlockingIOError:
            _refuse(path, _read(path))
        if not _in_place(old, path):
            return False
        holder = _read(path)
        if holder is None:
            raise InputError(
                f"{path} does not say which process writes to {path.parent}, as after a full disk; delete it if none "
                "does"
            )
        if _lives(holder, mine, os.fstat(old).st_mtime, temporary, locked=trouble is None):
            _refuse(path, holder)
        if trouble is not None:
            raise InputError(
                f"the process that held {path} is gone, but its lock cannot be taken over safely here "
                f"({trouble.strerror}); delete it if no other process writes to {path.parent}"
            ) from trouble
        os.replace(temporary, path)
    finally:
        os.close(old)
    return True


def _lives(holder: dict[str, Any], mine: dict[str, Any], beat: float, temporary: str, *, locked: bool) -> bool:
    """Whether the holder of a lock may be alive.

    Args:
        holder: Who it is.
        mine: This process.
        beat: When it last gave a sign of life, by the clock of the file system.
        temporary: A file that this process wrote just now.
        locked: Whether this process holds the file's `flock`, which a living holder on this machine would.
    """
    silent = os.stat(temporary).st_mtime - beat  # both by the clock of the file system
    if "boot" not in holder:  # written by an older robustkit, which held no `flock`
        return _alive(holder["pid"]) if holder["host"] == mine["host"] else silent < _SILENCE
    if holder["boot"] == mine["boot"]:
        if locked:
            return False
        if holder["pid_namespace"] == mine["pid_namespace"]:
            return _alive(holder["pid"]) and _started(holder["pid"]) == holder["started"]
    return silent < _SILENCE


def _try_lock(file: int) -> OSError | None:
    """Takes the `flock` of an open file, which another process may hold; or what the system says if it has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return error
    return None


def _in_place(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _refuse(path: Path, holder: dict[str, Any] | None) -> None:
    who = f"process {holder['pid']} on {holder['host']}" if holder else "it does not say which"
    raise InputError(
        f"another process writes to {path.parent} ({who}); wait for it, or delete {path} if that process is gone"
    )


def _read(path: Path) -> dict[str, Any] | None:
    """Who holds a lock; `None` where it does not say."""
    with suppress(ValueError, KeyError, TypeError, RecursionError), open(path, "rb") as file:
        value = json.loads(file.read(_MOST_BYTES))
        pid = value["pid"]
        if type(pid) is int and 0 < pid < 1 << 31:
            texts = {name: str(value[name]) for name in ("host", "boot", "pid_namespace", "started") if name in value}
            whole = "host" in texts and len(texts) in (1, 4)
            return {**texts, "pid": pid} if whole else None
    return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
