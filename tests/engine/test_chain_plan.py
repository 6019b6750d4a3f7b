"""Window arithmetic against the positions that truly change, found by running the convolutions."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustkit.engine.chain_cache import OUTSIDE, make_cache
from robustkit.engine.chain_layers import make_chain
from robustkit.engine.chain_plan import make_plan

# Kernel, padding and pool of each stage.
NETWORKS = [
    [(5, 2, 2), (3, 1, 2), (3, 1, 2)],
    [(7, 0, 3), (1, 0, 1), (2, 1, 2)],
    [(4, 3, 1), (3, 0, 1)],
    [(1, 0, 3), (6, 5, 2)],
    [(3, 2, 5)],
]


def chain_for(stages, size):
    layers = []
    height = size
    for kernel, padding, pool in stages:
        conv = nn.Conv2d(1, 1, (kernel, 1), padding=(padding, 0))
        nn.init.ones_(conv.weight)
        layers += [conv, nn.AvgPool2d((pool, 1))]
        height = (height + 2 * padding - kernel + 1) // pool
    return make_chain([*layers, nn.Flatten(), nn.Linear(height, 2)], (size, 1))


@pytest.mark.parametrize("stages", NETWORKS)
@pytest.mark.parametrize("size", [21, 22, 23, 24, 25])
def test_windows_hold_all_that_changes_and_little_more(stages, size):
    chain = chain_for(stages, size)
    plan = make_plan(chain, (size, 1))
    reached = [0] * len(plan)
    for pixel in range(size):
        maps = torch.zeros(1, 1, size, 1, dtype=torch.float64)
        maps[0, 0, pixel] = 1.0  # with weights of one, what is not zero is what has changed
        start = pixel
        for number, (stage, at) in enumerate(zip(chain.stages, plan, strict=True)):
            maps = F.avg_pool2d(F.conv2d(maps, stage.weight, padding=stage.padding), stage.window)
            start = (start + at.y.shift) // at.y.pool
            changed = maps.flatten().nonzero().flatten()
            assert at.y.out == maps.shape[2]
            assert start + at.y.margin >= 0
            assert start + at.y.margin + at.y.cells <= at.y.total
            if len(changed):
                assert start <= int(changed.min())
                assert int(changed.max()) < start + at.y.cells
                reached[number] = max(reached[number], len(changed))
    # No window is wider than the widest change by more than the pooling grid explains, stage after stage.
    for number, at in enumerate(plan):
        assert at.y.cells - reached[number] <= number + 1


def test_costs_of_the_network_of_the_paper():
    layers = [nn.Conv2d(3, 8, 5, padding=2), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.MaxPool2d(2)]
    plan = make_plan(make_chain([*layers, nn.Flatten(), nn.Linear(16 * 25 * 25, 3)], (100, 100)), (100, 100))
    assert [stage.y.cells for stage in plan] == [3, 3]
    assert [stage.cost for stage in plan] == [25 * 3 * 8, 9 * 9 * 8 * 16]
    assert [stage.full_cost for stage in plan] == [100 * 100 * 25 * 3 * 8, 50 * 50 * 9 * 8 * 16]


def test_clean_activations_are_those_of_the_network_with_margins_outside():
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, 5, padding=4), nn.ReLU(), nn.MaxPool2d((3, 2)), nn.Conv2d(3, 4, 3), nn.Tanh()]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 5 * 7, 2)).eval()
    images = torch.rand(3, 2, 17, 15)
    chain = make_chain(list(network), (17, 15)).map(lambda x: x.float())
    plan = make_plan(chain, (17, 15))
    cache = make_cache(chain, plan, images)
    with torch.inference_mode():
        torch.testing.assert_close(cache.head, network(images))
        first = network[:3](images)
    at = plan[0]
    inside = (slice(None), slice(at.y.margin, at.y.margin + at.y.out), slice(at.x.margin, at.x.margin + at.x.out))
    torch.testing.assert_close(cache.after[0][inside].permute(0, 3, 1, 2), first)
    assert at.y.margin + at.x.margin + plan[1].y.margin > 0
    marked = torch.full(cache.before[0].shape[:3], True)
    marked[inside] = False
    assert (cache.before[0][marked] == OUTSIDE).all()
    assert (cache.before[0][~marked] != OUTSIDE).all()
