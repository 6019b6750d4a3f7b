"""Progress bars for everything that may take longer than two seconds; shown only where stderr is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from tqdm import tqdm

# How the line begins that says which engine computes, how fast, and how long all takes.
ENGINE = "engine: "


def progress(
    iterable: Iterable[Any] | None = None, *, total: int | None = None, label: str, unit: str = "it"
) -> tqdm[Any]:
    """A progress bar on standard error.

    Args:
        iterable: What to go through; `None` for a bar that is moved by `update`.
        total: Number of units, where the iterable has no length.
        label: The task, in two or three words.
        unit: Name of the unit.

    Returns:
        The bar; it appears after one second and only on a terminal.
    """
    return tqdm(iterable, total=total, desc=label, unit=f" {unit}", delay=1.0, disable=None, leave=False)


def without_terminal(bar: tqdm[Any], line: str) -> None:
    """Writes a line on standard error where the bar is not shown, so that the log of a batch job is not empty."""
    # A log that cannot be written must not end a run of days.
    if bar.disable and sys.stderr is not None:
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)


def quiet(line: str) -> None:
    """Receives progress messages where nobody wants them."""
    del line
