"""Differential evolution over position and value of the pixels, batched over images and population together."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from robustkit.engine import Candidates
from robustkit.errors import InputError
from robustkit.perturb.search.base import UNTARGETED, Problem, Search
from robustkit.words import no_such

Form = Literal["published", "best1bin"]
Fitness = Literal["probability", "margin"]

# The published code abandons an image after this many generations if no candidate has this probability.
_GIVE_UP_AFTER = 80
_GIVE_UP_BELOW = 0.4


@dataclass(frozen=True)
class DifferentialEvolution:
    """Settings of differential evolution.

    A candidate is a vector of genes in [0, 1]: row, column and one value per band, for each pixel. `published` is the
    search of DeepAdversaries to the letter: rand/1 with a fixed weight and no crossover, donors that may be the parent
    itself, genes out of range redrawn, a child that replaces its own parent only if it is fitter, positions rounded
    to the nearest pixel, first values from a clipped normal distribution. `best1bin` is SciPy's default strategy: the
    best of the population plus a difference whose weight is drawn for every generation, with binomial crossover.

    Attributes:
        form: `published` or `best1bin`.
        population: P, the number of candidates per generation, at least 4.
        generations: Number of generations after the first population when the attack has no budget.
        fitness: `probability` of the target (untargeted, of any class but the label), or the `margin` of the logits.
        weight: F of `published`; `best1bin` draws it from [0.5, 1).
        crossover: The chance that `best1bin` takes a gene from the mutant, in [0, 1].

    Source: Storn & Price 1997, doi:10.1023/A:1008202821328; Su et al. 2019, doi:10.1109/TEVC.2019.2890858;
    Ciprijanovic et al. 2022, doi:10.1088/2632-2153/ac7f1a.
    """

    form: Form = "published"
    population: int = 400
    generations: int = 80
    fitness: Fitness = "probability"
    weight: float = 0.5
    crossover: float = 0.7

    def __post_init__(self) -> None:
        for field, kind in (("form", Form), ("fitness", Fitness)):
            if getattr(self, field) not in get_args(kind):
                raise InputError(no_such(field, getattr(self, field), get_args(kind)))
        if self.population < 4:
            raise InputError(f"population must be at least 4, got {self.population}")
        if self.generations < 0:
            raise InputError(f"generations must be at least 0, got {self.generations}")
        if not 0 <= self.crossover <= 1:
            raise InputError(f"crossover must be in [0, 1], got {self.crossover}")

    @property
    def name(self) -> str:
        """`de` for the published form, `de-best1bin` for the other."""
        return "de" if self.form == "published" else f"de-{self.form}"

    def start(self, problem: Problem) -> Search:
        """Begins the search on a problem."""
        return _Published(self, problem) if self.form == "published" else Best1Bin(self, problem)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {"name": self.name, **asdict(self)}


def best1bin() -> DifferentialEvolution:
    """SciPy's default strategy, by its name on the command line, `de-best1bin`."""
    return DifferentialEvolution(form="best1bin")


class _Evolution:
    """The part common to both forms: the state of the images still searched, decoding, fitness and selection."""

    replaces_on_tie: ClassVar[bool]

    def __init__(self, settings: DifferentialEvolution, problem: Problem) -> None:
        self.settings = settings
        self.problem = problem
        self.bands = problem.images.shape[1]
        self.genes = problem.pixels * (2 + self.bands)
        self.clean = problem.images.permute(0, 2, 3, 1).flatten(0, 2)  # one clean pixel per row
        self.rows = torch.arange(len(problem), device=problem.images.device)
        self.streams = problem.streams
        self.told = 0  # populations whose fitness is known
        last = settings.generations + 1
        self.populations = last if problem.budget is None else math.ceil(problem.budget / settings.population)
        self.population = self.trial = problem.images.new_empty(0)  # (N, P, D)
        self.fitness = problem.images.new_empty(0)  # (N, P)

    def first(self) -> Tensor:
        """The first population, shape (N, P, D)."""
        raise NotImplementedError

    def children(self) -> Tensor:
        """The next generation, shape (N, P, D)."""
        raise NotImplementedError

    def cell(self, gene: Tensor, size: int) -> Tensor:
        """The pixel row or column, in [0, size), that a gene in [0, 1] stands for."""
        return (gene * size).long().clamp_(max=size - 1)

    def given_up(self) -> Tensor | None:
        """The images that this form abandons, shape (N,); `None` for none."""
        return None

    def propose(self, active: Tensor) -> Candidates | None:
        """The next candidates; see `Search`."""
        if self.told >= self.populations:
            return None
        self._keep(active)
        if len(self.rows) == 0:
            return None
        self.trial = self.children() if self.told else self.first()
        return self._decode(self.trial)

    def tell(self, candidates: Candidates, logits: Tensor) -> None:
        """A child takes its parent's place if it is fitter."""
        fitness = self._fitness(candidates.image, logits)
        if self.told == 0:
            self.population, self.fitness = self.trial, fitness
        else:
            won = fitness >= self.fitness if self.replaces_on_tie else fitness > self.fitness
            self.population = torch.where(won[..., None], self.trial, self.population)
            self.fitness = torch.where(won, fitness, self.fitness)
        self.told += 1

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1) from each image's own stream, shape (N, *shape)."""
        return torch.from_numpy(self.streams.uniform(*shape)).to(self.rows.device)

    def donors(self, index: Tensor) -> Tensor:
        """Members of each image's own population: indices (N, P) to genes (N, P, D)."""
        n, p, d = self.population.shape
        offset = torch.arange(0, n * p, p, device=index.device)[:, None]
        return self.population.view(n * p, d).index_select(0, (index + offset).view(-1)).view(n, -1, d)

    def redrawn(self, mutant: Tensor, fresh: Tensor) -> Tensor:
        """Redraws genes outside [0, 1]."""
        return torch.where(mutant == mutant.clamp(0, 1), mutant, fresh)

    def _keep(self, active: Tensor) -> None:
        wanted = torch.isin(self.rows, active)
        over = self.given_up()
        if over is not None:
            wanted &= ~over
        if bool(wanted.all()):
            return
        self.streams = self.streams.select(wanted.nonzero().squeeze(1).cpu().numpy())
        self.rows = self.rows[wanted]
        if self.told:
            self.population, self.fitness = self.population[wanted], self.fitness[wanted]

    def _decode(self, genes: Tensor) -> Candidates:
        height, width = self.problem.images.shape[2:]
        pixels = genes.unflatten(2, (self.problem.pixels, 2 + self.bands))  # (N, P, L, 2 + C)
        row, column = self.cell(pixels[..., 0], height), self.cell(pixels[..., 1], width)
        place = (self.rows[:, None, None] * height + row) * width + column
        clean = self.clean.index_select(0, place.view(-1)).view(*place.shape, self.bands)  # (N, P, L, C)
        return Candidates(self.rows, row, column, self.problem.values.point(clean, pixels[..., 2:]))

    def _fitness(self, rows: Tensor, logits: Tensor) -> Tensor:
        if self.settings.fitness == "margin":
            return self.problem.margin(rows, logits)
        label, target = self.problem.labels[rows], self.problem.targets[rows]
        untargeted = target == UNTARGETED
        chosen = torch.where(untargeted, label, target)
        # The logarithm has the order of the probability and does not round to 0 or 1 far from the boundary. Classes
        # come first, because a softmax over the last of three short axes is several times slower.
        scores = logits.permute(2, 0, 1).contiguous().log_softmax(0)  # (K, M, P)
        score = scores[chosen, torch.arange(len(chosen), device=chosen.device)]
        score = torch.where(untargeted[:, None], -score, score)
        return torch.where(scores.sum(0).isfinite(), score, torch.full_like(score, -torch.inf))


class _Published(_Evolution):
    """rand/1 as in the code that DeepAdversaries published."""

    replaces_on_tie = False

    def first(self) -> Tensor:
        size, pixels = self.settings.population, self.problem.pixels
        place = self.uniform(size, pixels, 2)
        value = torch.from_numpy(self.streams.normal(size, pixels, self.bands)).to(place.device)
        return torch.cat([place, (0.5 + 0.5 * value).clamp_(0, 1)], 3).flatten(2)

    def children(self) -> Tensor:
        size = self.settings.population
        draws = self.uniform(size, 3 + self.genes)
        one, two, three = distinct(draws[..., :3], size)
        mutant = self.donors(one) + self.settings.weight * (self.donors(two) - self.donors(three))
        return self.redrawn(mutant, draws[..., 3:])

    def cell(self, gene: Tensor, size: int) -> Tensor:
        """Rounded and clipped: the first pixel gets half a share, the last one and a half."""
        return (gene * size).round_().long().clamp_(max=size - 1)

    def given_up(self) -> Tensor | None:
        if self.settings.fitness != "probability" or self.told - 1 <= _GIVE_UP_AFTER:
            return None
        hopeless = self.fitness.amax(1) < math.log(_GIVE_UP_BELOW)
        return hopeless & (self.problem.targets[self.rows] != UNTARGETED)


class Best1Bin(_Evolution):
    """best/1/bin with a dithered weight, as in SciPy."""

    replaces_on_tie = True

    def first(self) -> Tensor:
        """Uniform numbers."""
        return self.uniform(self.settings.population, self.genes)

    def children(self) -> Tensor:
        """The best plus a weighted difference, crossed with each parent."""
        size, genes = self.settings.population, self.genes
        weight = 0.5 + 0.5 * self.uniform(1, 1)
        draws = self.uniform(size, 3 + 2 * genes)
        # Two donors, distinct from each other and from the parent: counted from the parent round the population.
        one, two = distinct(draws[..., :2], size - 1)
        parent = torch.arange(1, size + 1, device=one.device)
        best = self.donors(self.fitness.argmax(1, keepdim=True))
        step = self.donors((one + parent) % size) - self.donors((two + parent) % size)
        mutant = self.redrawn(best + weight * step, draws[..., 3 : 3 + genes])
        crossed = draws[..., 3 + genes :] < self.settings.crossover
        always = (draws[..., 2:3] * genes).long()  # at least one gene comes from the mutant
        crossed |= torch.arange(genes, device=always.device) == always
        return torch.where(crossed, mutant, self.population)


def distinct(uniform: Tensor, size: int) -> list[Tensor]:
    """Indices in [0, size) that differ from each other, from uniform numbers.

    Args:
        uniform: Shape (..., J), in [0, 1), J at most 3.
        size: Number of indices to choose from.

    Returns:
        J tensors of shape (...), int64; each ordered choice is equally likely.
    """
    count = uniform.shape[-1]
    one, *rest = ((uniform[..., j] * (size - j)).long().clamp_(max=size - j - 1) for j in range(count))
    if count == 1:
        return [one]
    two = rest[0] + (rest[0] >= one)
    if count == 2:
        return [one, two]
    low, high = torch.minimum(one, two), torch.maximum(one, two)
    three = rest[1] + (rest[1] >= low)
    return [one, two, three + (three >= high)]
