"""Universal search (black box): cells ranked by what they do to a stand-in image, the same one for every image.

Where a pixel flips images, and with which values, is mostly a property of the network: a bright pixel outshines what it
lands on, and dense layers weight each position separately. So each cell changes one stand-in image, a round source on a
dark sky, and what that does to its logits is added to the logits of every clean image to predict its margins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from robustkit.engine import Candidates, make_evaluator
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier
from robustkit.perturb.edges import Placed
from robustkit.perturb.search.base import Problem, Search
from robustkit.perturb.search.cells import Cells, CellSettings, RankedSearch

# Cells of the stand-in in one call, and images whose cells are ranked at once: bounds of memory.
_CANDIDATES, _BATCH = 8192, 8
# The stand-in: an exponential disc of this scale length, in image widths, and central brightness, in the range of the
# values. Of flat images and discs tried on galaxies, this ranked best.
_SCALE, _BRIGHTNESS = 0.05, 0.5


@dataclass(frozen=True)
class Universal(CellSettings):
    """Settings of the universal search.

    Attributes:
        top: Number of cells of each image evaluated, best first.
        effort: The most queries of the stand-in, in all and not for each image. Where they do not cover a complete
            pass, rows and columns are skipped evenly and what lies between is interpolated.
        batch: Number of cells of an image evaluated at once.
    """

    top: int = 400
    effort: int = 100_000
    batch: int = 50

    def __post_init__(self) -> None:
        if min(self.top, self.effort, self.batch) < 1:
            raise InputError(f"top, effort and batch of the universal search must be at least 1, got {self}")

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "universal"

    def resume(self, cells: Cells) -> Search:
        """Begins where other searches over these cells stopped.

        Raises:
            InputError: If there is no classifier to evaluate a stand-in image.
        """
        return RankedSearch(cells, rank_by_stand_in(cells, self.top, effort=self.effort), self.batch)


def rank_by_stand_in(cells: Cells, most: int, *, effort: int) -> Tensor:
    """The cells of each image with the best margins that the stand-in predicts.

    Args:
        cells: The cells; those that were tried are ranked last.
        most: Number of cells to return.
        effort: The most queries of the stand-in.

    Returns:
        Cells, best first, shape (N, `most` or fewer), int64.

    Raises:
        InputError: If there is no classifier.
    """
    problem = cells.problem
    change = _known_changes(cells, effort)  # (H W V, K)
    parts = []
    for rows in torch.arange(len(problem), device=cells.left.device).split(_BATCH):
        scores = problem.margin(rows, problem.clean_logits[rows, None] + change)
        # What is not finite does not count as a flip, but ranks above what was tried.
        scores = scores.nan_to_num(neginf=torch.finfo(scores.dtype).min).masked_fill(cells.tried[rows], -torch.inf)
        parts.append(scores.topk(min(most, cells.count), dim=1).indices)
    return torch.cat(parts)


# Results of the last stand-in of each classifier, because an attack starts a search for every group of images.
_known: WeakKeyDictionary[AuditedClassifier, tuple[Any, tuple[Tensor, int]]] = WeakKeyDictionary()


def _known_changes(cells: Cells, effort: int) -> Tensor:
    """The result of `_changes`, computed once for a network and a value set; counted for each image of the problem."""
    problem = cells.problem
    if problem.classifier is None:
        raise InputError("the universal search needs the classifier, to evaluate a stand-in image; use best-first")
    module = problem.classifier.module
    weights = [(id(tensor), tensor._version) for tensor in (*module.parameters(), *module.buffers())]
    question = (problem.values, cells.height, cells.width, effort, cells.left.device, weights)
    known = _known.get(problem.classifier)
    if known is None or known[0][0] is not question[0] or known[0][1:] != question[1:]:
        known = _known[problem.classifier] = (question, _changes(cells, problem.classifier, effort))
    problem.each.stand_in += known[1][1]
    return known[1][0]


def _changes(cells: Cells, classifier: AuditedClassifier, effort: int) -> tuple[Tensor, int]:
    """What each cell changes in the logits of the stand-in, shape (H W V, K), and with how many queries."""
    problem, device = cells.problem, cells.left.device
    image = stand_in(problem)
    step = max(1, math.ceil(math.sqrt(cells.count / effort)))
    row, column = (torch.arange(0, size, step, device=device) for size in (cells.height, cells.width))
    option = torch.arange(cells.options, device=device)
    asked = torch.cartesian_prod(row, column, option)
    evaluator = make_evaluator(classifier, image)
    queries = len(asked) + 1
    problem.passes.stand_in += queries
    placed, parts = Placed(problem.values, image), []
    for part in asked.split(_CANDIDATES):
        value = placed.at(part.new_zeros(len(part)), part[:, 0] * cells.width + part[:, 1], part[:, 2])
        rows, columns = part[None, :, 0, None], part[None, :, 1, None]
        parts.append(evaluator(Candidates(part.new_zeros(1), rows, columns, value[None, :, None]))[0])
    change = torch.cat(parts) - evaluator.clean()
    if step == 1:
        return change, queries
    maps = change.unflatten(0, (len(row), len(column), cells.options)).permute(2, 3, 0, 1)  # (V, K, h, w)
    size = ((len(row) - 1) * step + 1, (len(column) - 1) * step + 1)
    maps = torch.nn.functional.interpolate(maps, size=size, mode="bilinear", align_corners=True)
    beyond = (0, cells.width - size[1], 0, cells.height - size[0])
    return torch.nn.functional.pad(maps, beyond, mode="replicate").permute(2, 3, 0, 1).flatten(0, 2), queries


def stand_in(problem: Problem) -> Tensor:
    """A round source in the middle of a dark image, shape (1, C, H, W)."""
    _, _, height, width = problem.images.shape
    y, x = (torch.arange(size, device=problem.images.device) - (size - 1) / 2 for size in (height, width))
    light = torch.exp(-torch.hypot(y[:, None], x[None]) / (_SCALE * max(height, width)))
    low, high = problem.values.low[:, None, None], problem.values.high[:, None, None]
    return (low + (high - low) * _BRIGHTNESS * light)[None].to(problem.images.dtype)
