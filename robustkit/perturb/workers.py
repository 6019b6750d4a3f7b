"""Worker processes for what runs image by image in a library: FITS compression and JPEG.

They are scripts behind pipes. So they need no torch, a user's own script is not imported again in them, and they end
by themselves when this process is killed, because their input ends.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.cores import cores
from robustkit.errors import InputError, RobustkitError
from robustkit.perturb.faults import codecs

_pool: _Pool | None = None


@contextmanager
def worker_processes(count: int | None = None) -> Generator[None]:
    """Runs codecs in processes of their own while the block runs; they are started when first needed.

    Args:
        count: How many; by default one for each core. With 0 the codecs run in this process.

    Raises:
        InputError: If there cannot be so many.
    """
    global _pool
    count = cores() if count is None else count
    if count < 0:
        raise InputError(f"expected 0 or more worker processes, got {count}")
    before, _pool = _pool, _Pool(count) if count else None
    try:
        yield
    finally:
        mine, _pool = _pool, before
        if mine is not None:
            mine.close()


def encode(images: np.ndarray, settings: Sequence[dict[str, Any]]) -> np.ndarray:
    """Images (N, C, H, W), float32, each after the codec of its settings; see `robustkit.perturb.faults.codecs`."""
    jobs = list(zip(images, settings, strict=True))
    if _pool is None or len(jobs) < 2:
        return np.stack([codecs.encoded(image, one) for image, one in jobs])
    return np.stack(_pool.encode(jobs))


class _Pool:
    def __init__(self, count: int) -> None:
        self.count = count
        self.started: list[_Worker] = []
        self.idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self.threads = ThreadPoolExecutor(count, "codec")

    def encode(self, jobs: list[tuple[np.ndarray, dict[str, Any]]]) -> list[np.ndarray]:
        while len(self.started) < min(self.count, len(jobs)):
            self.started.append(_Worker())
            self.idle.put(self.started[-1])
        return list(self.threads.map(self._one, jobs))

    def _one(self, job: tuple[np.ndarray, dict[str, Any]]) -> np.ndarray:
        worker = self.idle.get()
        try:
            return worker.encode(*job)
        finally:
            self.idle.put(worker)

    def close(self) -> None:
        # The processes first: a thread that waits for one is freed by its end.
        for worker in self.started:
            worker.process.kill()
        self.threads.shutdown(cancel_futures=True)
        for worker in self.started:
            worker.close()


class _Worker:
    def __init__(self) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(codecs.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            start_new_session=True,  # Ctrl-C is for this process; it tells them
        )

    def encode(self, image: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
        values = np.ascontiguousarray(image, dtype=np.float32)
        request = json.dumps({"shape": values.shape, "settings": settings}).encode() + b"\n"
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(request + values.tobytes())
            self.process.stdin.flush()
            answer = self.process.stdout.read(values.nbytes)
        except OSError:
            answer = b""
        if len(answer) < values.nbytes:
            self._explain(self.process.wait())
        return np.frombuffer(answer, np.float32).reshape(values.shape)

    def _explain(self, status: int) -> None:
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"it ended with status {status}"
        raise RobustkitError(
            f"a worker process failed ({reason}); continue with --resume, or do without such processes by --workers 1"
        )

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.wait()
        self.process.stdout.close()
        with suppress(OSError):  # what was not sent any more
            self.process.stdin.close()
        self.errors.close()
