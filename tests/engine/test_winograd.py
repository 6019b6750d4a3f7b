"""Convolutions on small maps by fewer multiplications, against PyTorch's own in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustkit.engine.graph import trace
from robustkit.engine.winograd import SmallMapConv, quicken
from robustkit.models import ConvNet, ResNet18
from tests.engine.contract import randomise


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (5, 8), (7, 6), (13, 9)])
@pytest.mark.parametrize("bias", [False, True])
def test_same_maps(size, bias):
    conv = nn.Conv2d(24, 40, 3, padding=1, bias=bias).requires_grad_(False)
    maps = torch.randn(5, 24, *size)
    expected = conv.double()(maps.double())
    came = SmallMapConv(conv.float(), size)(maps)
    assert came.shape == expected.shape
    assert float((came - expected).abs().max()) < 1e-5 * float(expected.abs().max())


def test_any_memory_format_and_its_own_output():
    conv = nn.Conv2d(8, 8, 3, padding=1).requires_grad_(False)
    small = SmallMapConv(conv, (4, 5))
    maps = torch.randn(3, 8, 4, 5)
    last = maps.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(small(last), small(maps))
    torch.testing.assert_close(small(small(maps)), conv(conv(maps)), atol=1e-5, rtol=0)


def _small(graph):
    return [part for part in graph.modules() if isinstance(part, SmallMapConv)]


def test_only_where_it_pays_and_the_answers_stay():
    images = torch.rand(3, 3, 64, 64)
    module = randomise(ResNet18())
    graph = trace(module, images)
    quicken(graph)
    small = _small(graph)
    assert {part.size for part in small} <= {(4, 4), (2, 2), (8, 8)}
    assert all(part.conv.stride == (1, 1) and part.conv.kernel_size == (3, 3) for part in small)
    assert len(small) >= 3
    with torch.inference_mode():
        expected = module.double()(images.double())
        assert float((graph(images) - expected).abs().max()) < 2e-5 * float(expected.abs().max())
    large = trace(randomise(ConvNet(size=(64, 64))), images)
    quicken(large)
    assert not _small(large)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(256, 256, 3, 2, 1),
        nn.Conv2d(256, 256, 3, 1, 0),
        nn.Conv2d(256, 256, 3, 1, 2, dilation=2),
        nn.Conv2d(256, 256, 3, 1, 1, groups=2),
        nn.Conv2d(256, 256, 3, 1, 1, padding_mode="reflect"),
        nn.Conv2d(256, 256, 1),
        nn.Conv2d(256, 256, 5, padding=2),
    ],
    ids=["stride", "no padding", "dilation", "groups", "reflection", "1x1", "5x5"],
)
def test_other_convolutions_are_left(conv):
    module = nn.Sequential(nn.Conv2d(3, 256, 1), conv, nn.Flatten()).eval()
    graph = trace(module, torch.rand(1, 3, 5, 5))
    quicken(graph)
    assert not _small(graph)
