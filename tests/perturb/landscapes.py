"""Searches on functions whose best candidate is known, without any network."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from robustkit.engine import Candidates
from robustkit.perturb.search.base import UNTARGETED, Problem, SearchSettings
from robustkit.perturb.values import Corners, ValueSet
from robustkit.seeds import Streams


def make_problem(
    ids: list[str],
    *,
    shape: tuple[int, int, int] = (3, 20, 24),
    seed: int = 0,
    pixels: int = 1,
    target: int = UNTARGETED,
    classes: int = 2,
    budget: int | None = None,
    values: ValueSet | None = None,
) -> Problem:
    """Grey images of class 0, each with its own stream."""
    n = len(ids)
    return Problem(
        images=torch.full((n, *shape), 0.5),
        clean_logits=torch.zeros(n, classes),
        labels=torch.zeros(n, dtype=torch.int64),
        targets=torch.full((n,), target),
        values=values or Corners(torch.zeros(shape[0]), torch.ones(shape[0])),
        streams=Streams(seed, ids),
        pixels=pixels,
        budget=budget,
    )


def generations(
    settings: SearchSettings, problem: Problem, function: Callable[[Candidates], Tensor]
) -> Iterator[tuple[Candidates, Tensor]]:
    """Candidates of each generation and the function of them, (M, P); the logits are 0 and the function."""
    search = settings.start(problem)
    active = torch.arange(len(problem))
    while (candidates := search.propose(active)) is not None:
        score = function(candidates)
        yield candidates, score
        search.tell(candidates, torch.stack([torch.zeros_like(score), score], 2))


def queries_until(
    settings: SearchSettings, problem: Problem, function: Callable[[Candidates], Tensor], above: float
) -> Tensor:
    """Queries until the function exceeds a value, shape (N,); infinite where it never does."""
    first = torch.full((len(problem),), torch.inf)
    asked = 0
    for candidates, score in generations(settings, problem, function):
        hit = score > above
        place = torch.where(hit.any(1), asked + hit.int().argmax(1) + 1.0, torch.inf)
        first[candidates.image] = torch.minimum(first[candidates.image], place)
        asked += score.shape[1]
    return first


def bowl(candidates: Candidates) -> Tensor:
    """Highest, 0, where pixel (13, 5) becomes (1, 0, 0.25); falls with the distance from there."""
    row, column, value = candidates.row[..., 0], candidates.column[..., 0], candidates.value[..., 0, :]
    away = ((row - 13) / 20) ** 2 + ((column - 5) / 24) ** 2
    return -(away + ((value - torch.tensor([1.0, 0.0, 0.25])) ** 2).sum(-1))


def ripples(candidates: Candidates) -> Tensor:
    """The bowl with many lower hills on it, so that a search can lose its way."""
    row, column = candidates.row[..., 0], candidates.column[..., 0]
    waves = (2 - torch.cos((row - 13) * 1.5) - torch.cos((column - 5) * 1.3)) / 2
    return bowl(candidates) - 0.35 * waves
