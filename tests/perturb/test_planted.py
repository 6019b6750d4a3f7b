"""Certificates of networks whose boundary lies within rounding, against the network run alone on every cell."""

import numpy as np
import pytest
import torch

from robustkit.findings.certify.measure import certify
from tests.perturb.planted import KINDS, VALUES, world


def _held_against_the_network(kind, seeds):
    tried = flipped = certified = 0
    for seed in seeds:
        made = world(kind, seed)
        if made is None:
            continue
        record = certify(made.classifier, made.image, torch.tensor([made.label]), values=VALUES, ids=["one"])
        assert record.complete.all(), (kind, seed)
        np.testing.assert_array_equal(record.flips_map[0], made.flips, err_msg=f"{kind}, seed {seed}")
        assert record.flipping[0] == made.flips.sum()
        np.testing.assert_allclose(record.best_margin[0], made.margin, atol=1e-6)
        assert not (record.certified[0] and made.flips.any())
        assert not (record.certified[0] and record.best_margin[0] >= -record.error_bound[0])
        assert record.certified[0] + record.flippable[0] + record.too_near[0] == 1
        tried, flipped = tried + 1, flipped + int(made.flips.any())
        certified += int(record.certified[0])
    return tried, flipped, certified


@pytest.mark.parametrize("kind", KINDS)
def test_no_certificate_is_refuted_and_every_count_is_that_of_the_network_alone(kind):
    tried, flipped, _ = _held_against_the_network(kind, range(5))
    assert tried >= 3
    assert flipped > 0


@pytest.mark.slow
def test_a_thousand_networks_near_the_boundary_refute_no_certificate():
    found = [_held_against_the_network(kind, range(1000, 1000 + 180)) for kind in KINDS]
    tried, flipped, certified = np.sum(found, 0)
    assert tried >= 1000
    assert flipped > 300
    assert certified > 50
