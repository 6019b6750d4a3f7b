"""Small networks of many kinds, for the evaluators."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Stem with stride, residual blocks with an in-place sum and in-place ReLU, global mean."""

    latent = "code"

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(bands, 6, 5, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.one, self.norm_one = nn.Conv2d(6, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6)
        self.two, self.norm_two = nn.Conv2d(6, 10, 3, 2, 1, bias=False), nn.BatchNorm2d(10)
        self.shortcut, self.norm_shortcut = nn.Conv2d(6, 10, 1, 2, bias=False), nn.BatchNorm2d(10)
        self.code = nn.Flatten()
        self.fc = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm(self.stem(x))))
        out = self.norm_one(self.one(x))
        out += x
        x = self.relu(out)
        out = self.norm_two(self.two(x))
        out += self.norm_shortcut(self.shortcut(x))
        return self.fc(self.code(F.adaptive_avg_pool2d(F.relu(out, True), 1)))


class Dense(nn.Module):
    """DenseNet-like: pre-activation layers, concatenation, transition with average pooling."""

    latent = "code"

    def __init__(self, bands: int = 3, growth: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(bands, 6, 3, padding=1)
        widths = [6, 6 + growth, 6 + 2 * growth]
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.convs = nn.ModuleList(nn.Conv2d(width, growth, 3, padding=1, bias=False) for width in widths)
        self.transition = nn.Conv2d(6 + 3 * growth, 8, 1)
        self.code = nn.Linear(8, 6)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, 1)))))
        x = F.avg_pool2d(self.transition(torch.cat(features, 1)), 2)
        return self.fc(torch.tanh(self.code(x.mean([2, 3]))))


class Mobile(nn.Module):
    """MobileNet-like: depthwise and pointwise convolutions, ReLU6 and Hardswish, an inverted residual."""

    latent = "code"

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(bands, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True))
        self.block = nn.Sequential(
            nn.Conv2d(8, 16, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.Hardswish(inplace=True),
            nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU6(inplace=True),
            nn.Conv2d(16, 8, 1, bias=False),
            nn.BatchNorm2d(8),
        )
        self.down = nn.Conv2d(8, 8, 5, 2, 2, groups=8)
        self.code = nn.Flatten()
        self.fc = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.block(x)
        return self.fc(self.code(self.down(x)))


class Inception(nn.Module):
    """Branches of several reaches, dilated and not square, joined; ceil_mode and padded average pools between."""

    latent = "code"

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(bands, 6, 3), nn.LeakyReLU(0.1), nn.MaxPool2d(3, 2, ceil_mode=True))
        self.one = nn.Conv2d(6, 4, 1)
        self.three = nn.Sequential(nn.Conv2d(6, 4, 1), nn.GELU(), nn.Conv2d(4, 4, (1, 3), padding="same"), nn.SiLU())
        self.wide = nn.Conv2d(6, 4, 3, padding=2, dilation=2)
        self.pool = nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(6, 4, 1))
        self.down = nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)
        self.code = nn.Linear(16, 5)
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        x = torch.cat([self.one(x), self.three(x), self.wide(x).sigmoid(), self.pool(x)], dim=1)
        code = self.code(self.down(x).mean((2, 3), keepdim=True).view(x.size(0), -1))
        return code, self.fc(F.elu(code))


class Branching(nn.Module):
    """Its path depends on the images, so that it has no fixed graph."""

    latent = "code"

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(bands, 4, 3)
        self.code = nn.Flatten()
        self.fc = nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if x.shape[0] > 0 and bool(x.isfinite().all()):
            x = x.relu()
        return self.fc(self.code(x))
