"""Networks and checkpoints as others write them: published layouts, wrappers, and the traps of their outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CODE = '''
import torch
from torch import nn


class Galaxies(nn.Module):
    """A network as anyone writes it."""

    def __init__(self, num_classes=3, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.fc1 = nn.Linear(16 * width, 8)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(8, num_classes)

    def forward(self, x):
        x = self.pool(torch.relu(self.bn(self.conv(x)))).flatten(1)
        return self.fc2(self.relu(self.fc1(x)))


def make(width):
    return Galaxies(width=width)


class Halves(nn.Module):
    """Features and classifier apart, saved under two keys."""

    def __init__(self):
        super().__init__()
        self.g = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.c = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3))

    def forward(self, x):
        return self.c(self.g(x))
'''


class PublishedConvNet(nn.Module):
    """The layers of DeepAdversaries' ConvNet under its names, and its two outputs."""

    def __init__(self, side: int = 12, classes: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5, padding=2)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.conv3 = nn.Conv2d(16, 32, 3, padding=1)
        self.batchn1, self.batchn2, self.batchn3 = nn.BatchNorm2d(8), nn.BatchNorm2d(16), nn.BatchNorm2d(32)
        self.bottleneck = nn.Linear(32 * side * side, 256)
        self.fc = nn.Linear(256, classes)

    def features(self, x: Tensor) -> Tensor:
        for conv, norm in ((self.conv1, self.batchn1), (self.conv2, self.batchn2), (self.conv3, self.batchn3)):
            x = torch.max_pool2d(torch.relu(norm(conv(x))), 2)
        return x.flatten(1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.bottleneck(self.features(x))
        return x, self.fc(x)


class PublishedDeepMerge(PublishedConvNet):
    """The same for DeepMerge."""

    def __init__(self) -> None:
        super().__init__()
        del self.bottleneck, self.fc
        self.fc1, self.fc2, self.fc3 = nn.Linear(32 * 81, 64), nn.Linear(64, 32), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.features(x)
        return x, self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


def settled(module: nn.Module, seed: int = 0) -> nn.Module:
    """A network in evaluation mode whose batch norms have seen something."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            low = 0.5 if name.endswith("running_var") else -0.5
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
    return module.eval()
