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


@pytest.fixture(scope="session")
def attacks(tmp_path_factory):
    """A checkpoint `net.pt`, and the attack `SMALL` on it, to which nothing happened, as `whole`; not to be changed."""
    from robustkit.findings.attack.measure import run_attack
    from tests.attacks import SMALL, silent
    from tests.audits import make_audit

    folder = tmp_path_factory.mktemp("attacks")
    model, _ = make_audit(folder)
    run_attack(model, SMALL, out=folder / "whole", say=silent)
    return folder
