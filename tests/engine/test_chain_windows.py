"""Window arithmetic of chains against the positions that truly change, found by running the convolutions."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustkit.engine.cache import CleanMaps, Needs
from robustkit.engine.chain import read_chain
from robustkit.engine.graph import trace
from robustkit.engine.kernel import OUTSIDE, _margin

# Kernel, padding and pool of each stage.
NETWORKS = [
    [(5, 2, 2), (3, 1, 2), (3, 1, 2)],
    [(7, 0, 3), (1, 0, 1), (2, 1, 2)],
    [(4, 3, 1), (3, 0, 1)],
    [(1, 0, 3), (6, 5, 2)],
    [(3, 2, 5)],
]


def chain_of(network: nn.Module, images: torch.Tensor):
    network(images)
    return read_chain(trace(network.eval(), images))


def chain_for(stages, size):
    layers = []
    for kernel, padding, pool in stages:
        conv = nn.Conv2d(1, 1, (kernel, 1), padding=(padding, 0))
        nn.init.ones_(conv.weight)
        layers += [conv, nn.AvgPool2d((pool, 1))]
    return chain_of(nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(2)), torch.rand(1, 1, size, 1))


@pytest.mark.parametrize("stages", NETWORKS)
@pytest.mark.parametrize("size", [21, 22, 23, 24, 25])
def test_windows_hold_all_that_changes_and_little_more(stages, size, monkeypatch):
    monkeypatch.setattr("robustkit.engine.chain._LEAST_SAVING", 0.0)
    chain = chain_for(stages, size)
    reached = [0] * len(chain.stages)
    for pixel in range(size):
        maps = torch.zeros(1, 1, size, 1)
        maps[0, 0, pixel] = 1.0  # with weights of one, what is not zero is what has changed
        start = pixel
        for number, (stage, (y, _)) in enumerate(zip(chain.stages, chain.axes, strict=True)):
            padding = [slide.padding for slide in stage.slides]
            maps = F.avg_pool2d(F.conv2d(maps, stage.weight, padding=padding), stage.window)
            start = (start + y.shift) // y.pool
            changed = maps.flatten().nonzero().flatten()
            assert y.out == maps.shape[2]
            assert start + y.margin >= 0
            assert start + y.margin + y.cells <= y.total
            if len(changed):
                assert start <= int(changed.min())
                assert int(changed.max()) < start + y.cells
                reached[number] = max(reached[number], len(changed))
    # No window is wider than the widest change by more than the pooling grid explains, stage after stage.
    for number, (y, _) in enumerate(chain.axes):
        assert y.cells - reached[number] <= number + 1


def test_costs_of_the_network_of_the_paper():
    layers = [nn.Conv2d(3, 8, 5, padding=2), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.MaxPool2d(2)]
    chain = chain_of(nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 25 * 25, 3)), torch.rand(1, 3, 100, 100))
    assert [y.cells for y, _ in chain.axes] == [3, 3]
    assert [y.reach for y, _ in chain.axes] == [1, 3]
    assert chain.full_work == 100 * 100 * 25 * 3 * 8 + 50 * 50 * 9 * 8 * 16


@pytest.mark.parametrize("idle", [0, 5])
def test_clean_maps_are_those_of_the_network_with_margins_outside(idle):
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, 5, padding=4), nn.ReLU(), nn.MaxPool2d((3, 2)), nn.Conv2d(3, 4, 3), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 5 * 7, 2)).eval()
    images = torch.rand(3, 2, 17, 15)
    graph = trace(network, images)
    chain = read_chain(graph)
    needs = Needs()
    for stage, (y, x) in zip(chain.stages, chain.axes, strict=True):
        needs.add(stage.node, _margin(stage, y, x, idle))
    needs.endings.append(chain.ending)
    clean = CleanMaps(graph, images, needs, memory=1 << 30)
    clean.open()
    clean._load([0, 1, 2], [0, 1, 2])
    with torch.inference_mode():
        torch.testing.assert_close(clean.ending(chain.ending), network(images))
        outputs = [network[0](images), network[:4](images)]
    assert chain.axes[0][0].margin + chain.axes[0][1].margin + chain.axes[1][0].margin > 0
    for stage, (y, x), output in zip(chain.stages, chain.axes, outputs, strict=True):
        maps = clean.maps(stage.node, OUTSIDE)
        assert (maps.height, maps.width) == (y.total * y.pool, x.total * x.pool)
        rows = maps.rows.view(3, maps.height, maps.width, -1)
        true = (
            slice(y.margin * y.pool, (y.margin + y.out) * y.pool),
            slice(x.margin * x.pool, (x.margin + x.out) * x.pool),
        )
        whole_cells = output[:, :, : y.out * y.pool, : x.out * x.pool].permute(0, 2, 3, 1)
        torch.testing.assert_close(rows[:, true[0], true[1], : output.shape[1]], whole_cells)
        marked = torch.full(rows.shape, True)
        marked[:, true[0], true[1], : output.shape[1]] = False
        assert (rows[marked] == OUTSIDE).all()
        assert (rows[~marked] != OUTSIDE).all()
