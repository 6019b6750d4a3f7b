"""What robustkit puts around a network costs no engine: batches of one, decisions, endings, stretches."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from robustkit.engine import make_evaluator
from robustkit.engine.plain import PlainEvaluator
from robustkit.engine.together import TogetherEvaluator
from robustkit.engine.trial import trial_candidates
from robustkit.models import AuditedClassifier
from robustkit.models.choices import Average, Combine
from robustkit.models.decision import cut_at, labels_of, parse_question
from robustkit.models.ensemble import Ensemble, views_of
from robustkit.models.outputs import Output
from tests.engine.contract import random_candidates

SHAPE = (3, 24, 24)


class Net(nn.Module):
    """A chain of convolution stages, as the compiled engine follows them."""

    def __init__(self, columns: int = 3) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Linear(8, columns)

    def features(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.one(x)), 2)
        return torch.max_pool2d(torch.relu(self.two(x)), 2).mean((2, 3), keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.features(x).flatten(1))


class Squeezed(Net):
    """Loses the batch of one: squeeze() takes it for a length."""

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.squeeze(self.features(x)))


class SqueezedMethod(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.features(x).squeeze())


class Tuple(Squeezed):
    """As published finders of lenses return: scores, and their softmax."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        scores = super().forward(x)
        return scores, torch.softmax(scores, -1)


class Soft(Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(super().forward(x), 1)


def _made(network: nn.Module, output: Output | None = None) -> AuditedClassifier:
    torch.manual_seed(0)
    return AuditedClassifier(network.eval(), input_shape=SHAPE, output=output)


WRAPPED: dict[str, Callable[[], AuditedClassifier]] = {
    "nothing": lambda: _made(Net()),
    "a batch of one": lambda: _made(Squeezed()),
    "a batch of one by a method": lambda: _made(SqueezedMethod()),
    "a batch of one in a tuple": lambda: _made(Tuple(), Output(part=0)),
    "one logit": lambda: _made(Net(1)),
    "a threshold": lambda: _made(Net(2), Output(decision=cut_at(0.7, "ab"))),
    "labels": lambda: _made(Net(3), Output(decision=labels_of("abc"))),
    "questions": lambda: _made(Net(5), Output(decision=parse_question("a,b,c; d,e", "abcde"))),
    "probabilities": lambda: _made(Soft(), Output(kind="probabilities")),
}


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_what_is_put_around_a_network_costs_no_engine(wrapped: str) -> None:
    classifier = WRAPPED[wrapped]()
    assert classifier.pairs == wrapped.startswith("a batch")
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    evaluator = make_evaluator(classifier, images)
    assert evaluator.name == "chain", evaluator.reason
    candidates = trial_candidates(images, torch.zeros(3), torch.ones(3), work=1e6)
    answer = evaluator(candidates)
    torch.testing.assert_close(answer, PlainEvaluator(classifier, images)(candidates), rtol=0, atol=1e-4)
    one = evaluator(candidates.select(torch.tensor([0])))
    torch.testing.assert_close(one, answer[:1], rtol=0, atol=1e-4)


TOGETHER: dict[str, tuple[int, str | None, Combine]] = {
    "three": (3, None, "mean"),
    "three, votes": (3, None, "votes"),
    "flips": (1, "flips", "mean"),
    "rotations": (1, "rotations", "mean"),
    "two over all views": (2, "both", "votes"),
}


def _together(name: str, size: tuple[int, int, int] = SHAPE) -> AuditedClassifier:
    count, average, combine = TOGETHER[name]
    members: list[AuditedClassifier] = []
    for seed in range(count):
        torch.manual_seed(seed)
        network = Net(1).eval() if seed == 1 else Net(2).eval()
        members.append(AuditedClassifier(network, input_shape=size))
    made = Ensemble(members, views_of(cast(Average, average), size), combine)
    return AuditedClassifier(made, input_shape=size, output=Output(decision=cut_at(0.45, "ab")))


@pytest.mark.parametrize("name", TOGETHER)
def test_networks_that_answer_together_keep_their_engines(name: str) -> None:
    size = (3, 24, 24) if "flips" not in name else (3, 20, 26)
    classifier = _together(name, size)
    images = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    evaluator = make_evaluator(classifier, images)
    assert isinstance(evaluator, TogetherEvaluator)
    assert evaluator.name == "chain", evaluator.reason
    assert evaluator.why_not_faster == ""
    candidates = random_candidates(images)
    expected = PlainEvaluator(classifier, images)(candidates)
    torch.testing.assert_close(evaluator(candidates), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(evaluator.clean(), classifier(images), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        evaluator(random_candidates(images, pixels=2)),
        PlainEvaluator(classifier, images)(random_candidates(images, pixels=2)), rtol=0, atol=1e-4,
    )  # fmt: skip


def test_an_ensemble_of_networks_that_nothing_follows_is_scored_as_one() -> None:
    class Odd(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if float(x.sum()) > -1e9 else x

    members = [_made(Odd()), _made(Odd())]
    classifier = AuditedClassifier(Ensemble(members), input_shape=SHAPE)
    assert make_evaluator(classifier, torch.rand(2, *SHAPE)).name == "plain"
    mixed = AuditedClassifier(Ensemble([members[0], _made(Net())]), input_shape=SHAPE)
    found = make_evaluator(mixed, torch.rand(2, *SHAPE))
    assert isinstance(found, TogetherEvaluator)
    assert "Odd does not trace" in found.why_not_faster


def test_a_network_that_needs_two_images_for_another_reason_is_left_alone() -> None:
    class Odd(Net):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[0] == 1:
                raise ValueError("expected more than one image")
            return super().forward(x)

    classifier = _made(Odd())
    assert classifier.pairs
    evaluator = make_evaluator(classifier, torch.rand(2, *SHAPE))
    assert evaluator.name == "plain"
    assert "Odd" in evaluator.reason
    assert "Paired" not in evaluator.reason
