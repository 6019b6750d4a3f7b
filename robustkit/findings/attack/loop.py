"""The loop of the attack: propose, score, prove, tell, until every image is flipped or done with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from robustkit.engine import Candidates, Evaluator
from robustkit.errors import InputError
from robustkit.findings.attack.record import TARGETS, Attempt, Flip
from robustkit.models import AuditedClassifier
from robustkit.perturb.decision import decide
from robustkit.perturb.proof import FlipRule, Proof, prove
from robustkit.perturb.search.base import UNTARGETED, Passes, Problem, SearchSettings
from robustkit.perturb.search.differential_evolution import DifferentialEvolution
from robustkit.perturb.values import ValueSet
from robustkit.records import NOT_FINITE
from robustkit.seeds import Streams

Scorer = Callable[[Candidates], Tensor]
Targeted = Literal["in-turn", "each"] | None
Report = Literal["first", "best"]

# Candidates in one call of the evaluator: many enough for its speed, few enough for a bar that moves.
_CUT = 16_384


@dataclass(frozen=True, eq=False)
class AttackSettings:
    """Everything that decides the answer of an attack.

    Attributes:
        searches: Run side by side on the same images; their names must differ.
        values: What a pixel may become.
        seed: Of all random streams, at least 0.
        budget: The most queries per image, for each search and target; `None` for each search's own end.
        pixels: L, how many pixels a candidate overwrites.
        targeted: As in `AttackRequest`.
        rule: What counts as a flip.
        report: Which flip of a generation is kept: the `first`, at whose candidate the queries end, or the `best`,
            the one of highest probability, as in the published code, with the whole generation counted.
    """

    searches: tuple[SearchSettings, ...]
    values: ValueSet
    seed: int
    budget: int | None = None
    pixels: int = 1
    targeted: Targeted = None
    rule: FlipRule = field(default_factory=FlipRule)
    report: Report = "first"

    def __post_init__(self) -> None:
        names = [search.name for search in self.searches]
        if not names or len(set(names)) != len(names):
            raise InputError(f"expected one or more searches with different names, got {', '.join(names) or 'none'}")
        if self.seed < 0:
            raise InputError(f"the seed must be at least 0, got {self.seed}")
        if self.budget is not None and self.budget < 1:
            raise InputError(f"the budget must be at least 1 query per image, got {self.budget}")
        if self.pixels < 1:
            raise InputError(f"an attack changes at least 1 pixel, got {self.pixels}")
        if self.targeted not in (None, *TARGETS):
            raise InputError(f"expected targeted to be None, 'in-turn' or 'each', got {self.targeted!r}")

    def attempts(self, classes: int) -> int:
        """How many attempts a correct image of a classifier of so many classes gets."""
        return len(self.searches) * (classes - 1 if self.targeted == "each" else 1)

    def most_candidates(self, cells: int, classes: int) -> float:
        """The most candidates that an image may cost, over all searches and targets; those of a stand-in not counted.

        Args:
            cells: Number of cells per image.
            classes: How many classes there are.
        """
        turns = classes - 1 if self.targeted else 1
        return turns * sum(self.budget or _own_end(search, cells) for search in self.searches)

    def describe(self) -> str:
        """A few words for the terminal: which searches, how far, and to which classes."""
        names = " and ".join(search.name for search in self.searches)
        most = "to each search's own end" if self.budget is None else f"with at most {self.budget:,} queries"
        targets = {None: "any other class", "in-turn": "each wrong class in turn", "each": "each wrong class"}
        return f"{names}, {most}, to {targets[self.targeted]}"

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {
            "searches": [search.to_json() for search in self.searches],
            "values": self.values.to_json(),
            "seed": self.seed,
            "budget": self.budget,
            "pixels": self.pixels,
            "targeted": self.targeted,
            "success": "argmax" if self.rule.probability is None else self.rule.probability,
            "report": self.report,
        }


def _own_end(search: SearchSettings, cells: int) -> int:
    """How many queries a search asks at most where no budget ends it."""
    if isinstance(search, DifferentialEvolution):
        return search.population * (search.generations + 1)
    most: int | None = getattr(search, "queries", None) or getattr(search, "top", None)
    return most or cells


@dataclass
class Cost(Passes):
    """What one search has cost so far; `Passes` besides.

    Attributes:
        seconds: In all.
        scoring_seconds: In the evaluator.
        proving_seconds: In the proofs of flips.
        candidates: How many were scored, those after a flip in the same generation included.
    """

    seconds: float = 0.0
    scoring_seconds: float = 0.0
    proving_seconds: float = 0.0
    candidates: int = 0

    @property
    def rate(self) -> float:
        """Candidates per second, those of a stand-in image among them."""
        return (self.candidates + self.stand_in) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, eq=False)
class Block:
    """Images that are attacked at once.

    Attributes:
        classifier: The classifier.
        scorer: Scores candidates against these images.
        tolerance: How far its logits may lie from the network's own, so far.
        images: Clean network input, shape (N, C, H, W).
        labels: Predicted and true class, shape (N,).
        clean_logits: Shape (N, K).
        ids: Ids, length N.
    """

    classifier: AuditedClassifier
    scorer: Scorer
    tolerance: Callable[[], float]
    images: Tensor
    labels: Tensor
    clean_logits: Tensor
    ids: list[str]

    def problem(
        self, where: Tensor, targets: Tensor, settings: AttackSettings, purpose: str, passes: Passes | None = None
    ) -> Problem:
        """Some of the images as a problem for a search; `purpose` names its random streams."""
        return Problem(
            images=self.images[where],
            clean_logits=self.clean_logits[where],
            labels=self.labels[where],
            targets=targets,
            values=settings.values,
            streams=Streams(settings.seed, [self.ids[i] for i in where.tolist()], purpose=purpose),
            pixels=settings.pixels,
            classifier=self.classifier,
            budget=settings.budget,
            passes=passes or Passes(),
        )


def watched(evaluator: Evaluator, beat: Callable[[int], Any]) -> Scorer:
    """An evaluator that shows signs of life: large calls are cut, and after each cut the progress bar is told."""

    def score(candidates: Candidates) -> Tensor:
        images = max(1, _CUT // max(1, candidates.row.shape[1]))
        parts = []
        for rows in torch.arange(len(candidates.image), device=candidates.image.device).split(images):
            parts.append(evaluator(candidates.select(rows)))
            beat(0)
        return torch.cat(parts)

    return score


def pursue(
    block: Block, rows: list[int], search: SearchSettings, settings: AttackSettings, cost: Cost
) -> Iterator[Attempt]:
    """All attempts of one search on images of a block, each as soon as it is finished.

    Args:
        block: The images.
        rows: Which of them, ascending.
        search: The search.
        settings: Of the attack.
        cost: Is added to.
    """
    wrong = wrong_classes(block.labels, block.clean_logits.shape[1]) if settings.targeted else None
    turns = 1 if wrong is None else wrong.shape[1]
    spent: dict[str, Attempt] = {}  # what earlier targets cost, where they are tried in turn
    where = torch.tensor(rows, dtype=torch.int64, device=block.labels.device)
    for turn in range(turns):
        if len(where) == 0:
            return
        targets = torch.full_like(where, UNTARGETED) if wrong is None else wrong[where, turn]
        unfinished: list[int] = []
        for row, attempt in _one_target(block, where, targets, turn, search, settings, cost):
            before = spent.get(attempt.image_id)
            if before is not None:
                counts = ("queries", "unproved", "not_finite", "gradient", "partial")
                both = {name: getattr(before, name) + getattr(attempt, name) for name in counts}
                # All targets share the queries of one stand-in image.
                attempt = replace(attempt, **both, stand_in=max(before.stand_in, attempt.stand_in))
            if settings.targeted == "in-turn" and attempt.flip is None and turn + 1 < turns:
                spent[attempt.image_id] = attempt
                unfinished.append(int(where[row]))
            else:
                yield attempt
        if settings.targeted == "in-turn":
            where = torch.tensor(sorted(unfinished), dtype=torch.int64, device=where.device)


def wrong_classes(labels: Tensor, classes: int) -> Tensor:
    """The classes that each label is not, ascending, shape (N, K - 1)."""
    turn = torch.arange(classes - 1, device=labels.device)
    return turn + (turn >= labels[:, None])


def _one_target(
    block: Block,
    where: Tensor,
    targets: Tensor,
    turn: int,
    search: SearchSettings,
    settings: AttackSettings,
    cost: Cost,
) -> Iterator[tuple[int, Attempt]]:
    """Attempts on some images of a block for one target each, with their rows among these images."""
    problem = block.problem(where, targets, settings, f"{search.name}/{turn}", cost)
    ids = [block.ids[i] for i in where.tolist()]
    began = time.perf_counter()
    under_way = search.start(problem)
    cost.seconds += time.perf_counter() - began
    tally = _Tally(block, problem, ids, search.name, settings, cost)
    while len(tally.active):
        began = time.perf_counter()
        candidates = under_way.propose(tally.active)
        if candidates is None:
            break
        candidates = tally.within_budget(candidates)
        scored = time.perf_counter()
        logits = block.scorer(replace(candidates, image=where[candidates.image]))
        cost.scoring_seconds += time.perf_counter() - scored
        cost.candidates += len(candidates)
        finished = tally.count(candidates, logits)
        if len(tally.active):
            under_way.tell(candidates, logits)
        cost.seconds += time.perf_counter() - began
        yield from finished
    yield from tally.unfinished()


class _Tally:
    """What each image of a problem has had so far: queries, generations, failed proofs, broken answers."""

    def __init__(
        self,
        block: Block,
        problem: Problem,
        ids: list[str],
        search: str,
        settings: AttackSettings,
        cost: Cost,
    ) -> None:
        self.block, self.problem, self.ids = block, problem, ids
        self.search, self.settings, self.cost = search, settings, cost
        self.active = torch.arange(len(problem), device=problem.images.device)
        n = len(problem)
        self.queries, self.generations, self.unproved, self.not_finite = (np.zeros(n, dtype=np.int64) for _ in range(4))

    def left(self, rows: np.ndarray) -> np.ndarray:
        """How many queries the budget still allows each of some images."""
        if self.settings.budget is None:
            return np.full(len(rows), np.iinfo(np.int64).max)
        return self.settings.budget - self.queries[rows]

    def within_budget(self, candidates: Candidates) -> Candidates:
        """Drops what no image may still ask; a search that proposed for all images will not be told again."""
        allowed = int(self.left(candidates.image.cpu().numpy()).max())
        if len(candidates.image) < len(self.active) or allowed >= candidates.row.shape[1]:
            return candidates
        row, column, value = (part[:, :allowed] for part in (candidates.row, candidates.column, candidates.value))
        return Candidates(candidates.image, row, column, value)

    def count(self, candidates: Candidates, logits: Tensor) -> list[tuple[int, Attempt]]:
        """Counts a generation, proves its flips, and returns the attempts that it finished."""
        rows, size = candidates.image.cpu().numpy(), logits.shape[1]
        reached = self.settings.rule.reached(self.problem, candidates.image, logits)
        # What lies so near to the boundary that rounding could decide is run alone as well.
        tried = reached | self.settings.rule.near(self.problem, candidates.image, logits, self.block.tolerance())
        counted = np.minimum(self.left(rows), size)
        tried &= torch.arange(size, device=tried.device) < torch.from_numpy(counted).to(tried.device)[:, None]
        self.generations[rows] += 1
        broken = np.pad((decide(logits) == NOT_FINITE).cumsum(1).cpu().numpy(), ((0, 0), (1, 0)))  # among the first p
        finished: list[tuple[int, Attempt]] = []
        for m in tried.any(1).nonzero().squeeze(1).tolist():
            began = time.perf_counter()
            flip = self._proved(candidates, logits, m, tried[m].nonzero().squeeze(1), reached[m])
            self.cost.proving_seconds += time.perf_counter() - began
            if flip is None:
                continue
            if self.settings.report == "first":
                counted[m] = flip[0] + 1
            self.queries[rows[m]] += counted[m]
            self.not_finite[rows[m]] += broken[m, counted[m]]
            counted[m] = 0
            finished.append((int(rows[m]), self._attempt(rows[m], flip[1])))
        self.queries[rows] += counted
        self.not_finite[rows] += broken[np.arange(len(rows)), counted]
        flipped = {row for row, _ in finished}
        if self.settings.budget is not None:
            spent = (self.queries[rows] >= self.settings.budget).nonzero()[0]
            finished += [(int(rows[m]), self._attempt(rows[m], None)) for m in spent if int(rows[m]) not in flipped]
        if finished:
            over = torch.tensor([row for row, _ in finished], device=self.active.device)
            self.active = self.active[~torch.isin(self.active, over)]
        return finished

    def unfinished(self) -> list[tuple[int, Attempt]]:
        """The attempts on images that the search has nothing left for."""
        return [(row, self._attempt(row, None)) for row in self.active.tolist()]

    def _proved(
        self, candidates: Candidates, logits: Tensor, m: int, places: Tensor, reached: Tensor
    ) -> tuple[int, Flip] | None:
        """The first flip of row m that stands alone, or the best, with its place in the generation."""
        if self.settings.report == "best":
            certainty = logits[m, places].softmax(1).amax(1)
            places = places[certainty.argsort(descending=True, stable=True)]
        row = int(candidates.image[m])
        for place in places.tolist():
            one = slice(place, place + 1)
            pixels = Candidates(
                candidates.image[m : m + 1],
                candidates.row[m : m + 1, one],
                candidates.column[m : m + 1, one],
                candidates.value[m : m + 1, one],
            )
            proof = prove(self.block.classifier, self.problem, row, pixels, self.settings.rule)
            if proof is not None:
                return place, self._flip(row, pixels, proof)
            self.unproved[row] += int(reached[place])
        return None

    def _flip(self, row: int, pixels: Candidates, proof: Proof) -> Flip:
        at_row, at_column = pixels.row[0, 0], pixels.column[0, 0]  # (L,)
        before = self.problem.images[row, :, at_row, at_column].T  # (L, C)
        return Flip(
            new_class=int(decide(proof.logits)),
            row=tuple(at_row.tolist()),
            column=tuple(at_column.tolist()),
            before=_rows(before),
            after=_rows(pixels.value[0, 0]),
            probabilities=tuple(proof.logits.cpu().double().softmax(0).tolist()),
            latent_distance=proof.latent_distance,
        )

    def _attempt(self, row: Any, flip: Flip | None) -> Attempt:
        return Attempt(
            image_id=self.ids[row],
            search=self.search,
            target=int(self.problem.targets[row]),
            generations=int(self.generations[row]),
            queries=int(self.queries[row]),
            unproved=int(self.unproved[row]),
            flip=flip,
            not_finite=int(self.not_finite[row]),
            **asdict(self.problem.each),
        )


def _rows(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())
