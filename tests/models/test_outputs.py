"""Which part of what a network returns holds the scores."""

import numpy as np
import torch

from robustkit.models.outputs import choose_part

RNG = np.random.default_rng(0)
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
