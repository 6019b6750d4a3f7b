"""Units of a run: each is made once, here or by an executor's workers, and kept by the one writer."""

from __future__ import annotations

import json
import os
import socket
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from robustkit.errors import RobustkitError, first_line
from robustkit.runs.journal import read_places

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
                "ran out; use fewer workers, and go on with --resume"
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
                        "ran out; give the workers more, and go on with --resume"
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


class FinishedUnits:
    """The units in journals, by number, read from disk one at a time.

    Args:
        paths: The journals; each entry names its `unit`, and of a unit in several entries the last counts.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        # Where each unit's entry begins, in eight bytes each, because there may be millions; -1 where there is none.
        self._places = array("q")
        for number, path in enumerate(paths):
            for place, entry in _entries(path):
                unit = entry["unit"]
                self._places.extend([-1] * (unit + 1 - len(self._places)))
                self._places[unit] = place * len(paths) + number

    def __len__(self) -> int:
        return len(self._places) - self._places.count(-1)

    def __contains__(self, unit: int) -> bool:
        return unit < len(self._places) and self._places[unit] >= 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The entries in the order of their units."""
        for unit, place in enumerate(self._places):
            if place >= 0:
                yield self[unit]

    def __getitem__(self, unit: int) -> dict[str, Any]:
        place, number = divmod(self._places[unit], len(self._paths))
        with open(self._paths[number], "rb") as file:
            file.seek(place)
            return json.loads(file.readline())

    def last(self) -> dict[str, Any]:
        """The entry of the last unit."""
        return self[len(self._places) - 1]


def _entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    return read_places(path) if path.is_file() else iter(())
