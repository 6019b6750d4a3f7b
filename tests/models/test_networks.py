import pytest
import torch
from torch import nn

from robustkit.models import ConvNet, DeepMerge, ResNet18
from robustkit.models.products import images_in_group, products_per_image


def _parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_the_papers():
    assert _parameters(ConvNet()) == 1_187_203
    # 5x5x3x8+8, 3x3x8x16+16, 3x3x16x32+32, batch norms, 2592x64+64, 64x32+32, 32x2+2
    assert _parameters(DeepMerge()) == 608 + 1168 + 4640 + 112 + 165_952 + 2_080 + 66
    # torchvision's 11,689,512 less its 512x1000 classifier, plus a 256 bottleneck and three classes.
    assert _parameters(ResNet18()) == 11_689_512 - 513_000 + (512 * 256 + 256) + (256 * 3 + 3)


def test_resnet_has_torchvisions_names():
    names = set(ResNet18().state_dict())
    expected = {
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.num_batches_tracked",
        "layer4.1.bn2.bias",
        "fc.weight",
        "bottleneck.bias",
    }
    assert expected <= names
    # 20 convolutions (3 of them shortcuts), 20 batch norms of 5 entries each, two dense layers.
    assert len(names) == 20 + 20 * 5 + 4


@pytest.mark.parametrize("network", [ConvNet, DeepMerge, ResNet18])
@pytest.mark.parametrize(("bands", "classes", "size"), [(1, 2, (33, 47)), (5, 4, (64, 40))])
def test_any_band_count_class_count_and_size(network, bands, classes, size):
    module = network(bands=bands, classes=classes, size=size).eval()
    assert module(torch.rand(2, bands, *size)).shape == (2, classes)


class _ByHand(nn.Module):
    """A network without layers."""

    def forward(self, images):
        return images.mean((2, 3)) @ torch.eye(3)


@pytest.mark.parametrize(
    ("network", "size", "group"),
    [(ConvNet, 100, 16), (DeepMerge, 75, 16), (ResNet18, 96, 9), (ResNet18, 224, 1), (_ByHand, 32, 4)],
)
def test_a_network_that_computes_much_is_taken_in_small_groups(network, size, group):
    module = (network() if network is _ByHand else network(size=(size, size))).eval()
    assert images_in_group(module, torch.rand(1, 3, size, size)) == group


def test_multiply_adds_are_those_of_a_count_by_hand():
    module = nn.Sequential(nn.Conv2d(2, 3, 3, groups=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 5)).eval()
    assert products_per_image(module, torch.rand(2, 2, 8, 8)) == 3 * 36 * 2 * 9 + 3 * 36 * 5
