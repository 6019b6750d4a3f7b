"""The traced copy of a network computes what the network computes, with nothing in place and its norms folded."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robustkit.engine.graph import Untraceable, layer, subgraph, trace
from robustkit.engine.plan import reached_share
from robustkit.models import ConvNet, ResNet18
from tests.engine.contract import randomise
from tests.engine.networks import Branching, Dense, Inception, Mobile, Residual, Turning


def _layers(graph):
    return [layer(node) for node in graph.graph.nodes if layer(node) is not None]


@pytest.mark.parametrize("make", [Residual, Dense, Mobile, lambda: ConvNet(size=(21, 24)), lambda: ResNet18()])
def test_same_answers_and_the_network_untouched(make):
    images = torch.rand(4, 3, 21, 24)
    module = make()
    module(images)
    randomise(module)
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    in_place = [getattr(part, "inplace", None) for part in module.modules()]

    graph = trace(module, images)

    expected = module(images).detach()
    torch.testing.assert_close(graph(images), expected, rtol=0, atol=2e-5 * float(expected.abs().max()))
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
    assert [getattr(part, "inplace", None) for part in module.modules()] == in_place
    assert not any(getattr(part, "inplace", False) for part in graph.modules())


def test_batch_norms_and_affine_heads_are_folded():
    images = torch.rand(2, 3, 32, 32)
    kinds = [type(part) for part in _layers(trace(randomise(ResNet18()), images))]
    assert nn.BatchNorm2d not in kinds
    assert kinds.count(nn.Linear) == 1
    assert nn.Dropout not in kinds


def test_a_layer_that_runs_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(self.conv(self.conv(x))).sum((2, 3))

    images = torch.rand(2, 3, 8, 8)
    module = randomise(Twice())
    graph = trace(module, images)
    assert any(isinstance(part, nn.BatchNorm2d) for part in _layers(graph))
    torch.testing.assert_close(graph(images), module(images))


def test_a_dense_layer_that_would_grow_is_not_folded():
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Linear(4, 190)).eval()
    assert [type(part) for part in _layers(trace(module, torch.rand(1, 3, 8, 8)))].count(nn.Linear) == 2


class InPlace(nn.Module):
    """What is read after it was overwritten is the new value."""

    def __init__(self, work):
        super().__init__()
        self.conv, self.relu, self.work = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), work

    def forward(self, x):
        return self.work(self.conv(x), self.relu).mean((2, 3))


def _discarded(x, relu):
    F.relu_(x)
    return x


def _method(x, relu):
    y = x.sigmoid_()
    return y + x


def _argument(x, relu):
    y = F.leaky_relu(x, 0.1, True)
    return x * 2 + y


@pytest.mark.parametrize(
    "work",
    [lambda x, relu: relu(x) + x, _discarded, _method, _argument, lambda x, relu: torch.relu_(x).clamp_(0, 0.5) + x],
    ids=["layer", "discarded", "method", "argument", "twice"],
)
def test_work_in_place_reaches_later_readers(work):
    images = torch.randn(3, 3, 8, 8)
    module = InPlace(work).eval()
    graph = trace(module, images)
    torch.testing.assert_close(graph(images), module(images.clone()))


def _sum_in_place_of_an_alias(x, relu):
    y = x
    x += 1.0  # tracing takes this for a new tensor, while y is overwritten as well
    return x * y


def _part(x, relu):
    x[:, 0] = 0.0
    return x


@pytest.mark.parametrize("work", [_sum_in_place_of_an_alias, _part, lambda x, relu: x + x.new_ones(()).fill_(2.0)])
def test_what_tracing_would_get_wrong_is_right_or_refused(work):
    images = torch.randn(3, 3, 8, 8)
    module = InPlace(work).eval()
    try:
        graph = trace(module, images)
    except Untraceable:
        return
    torch.testing.assert_close(graph(images), module(images.clone()))


def test_refusals_are_sentences():
    module = Branching()
    module(torch.rand(1, 3, 9, 9))
    with pytest.raises(Untraceable, match="Branching does not trace"):
        trace(module.eval(), torch.rand(1, 3, 9, 9))
    with pytest.raises(Untraceable, match="does not follow from its graph"):
        trace(InPlace(_sum_in_place_of_an_alias).eval(), torch.randn(1, 3, 8, 8))


def test_arguments_beside_the_images_keep_their_defaults():
    class Masked(nn.Module):
        def forward(self, x, mask=None, scale=2.0):
            return x.mean((2, 3)) * scale if mask is None else x.mean((2, 3)) * mask

    images = torch.rand(2, 3, 5, 5)
    torch.testing.assert_close(trace(Masked().eval(), images)(images), 2 * images.mean((2, 3)))


def test_one_part_of_the_output_and_only_its_layers():
    images = torch.rand(2, 3, 30, 30)
    module = randomise(Inception())
    graph = trace(module, images, part=1)
    torch.testing.assert_close(graph(images), module(images)[1], rtol=1e-4, atol=1e-5)
    assert len(trace(module, images, part=0).graph.nodes) < len(graph.graph.nodes)


def test_parts_of_a_graph_compose_to_the_whole():
    images = torch.rand(2, 3, 20, 20)
    graph = trace(randomise(Dense()), images)
    nodes = list(graph.graph.nodes)
    middle = next(node for node in nodes if node.target == "network.transition")
    first, second = subgraph(graph, nodes[:1], (middle,)), subgraph(graph, [middle], nodes[-1].args[0])
    torch.testing.assert_close(second(*first(images)), graph(images))


def test_shapes_and_constants_are_known():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", torch.tensor([1.0, 2.0, 3.0])[:, None, None])

        def forward(self, x):
            return ((x - 0.5) / self.scale).view(x.size(0), -1)

    graph = trace(Scaled().eval(), torch.rand(1, 3, 4, 5))
    by_name = {node.name: node for node in graph.graph.nodes}
    assert by_name["images"].meta["shape"] == (2, 3, 4, 5)
    constant = next(node for node in by_name.values() if node.op == "get_attr")
    assert not constant.meta["varies"]
    assert constant.meta["value"].flatten().tolist() == [1.0, 2.0, 3.0]
    assert torch.flatten in {node.target for node in by_name.values()}
    assert "size" not in {node.target for node in by_name.values()}


def test_turned_maps_are_turned_no_more():
    graph = trace(randomise(Turning()), torch.rand(1, 3, 24, 20)).graph
    assert not [node for node in graph.nodes if node.target in ("permute", torch.permute)]


def test_the_share_of_the_work_that_a_pixel_reaches():
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(32, 1)).eval()
    # A pixel reaches 3 cells along an axis and 2 at the borders, in the dense layer too.
    assert reached_share(trace(network, torch.rand(1, 1, 4, 4)), (1, 4, 4)) == pytest.approx((2.5 / 4) ** 2)
