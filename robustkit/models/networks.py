"""The networks of the papers, each with one named layer that is its latent space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

LATENT = 256


def _stage(bands_in: int, bands_out: int, kernel: int) -> list[nn.Module]:
    """Convolution, batch norm, ReLU, max pool, in the order of the published code."""
    return [
        nn.Conv2d(bands_in, bands_out, kernel, padding=kernel // 2),
        nn.BatchNorm2d(bands_out),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]


def _size_after_pools(size: int, pools: int) -> int:
    for _ in range(pools):
        size //= 2
    return size


class ConvNet(nn.Module):
    """Three convolution stages and an affine head of two layers; the latent is `bottleneck`.

    Args:
        bands: Number of input bands.
        classes: Number of classes.
        size: Height and width of the input images, in pixels.

    Source: Ciprijanovic et al. 2022, Table 1, doi:10.1088/2632-2153/ac7f1a.
    """

    latent = "bottleneck"

    def __init__(self, bands: int = 3, classes: int = 3, size: Sequence[int] = (100, 100)) -> None:
        super().__init__()
        self.features = nn.Sequential(*_stage(bands, 8, 5), *_stage(8, 16, 3), *_stage(16, 32, 3))
        flat = 32 * _size_after_pools(size[0], 3) * _size_after_pools(size[1], 3)
        self.bottleneck = nn.Linear(flat, LATENT)
        self.fc = nn.Linear(LATENT, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, K)."""
        return self.fc(self.bottleneck(torch.flatten(self.features(images), 1)))


class DeepMerge(nn.Module):
    """Three convolution stages and dense layers 64, 32, K with ReLU; the latent is `flatten`, its features.

    Args:
        bands: Number of input bands.
        classes: Number of classes.
        size: Height and width of the input images, in pixels.

    Source: Ciprijanovic et al. 2020, doi:10.1016/j.ascom.2020.100390; 2021, doi:10.1093/mnras/stab1677.
    """

    latent = "flatten"

    def __init__(self, bands: int = 3, classes: int = 2, size: Sequence[int] = (75, 75)) -> None:
        super().__init__()
        self.features = nn.Sequential(*_stage(bands, 8, 5), *_stage(8, 16, 3), *_stage(16, 32, 3))
        self.flatten = nn.Flatten()
        flat = 32 * _size_after_pools(size[0], 3) * _size_after_pools(size[1], 3)
        self.dense = nn.Sequential(nn.Linear(flat, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.fc = nn.Linear(32, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, K)."""
        return self.fc(self.dense(self.flatten(self.features(images))))


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, with torchvision's attribute names."""

    def __init__(self, bands_in: int, bands_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(bands_in, bands_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(bands_out)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(bands_out, bands_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(bands_out)
        self.downsample = None
        if stride != 1 or bands_in != bands_out:
            shortcut = nn.Conv2d(bands_in, bands_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(bands_out))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + shortcut)


class ResNet18(nn.Module):
    """ResNet18 with a 256-d bottleneck; parameter names as in torchvision, plus `bottleneck`.

    Args:
        bands: Number of input bands.
        classes: Number of classes.
        size: Height and width of the input images; the network takes any, and checkpoints record this one.
        dropout: Probability of dropping a feature before the pool, in [0, 1); the published code has 0.5.

    Source: He et al. 2016, doi:10.1109/CVPR.2016.90; bottleneck of Ciprijanovic et al. 2022.
    """

    latent = "bottleneck"

    def __init__(
        self, bands: int = 3, classes: int = 3, size: Sequence[int] = (100, 100), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(bands, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(_BasicBlock(64, 64, 1), _BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(_BasicBlock(64, 128, 2), _BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(_BasicBlock(128, 256, 2), _BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(_BasicBlock(256, 512, 2), _BasicBlock(512, 512, 1))
        self.dropout = nn.Dropout(dropout)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.bottleneck = nn.Linear(512, LATENT)
        self.fc = nn.Linear(LATENT, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, K)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.bottleneck(torch.flatten(self.avgpool(self.dropout(x)), 1)))


NETWORKS: dict[str, type[nn.Module]] = {"convnet": ConvNet, "deepmerge": DeepMerge, "resnet18": ResNet18}
