"""Worker processes on this machine: one thread and one device each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from robustkit.errors import RobustkitError

_assigned: str | None = None


def assigned_device() -> str | None:
    """The device of this worker process, or `None` in any other process."""
    return _assigned


@contextmanager
def local_workers(devices: Sequence[str | None]) -> Generator[Executor]:
    """Starts one worker process for each device, which may repeat; they end at once when the block ends.

    Args:
        devices: Such as `["cuda:0", "cuda:1"]`, or `["cpu"] * 4`; `None` for work that needs no network, so that
            PyTorch, which takes a second, is not loaded.
    """
    # Spawned, because a forked process cannot use CUDA, nor the thread pools of its parent.
    context = multiprocessing.get_context("spawn")
    try:
        to_give = context.SimpleQueue()
    except OSError as error:  # which names no file, and is about none of the run
        raise RobustkitError(
            f"worker processes need shared memory for their locks, and this system gives none ({error.strerror}); "
            "mount /dev/shm writable, or do without --workers"
        ) from error
    for device in devices:
        to_give.put(device)
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(len(devices), context, initializer=_begin, initargs=(to_give, os.getpid()))
    try:
        yield pool
    finally:
        # A unit may take minutes, and what it is worth is lost anyhow: nobody waits for it.
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        # Waits for the pool's own thread. One that is still at work when the interpreter ends closes a pipe that the
        # interpreter then writes to: Bad file descriptor, and a traceback after all was done.
        pool.shutdown(cancel_futures=True)
        to_give.close()


def _begin(to_give: Any, parent: int) -> None:
    global _assigned
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own is shared by processes, and left behind by one that is killed
    _assigned = to_give.get()
    if _assigned is not None:
        import torch

        torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent; it ends them
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Ends this process when its parent was killed, which closes no pipe that it waits at."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
