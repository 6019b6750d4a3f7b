"""Progress bars: on everything that may take longer than two seconds, and silent when nobody watches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(
    iterable: Iterable[Any] | None = None, *, total: int | None = None, label: str, unit: str = "it"
) -> tqdm[Any]:
    """A progress bar on standard error.

    Args:
        iterable: What to go through; `None` for a bar that is moved by `update`.
        total: How many units there are, where the iterable cannot tell.
        label: What is going on, in two or three words.
        unit: What is counted.

    Returns:
        The bar; it appears after one second and only on a terminal.
    """
    return tqdm(iterable, total=total, desc=label, unit=f" {unit}", delay=1.0, disable=None, leave=False)
