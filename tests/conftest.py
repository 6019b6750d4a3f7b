"""Fixtures shared by all tests."""

from __future__ import annotations

import os

import pytest

# Two test processes on two cores: one thread each is faster than four that compete.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import sys

    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
