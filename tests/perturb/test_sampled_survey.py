"""How many cells flip, bounded from some of them, held against the network run on all of them."""

import numpy as np
import pytest
import torch
from scipy.stats import hypergeom
from torch import nn

from robustkit.findings.certify.measure import certify
from robustkit.models import AuditedClassifier
from robustkit.perturb.values import Corners
from robustkit.stats import hypergeometric

SHAPE = (1, 16, 16)
VALUES = Corners(torch.zeros(1), torch.ones(1))


class Patch(nn.Module):
    """Class 1 once a pixel of a square in a corner is bright; not finite where a pixel of the last row is."""

    latent = "flatten"

    def __init__(self, side: int, broken: bool = False) -> None:
        super().__init__()
        self.side, self.broken = side, broken
        self.flatten, self.fc = nn.Flatten(), nn.Linear(1, 1)

    def forward(self, images):
        found = self.flatten(images[:, :, : self.side, : self.side].amax((2, 3)))
        if self.broken:
            found = torch.where(images[:, 0, -1].amax(1, keepdim=True) == 1, torch.nan, found)
        return torch.cat([0 * found + 0.9, found], 1)


def bound(side, budget, *, seed=0, broken=False, ids=("a", "b")):
    network = AuditedClassifier(Patch(side, broken).eval(), input_shape=SHAPE)
    images = torch.full((len(ids), *SHAPE), 0.5)
    labels = torch.zeros(len(ids), dtype=torch.int64)
    return certify(network, images, labels, values=VALUES, ids=list(ids), budget=budget, seed=seed)


@pytest.mark.parametrize("side", [0, 1, 4, 9, 16])
def test_the_bound_holds_about_as_often_as_it_says(side):
    if side == 0:
        found = [bound(1, 96, seed=seed) for seed in range(3)]
        assert all((record.flipping <= 1).all() for record in found)
        return
    records = [bound(side, 96, seed=seed, ids=[f"{seed}-{i}" for i in range(6)]) for seed in range(6)]
    flipping, at_most = (np.concatenate([getattr(r, name) for r in records]) for name in ("flipping", "at_most"))
    assert all((record.queries == 96).all() for record in records)
    assert (flipping <= side**2).all()
    assert (at_most >= side**2).mean() >= 0.86  # 36 images: fewer than 31 has a chance of 0.4 % at 95 %
    low, high = (np.concatenate([getattr(r, name) for r in records]) for name in ("chance_low", "chance_high"))
    assert ((low * 512 <= side**2) & (side**2 <= high * 512)).mean() >= 0.86


def test_a_budget_for_all_cells_counts_them():
    record = bound(4, 512)
    assert record.complete.all()
    assert record.flipping.tolist() == record.at_most.tolist() == [16, 16]
    assert (record.drawn_at_random == 0).all()


def test_one_query_bounds_next_to_nothing():
    record = bound(4, 1)
    assert (record.queries == 1).all()
    assert (record.at_most >= 486).all()


def test_what_is_not_finite_counts_against_the_image():
    records = [bound(4, 200, seed=seed, broken=True, ids=[f"{i}" for i in range(4)]) for seed in range(5)]
    most = np.concatenate([record.at_most for record in records])
    assert (most >= 16 + 16).mean() >= 0.8


def test_an_image_alone_and_among_others_gets_the_same_bound():
    whole, alone = bound(4, 96, ids=("a", "b", "c")), bound(4, 96, ids=("b",))
    for name in ("at_most", "flipping", "drawn_at_random", "margin_map", "chance_high"):
        np.testing.assert_array_equal(getattr(whole, name)[1:2], getattr(alone, name))


@pytest.mark.parametrize(("seen", "n", "population"), [(0, 20, 60), (3, 20, 60), (20, 20, 60), (0, 0, 5), (7, 60, 60)])
def test_the_exact_interval_is_what_its_definition_says(seen, n, population):
    low, high = hypergeometric(seen, n, population, level=0.9)
    possible = [
        m
        for m in range(seen, population - (n - seen) + 1)
        if hypergeom.cdf(seen, population, m, n) > 0.05 and hypergeom.sf(seen - 1, population, m, n) > 0.05
    ]
    assert (low, high) == (possible[0], possible[-1])
