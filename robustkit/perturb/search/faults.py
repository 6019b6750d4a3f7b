"""The searches over the parameters of a fault: complete where its places can be told one by one, random, and DE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from robustkit.errors import InputError
from robustkit.perturb.fault_scorer import every_point
from robustkit.perturb.faults.space import FaultSpace, Floats
from robustkit.perturb.search.base import Problem
from robustkit.perturb.search.differential_evolution import Best1Bin, DifferentialEvolution
from robustkit.seeds import Streams

FAULT_SEARCHES = ("complete", "random", "de-best1bin")
_POPULATION = 100


class FaultSearch(Protocol):
    """A search under way on one image."""

    def propose(self) -> Floats | None:
        """The next points, shape (P, G); `None` when nothing is left to try."""
        ...

    def tell(self, logits: Tensor) -> None:
        """Their logits, shape (P, K)."""
        ...


class Complete:
    """Every place of every footprint, once.

    A footprint is everything about the fault but its place. Where nothing of it but the level is free, the named levels
    are the footprints; else some are drawn.
    """

    def __init__(self, space: FaultSpace, streams: Streams, footprints: int) -> None:
        if not space.places:
            raise InputError(
                f"{space.text} draws no place that could be told one by one; give --search random or de-best1bin"
            )
        if space.finite:
            self.left = [np.array([level, *[0.5] * len(space.draws)]) for level in space.levels()]
        else:
            self.left = list(streams.uniform(footprints, len(space))[0].astype(np.float64))
        self.space, self.footprints = space, len(self.left)

    def propose(self) -> Floats | None:
        """All places of the next footprint."""
        return every_point(self.space, self.left.pop(0)) if self.left else None

    def tell(self, logits: Tensor) -> None:
        """Nothing is learned."""


class Random:
    """Points at random."""

    def __init__(self, space: FaultSpace, streams: Streams) -> None:
        self.space, self.streams = space, streams

    def propose(self) -> Floats:
        """The next points."""
        return self.streams.uniform(_POPULATION, len(self.space))[0].astype(np.float64)

    def tell(self, logits: Tensor) -> None:
        """Nothing is learned."""


@dataclass(frozen=True, eq=False)
class _Told:
    image: Tensor


class _Evolving(Best1Bin):
    """best1bin over a fault's numbers instead of pixels and values."""

    def __init__(self, settings: DifferentialEvolution, problem: Problem, genes: int) -> None:
        super().__init__(settings, problem)
        self.genes = genes

    def _decode(self, genes: Tensor) -> Any:
        return genes  # the numbers of the fault themselves


class Evolution:
    """Differential evolution over the numbers of a fault; see `DifferentialEvolution`."""

    def __init__(self, space: FaultSpace, problem: Problem) -> None:
        settings = DifferentialEvolution(form="best1bin", population=_POPULATION, fitness="margin")
        self.search, self.one = _Evolving(settings, problem, len(space)), torch.zeros(1, dtype=torch.int64)

    def propose(self) -> Floats | None:
        """The next generation."""
        genes: Any = self.search.propose(self.one)
        return None if genes is None else np.asarray(genes[0], dtype=np.float64)

    def tell(self, logits: Tensor) -> None:
        """Keeps the fitter ones."""
        self.search.tell(_Told(self.one), logits[None])  # type: ignore[arg-type]


def start_fault_search(name: str, space: FaultSpace, problem: Problem, footprints: int) -> FaultSearch:
    """A search by its name in `FAULT_SEARCHES`.

    Args:
        name: The name.
        space: The fault.
        problem: The one image, with its stream, on the CPU.
        footprints: How many footprints a complete pass draws.
    """
    if name == "complete":
        return Complete(space, problem.streams, footprints)
    return Random(space, problem.streams) if name == "random" else Evolution(space, problem)
