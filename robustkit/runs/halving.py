"""Groups that are too much for the memory are made in halves, down to single images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from tqdm import tqdm

from robustkit.errors import OutOfMemory
from robustkit.models.memory import free_memory, is_out_of_memory

T = TypeVar("T")


def halved(
    part: slice,
    make: Callable[[slice], T],
    *,
    alone: Callable[[slice], T],
    join: Callable[[T, T], T],
    bar: tqdm[Any] | None,
    weight: int,
) -> tuple[T, list[int]]:
    """Makes a group of images at once, or one half and then the other where memory runs out.

    Args:
        part: Which images.
        make: Makes some of them.
        alone: What stands for an image for which memory runs out even alone.
        join: Makes one of the results of two halves.
        bar: Is set back to where it was before a try that failed.
        weight: By how much an image moves it.

    Returns:
        The results of the group, and how many images were made at once: 0 for one that could not be.
    """
    shown = 0 if bar is None else bar.n
    try:
        return make(part), [part.stop - part.start]
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if not is_out_of_memory(error):
            raise
    # Outside the except block, so that the traceback no longer holds the tensors of the failed try.
    free_memory()
    if bar is not None:
        bar.update(shown - bar.n)
    n = part.stop - part.start
    if n == 1:
        if bar is not None:
            bar.update(weight)
        return alone(part), [0]
    middle = part.start + (n + 1) // 2
    one, sizes = halved(slice(part.start, middle), make, alone=alone, join=join, bar=bar, weight=weight)
    other, more = halved(slice(middle, part.stop), make, alone=alone, join=join, bar=bar, weight=weight)
    return join(one, other), sizes + more


def plan(group: int, sizes: Iterable[tuple[int, list[int]]]) -> dict[str, Any]:
    """The batch plan of a run as JSON values.

    Args:
        group: Images in a group.
        sizes: Units, each with what `halved` says of it.
    """
    return {"group": group, "halved": {str(unit): made for unit, made in sizes if len(made) > 1 or 0 in made}}
