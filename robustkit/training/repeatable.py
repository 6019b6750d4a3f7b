"""One seed, one answer: settings that make torch deterministic."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.deterministic


@contextmanager
def repeatable(seed: int) -> Generator[None]:
    """Deterministic algorithms, and torch's global random numbers from a seed; both are as before afterwards."""
    # cuBLAS reads it when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    deterministic: Any = torch.utils.deterministic  # its one setting is hidden from type checkers
    benchmark, fill = torch.backends.cudnn.benchmark, deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    # Filling fresh memory with NaN shows what reads it before it is written: nothing here, at 5 % of an epoch.
    deterministic.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark, deterministic.fill_uninitialized_memory = benchmark, fill
