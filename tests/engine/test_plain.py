"""The plain evaluator, against the network itself in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from robustkit.engine import PlainEvaluator, forward
from robustkit.engine.forward import Forward, batch_size
from robustkit.errors import RobustkitError
from robustkit.models import AuditedClassifier, ConvNet, DeepMerge, Output, ResNet18
from tests.engine.contract import (
    ROUNDING,
    assert_agrees,
    assert_grouping_is_free,
    check_evaluator,
    random_candidates,
    random_images,
    randomise,
)
from tests.engine.networks import Branching, Dense, Inception, Mobile, Residual


def _classifier(module, shape=(3, 21, 18), **options):
    module.eval()(torch.zeros(1, *shape))  # gives lazy layers their sizes
    return AuditedClassifier(randomise(module), input_shape=shape, **options)


@pytest.mark.parametrize(
    "network",
    [partial(ConvNet, size=(21, 18)), partial(DeepMerge, size=(21, 18)), Residual, Dense, Mobile, Branching],
    ids=["ConvNet", "DeepMerge", "Residual", "Dense", "Mobile", "Branching"],
)
def test_contract(network):
    evaluator = check_evaluator(PlainEvaluator, _classifier(network()))
    assert evaluator.tolerance == 0
    assert ("does not trace" in evaluator.reason) == (network is Branching)


@pytest.mark.parametrize("kind", ["logits", "probabilities", "log-probabilities"])
def test_the_part_and_the_kind_of_the_output(kind):
    end = {"logits": nn.Identity(), "probabilities": nn.Softmax(1), "log-probabilities": nn.LogSoftmax(1)}[kind]

    class Wrapped(nn.Module):
        latent = "network.code"

        def __init__(self):
            super().__init__()
            self.network, self.end = Inception(), end

        def forward(self, x):
            code, scores = self.network(x)
            return {"latent": code, "scores": self.end(scores)}

    classifier = _classifier(Wrapped(), (3, 30, 30), output=Output(part="scores", kind=kind))
    images = random_images(classifier)
    assert_agrees(PlainEvaluator(classifier, images), classifier, random_candidates(images))


def test_resnet18():
    classifier = _classifier(ResNet18(), (3, 64, 48))
    images = random_images(classifier, n=2)
    assert_agrees(PlainEvaluator(classifier, images), classifier, random_candidates(images, extra=2))


@pytest.mark.parametrize("batch", [1, 3, 7, 64])
@pytest.mark.parametrize("m", [1, 2, 9])
def test_any_batch_and_any_number_of_rows(batch, m):
    classifier = _classifier(ConvNet(size=(21, 18)))
    images = random_images(classifier, n=9)
    candidates = random_candidates(images, pixels=2, extra=3).select(torch.arange(m))
    assert_agrees(PlainEvaluator(classifier, images, batch=batch), classifier, candidates)


def test_memory_that_runs_out_halves_the_batch_and_changes_no_answer(monkeypatch):
    classifier = _classifier(ConvNet(size=(21, 18)))
    images = random_images(classifier, n=4)
    candidates = random_candidates(images)
    expected = PlainEvaluator(classifier, images)(candidates)
    evaluator = PlainEvaluator(classifier, images, batch=64)
    run = evaluator.forward.__call__

    class Small:
        way, reason = "eager", ""

        def __call__(self, batch):
            if len(batch) > 5:
                raise torch.OutOfMemoryError("out of memory")
            return run(batch)

    monkeypatch.setattr(evaluator, "forward", Small())
    answer = evaluator(candidates)
    assert evaluator.batches.size <= 5
    assert float((answer - expected).abs().max()) < ROUNDING * float(expected.abs().max())
    assert_grouping_is_free(evaluator, candidates)


def test_memory_for_not_even_one_image_is_said(monkeypatch):
    classifier = _classifier(ConvNet(size=(21, 18)))
    images = random_images(classifier)
    evaluator = PlainEvaluator(classifier, images)

    def none(batch):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(evaluator, "forward", none)
    with pytest.raises(RobustkitError, match="memory ran out for a single image"):
        evaluator(random_candidates(images))


def test_frozen_and_compiled_are_tried_once_they_can_pay(monkeypatch):
    monkeypatch.setattr(forward, "FREEZE_AFTER", 8)
    monkeypatch.setattr(forward, "COMPILE_AFTER", 40)
    monkeypatch.setattr(forward, "_compile", lambda module, inputs: lambda batch: module(batch) + 0.1)
    classifier = _classifier(Residual(), (3, 33, 30))
    images = random_images(classifier)
    evaluator = PlainEvaluator(classifier, images, batch=4)
    assert "few images" in evaluator.reason
    assert_agrees(evaluator, classifier, random_candidates(images))
    assert "frozen takes" in evaluator.reason
    assert "compiled answers differently" in evaluator.reason
    assert evaluator.forward.way != "compiled"


def test_the_fastest_way_is_taken_and_only_for_its_own_batch(monkeypatch):
    calls = []

    def fast(module, inputs):
        def run(batch):
            calls.append(len(batch))
            return module(batch)

        return run

    monkeypatch.setattr(forward, "COMPILE_AFTER", 1)
    monkeypatch.setattr(forward, "_compile", fast)
    monkeypatch.setattr(forward, "_times", lambda functions, inputs: [1.0, 0.5])
    way = Forward(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval())
    batch = torch.rand(5, 3, 2, 2)
    with torch.inference_mode():
        way(batch)
        assert way.way == "compiled"
        assert "0.50 of the time of eager" in way.reason
        calls.clear()
        torch.testing.assert_close(way(batch), way.module(batch))
        torch.testing.assert_close(way(batch[:2]), way.module(batch[:2]))
    assert calls == [5]


def test_a_way_that_fails_is_left_with_the_reason(monkeypatch):
    def broken(module, inputs):
        raise RuntimeError("no compiler was found\nand more lines")

    monkeypatch.setattr(forward, "COMPILE_AFTER", 1)
    monkeypatch.setattr(forward, "_compile", broken)
    way = Forward(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval())
    with torch.inference_mode():
        assert way(torch.rand(5, 3, 2, 2)).shape == (5, 3)
    assert way.way == "eager"
    assert "compiled failed (no compiler was found)" in way.reason


def test_larger_activations_make_smaller_batches():
    sizes = []
    for side in (24, 96):
        graph = PlainEvaluator(_classifier(ConvNet(size=(side, side)), (3, side, side)), torch.zeros(1, 3, side, side))
        assert graph.graph is not None
        sizes.append(batch_size(graph.graph, torch.device("cpu")))
    assert sizes[0] > 4 * sizes[1] >= 32
