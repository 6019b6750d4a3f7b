"""Heads as weights, against the networks that they were read from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from robustkit.errors import InputError
from robustkit.latent.embeddings import pack_head, unpack_head
from robustkit.latent.geometry import AffineHead
from robustkit.latent.heads import ReLUHead, as_function, find_head
from robustkit.models import AuditedClassifier, ConvNet, DeepMerge, Output

SHAPE = (2, 6, 6)


class Net(nn.Module):
    """A latent of 12, then the layers given; functions stand where no layer is."""

    latent = "look"

    def __init__(self, *layers):
        super().__init__()
        self.look = nn.Sequential(nn.Flatten(), nn.Linear(72, 12))
        self.layers = nn.ModuleList([layer for layer in layers if isinstance(layer, nn.Module)])
        self.order = [list(self.layers).index(layer) if isinstance(layer, nn.Module) else layer for layer in layers]

    def forward(self, images):
        x = self.look(images)
        for step in self.order:
            x = self.layers[step](x) if isinstance(step, int) else step(x)
        return x


def classifier(*layers, output=None):
    torch.manual_seed(0)
    return AuditedClassifier(Net(*layers).eval(), input_shape=SHAPE, output=output)


def latents(n=50, dimension=12):
    return np.random.default_rng(0).normal(0, 3, (n, dimension)).astype(np.float32)


def normed():
    norm = nn.BatchNorm1d(9)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


@pytest.mark.parametrize(
    ("layers", "sizes"),
    [
        ((nn.Linear(12, 3),), [12, 3]),
        ((nn.Linear(12, 7), nn.Dropout(0.5), nn.Linear(7, 3, bias=False)), [12, 3]),
        ((nn.Linear(12, 3), nn.LogSoftmax(1)), [12, 3]),
        ((nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4)), [12, 9, 4]),
        ((nn.Linear(12, 9), functional.relu, nn.Linear(9, 6), functional.relu, nn.Linear(6, 3)), [12, 9, 6, 3]),
        ((nn.Linear(12, 9), normed(), nn.ReLU(inplace=True), nn.Linear(9, 3)), [12, 9, 3]),
    ],
)
def test_heads_are_read_exactly(layers, sizes):
    net = classifier(*layers, output=Output(kind="log-probabilities") if len(layers) == 2 else None)
    head = find_head(net, latents())
    assert isinstance(head, AffineHead if len(sizes) == 2 else ReLUHead)
    assert pack_head(head)[0] == sizes
    fresh = np.random.default_rng(9).normal(0, 5, (200, 12))
    ours, theirs = head(fresh), as_function(net)(fresh)
    difference = ours - theirs
    np.testing.assert_allclose(difference - difference.mean(1, keepdims=True), 0, atol=2e-5 * np.abs(theirs).max())


def test_probabilities_are_the_same_head_as_logits():
    linear = nn.Linear(12, 3)
    head = find_head(classifier(linear, nn.Softmax(1), output=Output(kind="probabilities")), latents() / 3)
    assert isinstance(head, AffineHead)
    weight = linear.weight.detach().double().numpy()
    np.testing.assert_allclose(head.weight - head.weight.mean(0), weight - weight.mean(0), atol=1e-4)


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 3)),
        (nn.Linear(12, 9), torch.sin, nn.Linear(9, 3)),
        (nn.Linear(12, 9), nn.LeakyReLU(0.3), nn.Linear(9, 3)),
        (nn.ReLU(), nn.Linear(12, 3)),
    ],
)
def test_any_other_head_is_not_mistaken_for_one(layers):
    assert find_head(classifier(*layers), latents()) is None


def test_the_networks_of_the_papers_have_the_heads_that_they_say():
    torch.manual_seed(0)
    for network, sizes in ((ConvNet(size=(24, 24)), [256, 3]), (DeepMerge(size=(24, 24)), [288, 64, 32, 2])):
        net = AuditedClassifier(network.eval(), input_shape=(3, 24, 24))
        head = find_head(net, latents(20, sizes[0]))
        assert pack_head(head)[0] == sizes
        again = unpack_head(*pack_head(head))
        np.testing.assert_array_equal(again(latents(5, sizes[0])), head(latents(5, sizes[0])))


def test_a_head_that_is_damaged_on_disk_is_refused():
    sizes, parameters = pack_head(AffineHead(np.ones((3, 4)), np.zeros(3)))
    assert unpack_head([], np.zeros(0)) is None
    with pytest.raises(InputError, match="14 parameters do not make a head"):
        unpack_head(sizes, parameters[:-1])
    with pytest.raises(InputError, match="follow each other"):
        ReLUHead((np.ones((3, 4)), np.ones((2, 5))), (np.zeros(3), np.zeros(2)))
    with pytest.raises(InputError, match="at least one latent"):
        find_head(classifier(nn.Linear(12, 3)), np.zeros((0, 12)))
