"""Which part of what a network returns holds the scores."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from robustkit.models.outputs import Output, check_kind, choose_part

RNG = np.random.default_rng(0)
SCORES = torch.from_numpy(np.random.default_rng(1).normal(size=(12, 3)))
LABELS = RNG.integers(0, 2, 60)


def scores(right: float, columns: int = 2) -> torch.Tensor:
    """Scores that are right on a share of the images."""
    said = np.where(RNG.random(60) < right, LABELS, 1 - LABELS)
    if columns == 1:
        return torch.from_numpy(2.0 * said - 1)[:, None]
    return torch.from_numpy(np.eye(2)[said] + 0.01 * RNG.normal(size=(60, 2)))


def test_the_labels_choose_between_a_class_and_a_domain_head():
    for domain in (scores(0.5), scores(0.5, 1), scores(0.5, 1)[:, 0]):
        choice = choose_part({"domain": domain, "class": scores(0.97)}, 2, LABELS)
        assert choice is not None
        assert choice.part == "class"
    assert choose_part((scores(0.97), scores(0.5)), 2, LABELS).part == 0
    assert choose_part((scores(0.5), scores(0.97, 1)), 2, LABELS).part == 1


def test_nothing_is_chosen_by_its_width_alone():
    domain, three = torch.rand(60, 1), torch.rand(60, 3)
    assert choose_part((three, domain)) is None
    assert choose_part((three, domain), 3).part == 0
    assert choose_part((scores(0.9), scores(0.9)), 2, LABELS) is None
    assert choose_part((torch.rand(60, 2), torch.rand(60, 2)), 2) is None


def test_labels_that_show_fewer_classes_choose_a_wider_head():
    ten = torch.zeros(60, 10)
    ten[torch.arange(60), torch.from_numpy(LABELS)] = 1
    assert choose_part((ten, torch.rand(60, 4)), 3, LABELS).part == 0


@pytest.mark.parametrize(
    ("returned", "part"),
    [
        (((SCORES.roll(1, 1), SCORES), torch.rand(12, 9)), "0.1"),
        ({"out": {"cls": SCORES, "dom": SCORES.roll(1, 1)}}, "out.cls"),
        (SimpleNamespace(loss=None, logits=SCORES, states=(torch.rand(12, 4, 5),)), "logits"),
        ([{"scores": SCORES[:, :, None, None]}, torch.tensor(0.3)], "0.scores"),
        ({"a.b": SCORES, "a": {"b": SCORES.roll(1, 1)}}, "a.b"),
    ],
    ids=["tuples", "dicts", "fields", "maps-of-one", "dots-in-a-key"],
)
def test_scores_inside_of_what_is_returned_are_found(returned, part):
    choice = choose_part(returned, 3, SCORES.argmax(1).numpy())
    assert choice is not None
    assert choice.part == part
    torch.testing.assert_close(Output(part).logits(returned), SCORES)


@pytest.mark.parametrize("shape", [(12, 3, 1, 1), (12, 1, 3), (12, 3, 1)])
def test_axes_of_one_beside_the_scores_are_taken_off(shape):
    torch.testing.assert_close(Output().logits(SCORES.reshape(shape)), SCORES)
    assert Output().logits(SCORES[:, 0].reshape(12, 1, 1)).shape == (12, 2)


def test_one_score_near_one_is_no_probability():
    assert check_kind(Output(), torch.tensor([[1.0], [1.0]])) != []  # said, and not refused
    assert check_kind(Output(), torch.tensor([[1.0], [0.0], [-1.0]])) == []
