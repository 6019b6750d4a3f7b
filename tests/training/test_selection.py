import numpy as np
import pytest
import torch
from torch import nn

from robustkit.training.scores import (
    balanced_accuracy,
    certainty,
    deep_embedded,
    density_ratio,
    importance_weighted,
    information,
    labelled_scores,
    neighbourhood_density,
)
from robustkit.training.selection import Selector


def offered(selector, gate, score):
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(offered.epoch)
    offered.epoch += 1
    return selector.offer(offered.epoch - 1, gate, score, layer)


@pytest.fixture(autouse=True)
def _first_epoch():
    offered.epoch = 0


def test_a_collapsed_epoch_with_the_highest_score_is_not_chosen():
    selector = Selector(0.02)
    for gate, score in [(0.80, 0.5), (0.33, 9.0), (0.81, 0.6)]:
        offered(selector, gate, score)
    assert selector.best.epoch == 2


def test_as_the_gate_rises_an_epoch_that_was_not_best_can_become_it():
    selector = Selector(0.02)
    assert offered(selector, 0.80, 0.9)
    assert not offered(selector, 0.815, 0.6)
    assert not offered(selector, 0.83, 0.5)
    assert selector.best.epoch == 1
    assert float(selector.best.weights["weight"]) == 1


def test_without_tolerance_the_most_accurate_is_chosen_and_a_tie_goes_to_the_score():
    selector = Selector(0.0)
    for gate, score in [(0.8, -0.5), (0.9, -0.7), (0.9, -0.6), (0.9, -0.6), (0.85, -0.1)]:
        offered(selector, gate, score)
    assert selector.best.epoch == 2


@pytest.mark.parametrize("tolerance", [0.0, 0.02, 0.1])
def test_the_choice_is_that_of_looking_at_all_epochs_at_the_end(tolerance):
    rng = np.random.default_rng(0)
    for _ in range(20):
        offered.epoch = 0
        selector, gates, scores = Selector(tolerance), rng.random(30).round(2), rng.random(30)
        for gate, score in zip(gates, scores, strict=True):
            offered(selector, gate, score)
        allowed = np.flatnonzero(gates >= gates.max() - tolerance)
        assert selector.best.epoch == allowed[scores[allowed].argmax()]
        assert float(selector.best.weights["weight"]) == selector.best.epoch


def test_kept_weights_do_not_follow_the_network():
    layer, selector = nn.Linear(2, 2), Selector(0.0)
    selector.offer(0, 1.0, 1.0, layer)
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(1)
    assert torch.equal(selector.best.weights["weight"], before)


def test_balanced_accuracy_is_scikit_learns():
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 3, 50), rng.normal(size=(50, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    scores = labelled_scores(logits, labels, "valid")
    assert scores["valid_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, logits.argmax(1)))
    assert scores["valid_accuracy"] == pytest.approx(accuracy_score(labels, logits.argmax(1)))
    assert scores["valid_loss"] == pytest.approx(log_loss(labels, p))
    assert balanced_accuracy(np.array([1, 1, 2]), np.array([1, 2, 2])) == pytest.approx(0.75)


def test_information_and_certainty_of_known_predictions():
    certain = 1e3 * np.eye(4)[np.arange(40) % 4]
    assert information(certain) == pytest.approx(np.log(4))
    assert information(1e3 * np.eye(4)[np.zeros(40, dtype=int)]) == pytest.approx(0, abs=1e-12)
    assert information(np.zeros((9, 4))) == pytest.approx(0, abs=1e-12)
    assert certainty(np.zeros((9, 4))) == pytest.approx(-np.log(4))
    assert certainty(certain) == pytest.approx(0)


def test_neighbourhood_density_of_equal_and_of_separated_predictions():
    n = 30
    assert neighbourhood_density(np.zeros((n, 3))) == pytest.approx(np.log(n - 1))
    clusters = 1e3 * np.eye(3)[np.arange(n) % 3]
    assert neighbourhood_density(clusters) == pytest.approx(np.log(n / 3 - 1), abs=1e-3)


def test_the_density_ratio_finds_which_source_latents_look_like_the_target():
    rng = np.random.default_rng(0)
    side = np.arange(400) < 300  # three quarters of the source lie on the left, one quarter of the target
    source = rng.normal(np.where(side, -2, 2)[:, None], 0.5, (400, 1))
    target = rng.normal(np.where(np.arange(400) < 100, -2, 2)[:, None], 0.5, (400, 1))
    ratio = density_ratio(source, target)
    assert ratio[side].mean() == pytest.approx(1 / 3, abs=0.12)
    assert ratio[~side].mean() == pytest.approx(3, abs=0.8)
    right = side.astype(float)  # wrong on the right, where the target is
    assert importance_weighted(right, ratio) == pytest.approx(0.25, abs=0.08)
    assert deep_embedded(1 - right, ratio) == pytest.approx(-0.75, abs=0.1)


def test_deep_embedded_validation_is_its_formula():
    rng = np.random.default_rng(1)
    loss, ratio = rng.random(50), rng.random(50) * 2
    slope = -np.cov(loss * ratio, ratio, ddof=0)[0, 1] / ratio.var()
    assert deep_embedded(loss, ratio) == pytest.approx(-((loss * ratio).mean() + slope * ratio.mean() - slope))
    assert deep_embedded(loss, np.ones(50)) == pytest.approx(-loss.mean())
