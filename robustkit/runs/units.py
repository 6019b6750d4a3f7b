"""Units of a run: each is made once, here or by an executor's workers, and kept by the one writer."""

from __future__ import annotations

import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from robustkit.errors import RobustkitError, first_line

# Makes the result of a unit; for an executor it must pickle.
Work = Callable[[int], Any]
# Starts an executor whenever one is needed: at the beginning, and after the last one broke down.
StartExecutor = Callable[[], AbstractContextManager[Executor]]

_AHEAD = 1000  # units that are submitted and not finished: enough for many workers, few enough for flat memory
_BREAKDOWNS = 3  # of the whole executor, without a unit finished in between
_LOSSES = 5  # of the workers of one unit


def make_units(
    units: Iterable[int], work: Work, keep: Callable[[int, Any], None], executor: Executor | StartExecutor | None = None
) -> None:
    """Makes units and keeps each as soon as it is finished, in any order.

    Args:
        units: The numbers of the units.
        work: Makes one. It depends on nothing but the number, so one whose worker died is made again.
        keep: Is given the number and what `work` returned, always in this thread.
        executor: Where to work: an executor, or what starts one; by default here.

    Raises:
        RobustkitError: If `work` raised it, or workers die again and again.
    """
    if executor is None:
        for unit in units:
            keep(unit, work(unit))
        return
    left, losses, breakdowns = deque(units), Counter[int](), 0
    while left:
        with nullcontext(executor) if isinstance(executor, Executor) else executor() as started:
            finished = _until_broken(started, left, losses, work, keep)
        breakdowns = 0 if finished else breakdowns + 1
        if left and breakdowns == _BREAKDOWNS:
            raise RobustkitError(
                f"the workers broke down {_BREAKDOWNS} times in a row without finishing a unit, perhaps because memory "
                "ran out; use fewer workers, and continue with --resume"
            )


def _until_broken(
    executor: Executor, left: deque[int], losses: Counter[int], work: Work, keep: Callable[[int, Any], None]
) -> int:
    """Works until nothing is left or the executor takes no more; what it did not finish is left again."""
    pending: dict[Future[Any], int] = {}
    finished = 0
    while left or pending:
        try:
            while left and len(pending) < _AHEAD:
                pending[executor.submit(guarded, work, left[0])] = left[0]
                left.popleft()
            broken = False
        except BrokenExecutor:
            broken = True
        done = wait(pending, timeout=0 if broken else None, return_when=FIRST_COMPLETED).done
        for future in sorted(done, key=pending.__getitem__):  # in their order, which decides whose error is said
            unit = pending.pop(future)
            try:
                good, result = future.result()
            except BrokenExecutor:
                left.append(unit)
                broken = True
            except Exception as error:  # `guarded` raises nothing, so the worker was lost; engines say so in many ways
                losses[unit] += 1
                if losses[unit] == _LOSSES:
                    raise RobustkitError(
                        f"unit {unit} lost its worker {_LOSSES} times ({first_line(error)}), perhaps because memory "
                        "ran out; give the workers more, and continue with --resume"
                    ) from error
                left.append(unit)
            else:
                if not good:
                    raise result
                keep(unit, result)
                finished += 1
        if broken:
            left.extend(pending.values())
            break
    return finished


def guarded(work: Work, unit: int) -> tuple[bool, Any]:
    """What `work` returned, or the error that it raised, as a value: on the way back only a lost worker raises."""
    try:
        return True, work(unit)
    except RobustkitError as error:
        return False, error
    except Exception as error:
        where = f"process {os.getpid()} on {socket.gethostname()}"
        return False, RobustkitError(f"unit {unit} failed in {where}: {type(error).__name__}: {first_line(error)}")
