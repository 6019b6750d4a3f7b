"""Which evaluator is taken, and that it says why."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustkit.engine import IncrementalEvaluator, PlainEvaluator, make_evaluator
from robustkit.engine.follower import Follower
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier, ConvNet
from tests.engine.contract import assert_agrees, check_evaluator, random_candidates, random_images, randomise
from tests.engine.networks import Branching, Dense


def _classifier(module, shape, **options):
    module.eval()(torch.zeros(1, *shape))
    return AuditedClassifier(randomise(module), input_shape=shape, **options)


@pytest.fixture(scope="module")
def chain():
    torch.manual_seed(0)
    return _classifier(ConvNet(size=(40, 40)), (3, 40, 40))


@pytest.fixture(scope="module")
def dense():
    torch.manual_seed(0)
    return _classifier(Dense(), (3, 30, 27))


def test_auto_takes_the_chain(chain):
    evaluator = make_evaluator(chain, random_images(chain))
    assert isinstance(evaluator, IncrementalEvaluator)
    assert evaluator.name == "chain"
    assert "compiled kernel" in evaluator.reason


def test_auto_takes_windows_where_there_is_no_chain(dense):
    evaluator = make_evaluator(dense, random_images(dense))
    assert isinstance(evaluator, IncrementalEvaluator)
    assert evaluator.name == "incremental"
    assert "layers on windows" in evaluator.reason


def test_auto_takes_the_plain_one_where_nothing_else_follows():
    classifier = _classifier(Branching(), (3, 14, 13))
    evaluator = check_evaluator(make_evaluator, classifier, n=2, extra=4)
    assert isinstance(evaluator, PlainEvaluator)
    assert evaluator.name == "plain"
    assert "does not trace" in evaluator.reason


def test_auto_takes_the_plain_one_where_windows_save_nothing():
    class Global(nn.Module):
        latent = "code"

        def __init__(self):
            super().__init__()
            self.first, self.code, self.fc = nn.InstanceNorm2d(3), nn.Flatten(), nn.LazyLinear(3)

        def forward(self, x):
            return self.fc(self.code(self.first(x)))

    classifier = _classifier(Global(), (3, 12, 12))
    evaluator = make_evaluator(classifier, random_images(classifier))
    assert isinstance(evaluator, PlainEvaluator)
    assert "save too little" in evaluator.reason


def test_auto_takes_the_plain_one_where_windows_disagree(dense, monkeypatch):
    follow = Follower.__call__
    monkeypatch.setattr(Follower, "__call__", lambda self, candidates: follow(self, candidates) + 1.0)
    images = random_images(dense)
    evaluator = make_evaluator(dense, images)
    assert isinstance(evaluator, PlainEvaluator)
    assert "from the plain ones" in evaluator.reason
    assert_agrees(evaluator, dense, random_candidates(images))


@pytest.mark.parametrize("engine", ["plain", "incremental", "chain"])
def test_each_can_be_asked_for(chain, engine):
    images = random_images(chain)
    evaluator = make_evaluator(chain, images, engine=engine)
    assert evaluator.name == engine
    assert_agrees(evaluator, chain, random_candidates(images))


def test_all_agree(chain):
    images = random_images(chain)
    candidates = random_candidates(images, pixels=2)
    plain = make_evaluator(chain, images, engine="plain")(candidates)
    for engine in ("auto", "incremental", "chain"):
        answer = make_evaluator(chain, images, engine=engine)(candidates)
        torch.testing.assert_close(answer, plain, rtol=0, atol=1e-5 * float(plain.abs().max()))


def test_no_images_are_no_error(chain):
    evaluator = make_evaluator(chain, torch.zeros(0, 3, 40, 40))
    candidates = random_candidates(random_images(chain)).select(torch.arange(0))
    assert evaluator(candidates).shape == (0, 20, 3)


def test_mistakes_are_named(chain, dense):
    with pytest.raises(InputError, match="unknown engine 'fast'; known are auto, plain, incremental, chain"):
        make_evaluator(chain, random_images(chain), engine="fast")
    with pytest.raises(InputError):
        make_evaluator(dense, random_images(dense), engine="chain")
