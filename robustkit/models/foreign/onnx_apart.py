"""An ONNX graph is tried in a process of its own first: a loop without an end or a giant tensor ends there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from robustkit.errors import InputError
from robustkit.extras import require

WORKER = Path(__file__).with_name("onnx_worker.py")
# What one image may take, and so much more for a larger file: seconds of one core, and bytes.
_SECONDS, _SECONDS_PER_MIB = 5, 0.2
_BYTES, _BYTES_PER_BYTE = 1 << 30, 8
_PATIENCE = 20.0  # times the seconds, on a machine with other work


def try_apart(path: Path, batch: int | None, shape: Sequence[int], *, bands_last: bool) -> None:
    """Runs a graph on one batch of zeros in a process with limits, and refuses it if it meets one.

    Args:
        path: The graph, whose external data were checked.
        batch: How many images it takes at once, or `None` for any number.
        shape: (C, H, W).
        bands_last: Whether it takes images with the bands as the last axis.

    Raises:
        InputError: If the graph needs more time or memory than its size explains, or crashes onnxruntime.
        MissingExtra: If onnxruntime is not installed.
    """
    require("onnxruntime", extra="onnx", purpose="run an ONNX graph")
    size = sum(file.stat().st_size for file in (path, *path.parent.glob(f"{path.name}*")) if file.is_file())
    seconds, memory = int(_SECONDS + _SECONDS_PER_MIB * size / (1 << 20)), _BYTES + _BYTES_PER_BYTE * size
    whole = (*shape[1:], shape[0]) if bands_last else shape
    numbers = [seconds, memory, batch or 1, *whole]
    command = [sys.executable, "-P", str(WORKER), str(path), *map(str, numbers)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds * _PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(_too_much(path, seconds, memory)) from None
    if done.returncode == 0:
        return
    if done.returncode < 0 or re.search(rb"alloc|memory", done.stderr, re.IGNORECASE):
        raise InputError(_too_much(path, seconds, memory))
    # What else onnxruntime has to say is said where the graph is opened, with what is known there.


def _too_much(path: Path, seconds: int, memory: int) -> str:
    return (
        f"{path} needs more than {seconds} seconds or {memory >> 20:,} MiB for one image, or crashes onnxruntime: a "
        "loop without an end, or a giant tensor; export the network again, without loops"
    )
