"""A small attack loop, and problems with known answers, for the tests of the searches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robustkit.engine import PlainEvaluator
from robustkit.models import AuditedClassifier
from robustkit.perturb.search.base import UNTARGETED, Problem, SearchSettings
from robustkit.perturb.values import Corners
from robustkit.seeds import Streams


class Hill(nn.Module):
    """Class 1 grows with a smooth weight around one pixel of each band: the margin is smooth in position.

    The network is linear, so what a cell does is a formula: weight x (value - clean).
    """

    latent = "look"

    def __init__(self, shape: tuple[int, int, int], *, row: int, column: int, width: float = 3.0, need: float = 0.9):
        super().__init__()
        channels, height, cols = shape
        self.flatten = nn.Flatten()
        self.look = nn.Linear(channels * height * cols, 1)
        self.fc = nn.Linear(1, 3)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(cols), indexing="ij")
        hill = torch.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))
        with torch.no_grad():
            sign = torch.tensor([1.0, -1.0, 1.0])[:channels, None, None]
            self.look.weight.copy_((sign * hill).reshape(1, -1))
            self.look.bias.zero_()
            self.fc.weight.zero_()
            self.fc.weight[1, 0] = 1.0
            self.fc.bias.copy_(torch.tensor([0.0, 0.0, -9.0]))
        self.need = need
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.look(self.flatten(images)))


@dataclass
class Story:
    """What happened to each image: the cells asked in order, and at which query it flipped (0 for never)."""

    asked: list[list[tuple]]
    first_flip: list[int]


def corners(channels: int) -> Corners:
    return Corners(torch.zeros(channels), torch.ones(channels), name="paper")


def make_problem(network: nn.Module, images: Tensor, *, seed: int = 0, gradients: bool = True, **changes) -> Problem:
    classifier = AuditedClassifier(network.eval(), input_shape=images.shape[1:])
    logits = PlainEvaluator(classifier, images).clean().clone()
    return replace(
        Problem(
            images=images,
            clean_logits=logits,
            labels=logits.argmax(1),
            targets=torch.full((len(images),), UNTARGETED),
            values=corners(images.shape[1]),
            streams=Streams(seed, [f"image-{i}" for i in range(len(images))]),
            classifier=classifier if gradients else None,
        ),
        **changes,
    )


def select(problem: Problem, rows: list[int], seed: int = 0) -> Problem:
    """The problem of some of the images, with streams of their own."""
    return replace(
        problem,
        images=problem.images[rows],
        clean_logits=problem.clean_logits[rows],
        labels=problem.labels[rows],
        targets=problem.targets[rows],
        streams=Streams(seed, [f"image-{i}" for i in rows]),
    )


def pursue(search: SearchSettings, problem: Problem, classifier: AuditedClassifier, *, most: int = 10**6) -> Story:
    """Asks until every image flipped, had `most` queries, or the search ends."""
    evaluator = PlainEvaluator(classifier, problem.images)
    under_way = search.start(problem)
    story = Story([[] for _ in range(len(problem))], [0] * len(problem))
    active = torch.arange(len(problem))
    while len(active):
        candidates = under_way.propose(active)
        if candidates is None:
            break
        assert set(candidates.image.tolist()) <= set(active.tolist())
        logits = evaluator(candidates)
        flips = problem.margin(candidates.image, logits) > 0
        for m, row in enumerate(candidates.image.tolist()):
            for p in range(flips.shape[1]):
                pixels = zip(
                    candidates.row[m, p].tolist(),
                    candidates.column[m, p].tolist(),
                    candidates.value[m, p].tolist(),
                    strict=True,
                )
                story.asked[row].append(tuple(sorted((y, x, tuple(value)) for y, x, value in pixels)))
                if flips[m, p] and not story.first_flip[row]:
                    story.first_flip[row] = len(story.asked[row])
        under_way.tell(candidates, logits)
        wanted = [row for row in active.tolist() if not story.first_flip[row] and len(story.asked[row]) < most]
        active = torch.tensor(wanted, dtype=torch.int64)
    return story
