"""All cells of some images: far from the boundary an evaluator decides, and near it the network itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustkit.engine import Candidates, Evaluator
from robustkit.models import AuditedClassifier
from robustkit.models.fronts.splitting import flagged_images
from robustkit.perturb.decision import decide
from robustkit.perturb.proof import ask_network
from robustkit.perturb.search.base import Problem
from robustkit.perturb.search.cells import Cells
from robustkit.perturb.search.orders import Walk

# Candidates at once over all images: a bound of memory that changes no answer.
CANDIDATES = 1 << 17
# Cells of an image on which the evaluator is compared with the network itself, and how much further apart than there
# the two are taken to be at most.
_COMPARED = 16
_SAFETY = 10.0
# Pixels of an image whose best cell is run alone in the end.
_DANGEROUS = 4
# Cells that the network itself takes at once, where it is not asked one by one.
_AT_ONCE = 64
# How much all pixels are changed to see whether the answers jump, relative to their values: the milder change should
# then move the answers ten times less, and is taken to have met a jump if it moves them by more than a third.
_CHANGES = (1e-2, 1e-3)
_SMOOTH = 1 / 3
# A jump of each of the two logits that a margin is made of.
_BOTH = 2.0


class Survey:
    """One block of images on its way through all cells."""

    def __init__(self, problem: Problem, evaluator: Evaluator, network: AuditedClassifier) -> None:
        self.problem, self.evaluator, self.network = problem, evaluator, network
        self.cells = cells = Cells(problem)
        n = len(problem)
        rows = torch.arange(n, device=cells.left.device)
        self.correct = decide(problem.clean_logits) == problem.labels
        self.clean_margin = problem.margin(rows, problem.clean_logits[:, None])
        self.needless = cells.tried.clone()
        self.idle = cells.count - cells.left
        self.idle_somewhere = cells.tried.unflatten(1, (-1, cells.options)).any(2)  # (N, H W)
        counts = [torch.zeros_like(cells.left) for _ in range(5)]
        self.asked, self.flipping, self.broken, self.flagged, self.rechecked = counts
        self.flips = torch.zeros_like(cells.option)  # (N, H W)
        # Of an image that is flagged as it is, all.
        self.flagged += torch.where(flagged_images(network, problem.images), cells.count, 0)
        self.bound, self.jump = self._compare(self.correct.nonzero().squeeze(1))

    def run(self, advance: Callable[[int], Any]) -> None:
        """Tries all cells of the correct images.

        The most dangerous cells are run alone afterwards. An image on which the evaluator is found to err by more
        than was thought is gone through again, with more cells decided by the network.
        """
        rows = self.correct.nonzero().squeeze(1)
        self._pass(rows, advance)
        while len(rows := self._misjudged(rows)):
            self._forget(rows)
            self._pass(rows, lambda count: None)

    def arrays(self, level: float) -> dict[str, np.ndarray]:
        """The array fields of the record that the survey filled."""
        cells, (n, _, height, width) = self.cells, self.problem.images.shape
        # A pixel that some option leaves as it is has the clean margin at least.
        margin = torch.where(self.idle_somewhere, cells.margin.maximum(self.clean_margin), cells.margin)
        margin = margin.masked_fill(margin.isneginf() | ~self.correct[:, None], torch.nan)
        best, pixel = cells.margin.max(1)
        tried = best.isfinite()
        value = cells.values(torch.arange(n, device=pixel.device), pixel, cells.option.gather(1, pixel[:, None])[:, 0])
        tensors = {
            "correct": self.correct,
            "idle": self.idle,
            "queries": self.asked,
            "flipping": self.flipping,
            "not_finite": self.broken,
            "flagged": self.flagged,
            "out_of_memory": torch.zeros_like(self.correct),
            "rechecked": self.rechecked,
            "best_margin": torch.where(tried, best, torch.nan),
            "best_row": torch.where(tried, pixel // width, -1),
            "best_column": torch.where(tried, pixel % width, -1),
            "best_value": torch.where(tried[:, None], value, torch.nan),
            "error_bound": torch.where(self.correct, self.bound, torch.nan),
            "margin_map": margin.view(n, height, width),
            "flips_map": self.flips.view(n, height, width).int(),
        }
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()} | self._counted(level)

    def _pass(self, rows: Tensor, advance: Callable[[int], Any]) -> None:
        cells = self.cells
        walk = Walk(cells, lambda some, place: place)
        while True:
            left = cells.left[rows]
            rows, left = rows[left > 0], left[left > 0]
            if len(rows) == 0:
                return
            asked = walk.fill(rows, min(max(1, CANDIDATES // len(rows)), int(left.min())))
            self.ask(rows, asked)
            advance(asked.numel())

    def ask(self, rows: Tensor, asked: Tensor) -> Tensor:
        """Tries untried cells, shape (M, P), of images `rows`, shape (M,).

        Returns:
            Which of them flip their image or give output that is not finite, shape (M, P), bool.
        """
        candidates = self.cells.candidates(rows, asked)
        margins = self.problem.margin(rows, self.evaluator(candidates))
        flagged = getattr(self.evaluator, "flagged", None)  # of these candidates, by a front end that flags
        seen = torch.zeros_like(asked, dtype=torch.bool) if flagged is None else flagged
        flips = margins > 0
        # An evaluator may say itself how far one of its logits may lie; a margin is a difference of two.
        said = max(self.jump, 2 * float(self.evaluator.tolerance))
        doubtful = (margins.abs() <= self.bound[rows, None].clamp(min=said)) | (margins.isneginf() & ~seen)
        m, p = doubtful.nonzero(as_tuple=True)
        if len(m):
            near = _single(candidates, m, p)
            margins[m, p], flips[m, p] = self._decided(near, margins[m, p].isneginf(), said)
            self.rechecked.index_add_(0, near.image, torch.ones_like(near.image))
        self.cells.record(rows, asked, margins)
        self.asked[rows] += asked.shape[1]
        self.flipping[rows] += flips.sum(1)
        broken = margins.isneginf() & ~seen
        self.broken[rows] += broken.sum(1)
        self.flagged[rows] += seen.sum(1)
        m, p = flips.nonzero(as_tuple=True)
        place = rows[m] * self.flips.shape[1] + self.cells.split(asked[m, p])[0]
        self.flips.view(-1).index_add_(0, place, torch.ones_like(place))
        return flips | broken

    @torch.inference_mode()
    def _decided(self, near: Candidates, broken: Tensor, said: float) -> tuple[Tensor, Tensor]:
        """Margins and flips of single candidates, by the network itself, shape (M,) each.

        Each is run alone, but for those whose output is not finite: of these there may be many, and the network says
        the same of a batch of them.
        """
        image, alone = near.image, ~broken
        logits = self.problem.clean_logits.new_full((len(image), 1, self.problem.clean_logits.shape[1]), torch.nan)
        if bool(broken.any()):
            logits[broken] = self._ask_itself(near.select(broken), at_once=_AT_ONCE)
            margins = self.problem.margin(image, logits)[:, 0]
            alone |= broken & (margins.abs() <= self.bound[image].clamp(min=said))
        if bool(alone.any()):
            logits[alone] = self._ask_itself(near.select(alone))
        return self.problem.margin(image, logits)[:, 0], self.problem.flips(image, logits)[:, 0]

    def _ask_itself(self, single: Candidates, **options: Any) -> Tensor:
        return ask_network(self.network, self.problem.images, single, **options)

    def _misjudged(self, rows: Tensor) -> Tensor:
        """Runs the most dangerous cells of some images alone; which images the bound of their errors was too small for.

        Where it was not, the margins of these cells become the network's own.
        """
        margins, pixel = self.cells.margin[rows].topk(min(_DANGEROUS, self.cells.margin.shape[1]))
        m, p = margins.isfinite().nonzero(as_tuple=True)
        if len(m) == 0:
            return rows[:0]
        image, at = rows[m], pixel[m, p]
        cells = at * self.cells.options + self.cells.option[image, at]
        own = self.problem.margin(image, self._ask_itself(self.cells.candidates(image, cells[:, None])))[:, 0]
        apart = (own - margins[m, p]).abs().masked_fill(own.isneginf(), torch.inf)
        self.cells.margin[image, at] = own
        worst = torch.zeros_like(self.bound).scatter_reduce(0, image, apart, "amax")
        wrong = rows[worst[rows] > self.bound[rows]]
        self.bound[wrong] = _SAFETY * worst[wrong]
        return wrong

    def _forget(self, rows: Tensor) -> None:
        """Puts some images back to where no cell was tried."""
        cells = self.cells
        cells.tried[rows] = self.needless[rows]
        cells.margin[rows], cells.option[rows], cells.left[rows] = -torch.inf, 0, cells.count - self.idle[rows]
        for counts in (self.asked, self.flipping, self.broken, self.flagged, self.rechecked, self.flips):
            counts[rows] = 0

    def _counted(self, level: float) -> dict[str, np.ndarray]:
        """What is known of the number of cells that flip: after a complete pass the number itself.

        Args:
            level: Confidence level, where the number is only bounded.
        """
        correct = self.correct.cpu().numpy()
        least, most = (count.cpu().numpy() for count in (self.flipping, self.flipping + self.broken))
        chances = {"chance_low": least, "chance_high": most}
        found = {name: np.where(correct, count / self.cells.count, np.nan) for name, count in chances.items()}
        return found | {"drawn_at_random": np.zeros_like(least), "at_most": np.where(correct, most, 0)}

    def _compare(self, rows: Tensor) -> tuple[Tensor, float]:
        """How far the evaluator's margins are taken to lie from the network's own, (N,), and how far these jump."""
        bound = self.problem.images.new_zeros(len(self.problem))
        cells = torch.from_numpy(self.problem.streams.integers(self.cells.count, _COMPARED)).to(rows.device)
        if len(rows) == 0:
            return bound, 0.0
        candidates = self.cells.candidates(rows, cells[rows])
        every = torch.arange(len(rows), device=rows.device).repeat_interleave(_COMPARED)
        single = _single(candidates, every, torch.arange(_COMPARED, device=rows.device).repeat(len(rows)))
        logits = self._ask_itself(single)
        own = self.problem.margin(single.image, logits).view(len(rows), -1)
        apart = (self.problem.margin(rows, self.evaluator(candidates)) - own).abs()
        # What is not finite lies nowhere near the boundary, and says nothing about rounding.
        apart, size = (torch.where(values.isfinite(), values, 0) for values in (apart, logits.abs()))
        rounding = size.amax((1, 2)).view(len(rows), -1).amax(1) * torch.finfo(torch.float32).eps
        bound[rows] = _SAFETY * torch.maximum(apart.amax(1), rounding)
        some = torch.arange(len(single.image), device=rows.device)[: 8 * _COMPARED]
        return bound, jump(self.network, self.problem, single.select(some), logits[some])


def _single(candidates: Candidates, m: Tensor, p: Tensor) -> Candidates:
    """Some of the candidates, each in a row of its own: M rows of P = 1."""
    return Candidates(
        candidates.image[m], candidates.row[m, p, None], candidates.column[m, p, None], candidates.value[m, p, None]
    )


def jump(classifier: AuditedClassifier, problem: Problem, single: Candidates, logits: Tensor) -> float:
    """By how much the margins of a network jump where its answers come in steps; 0 where they do not.

    The smallest difference of rounding, such as between one image alone and in a batch, can make a network with
    rounding inside answer a step higher. Where that happens is not seen among a few candidates, so that all pixels are
    changed by far more than rounding: an answer without jumps then moves in proportion.

    Args:
        classifier: The network.
        problem: The images.
        single: M candidates of P = 1.
        logits: What the network says of them, shape (M, 1, K).
    """
    moved = [
        (ask_network(classifier, problem.images, single, at_once=_AT_ONCE, change=change) - logits).abs()
        for change in _CHANGES
    ]
    most, least = (float(torch.where(one.isfinite(), one, 0).max()) for one in moved)
    still = float((moved[0] == 0).float().mean())
    return _BOTH * max(most, least) if least > _SMOOTH * most or (still > 0.5 and most > 0) else 0.0
