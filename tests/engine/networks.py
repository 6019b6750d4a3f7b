"""Small networks of many kinds, for the evaluators."""

from __future__ import annotations

import random

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


class Turning(nn.Module):
    """ConvNeXt-like: maps turned to have their channels last, for layer norms and dense layers."""

    latent = "code"

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(bands, 6, 2, 2)
        self.norm, self.between = nn.LayerNorm(6), nn.LayerNorm(6, eps=1e-2)
        self.deep = nn.Conv2d(6, 6, 5, padding=2, groups=6)
        self.mix = nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6))
        self.scale = nn.Parameter(torch.rand(6, 1, 1))
        self.down = nn.Conv2d(6, 8, 2, 2)
        self.code = nn.Linear(8, 6)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        x = F.layer_norm(x, (6,), self.norm.weight, self.norm.bias, self.norm.eps).permute(0, 3, 1, 2)
        turned = self.between(torch.permute(self.deep(x), [0, 2, 3, 1]))
        turned = F.silu(self.mix(turned) * 0.5) + turned
        x = x + self.scale * torch.permute(turned, [0, 3, 1, 2])
        return self.fc(F.relu(self.code(self.down(x).mean((2, 3)))))


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


class Random(nn.Module):
    """A network drawn from the layers that windows can follow, with branches, and an ending of some kind.

    Args:
        seed: Which network.
        shape: (C, H, W) of the images.
    """

    latent = "code"

    def __init__(self, seed: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.draw = random.Random(seed)
        self.layers = nn.ModuleList()
        example = torch.zeros(2, *shape)
        for _ in range(self.draw.randint(2, 5)):
            kind = self.draw.choice(["one", "one", "one", "sum", "join"])
            count = {"one": 1, "sum": 2, "join": self.draw.randint(2, 3)}[kind]
            layer = Branches([self._layer(example) for _ in range(count)], kind)
            try:
                after = layer(example)
            except RuntimeError:  # branches of different sizes, or a kernel that is larger than the map
                continue
            self.layers.append(layer)
            example = after
        ending = self.draw.choice(["flatten", "flatten", "mean", "pool", "pool 2", "activation"])
        self.ending = {
            "flatten": nn.Flatten(),
            "mean": Mean(),
            "pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "pool 2": nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()),
            "activation": nn.Sequential(nn.Flatten(), nn.Tanh()),
        }[ending]
        width = self.ending(example).shape[1]
        self.code = nn.Linear(width, 7)
        self.fc = nn.Linear(7, 3)
        self.between = self.draw.choice([nn.Identity(), nn.ReLU(), nn.BatchNorm1d(7)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.fc(self.between(self.code(self.ending(x))))

    def _layer(self, example: Tensor) -> nn.Module:
        draw, c = self.draw, example.shape[1]
        kernel = (draw.randint(1, 5), draw.randint(1, 3)) if draw.random() < 0.3 else draw.choice([1, 2, 3, 3, 5])
        stride, dilation = draw.choice([1, 1, 1, 2, 3]), draw.choice([1, 1, 1, 2])
        widest = max(kernel) if isinstance(kernel, tuple) else kernel
        half = (min(kernel) if isinstance(kernel, tuple) else kernel) // 2
        out = draw.choice([4, 6, 8])
        kind = draw.choice(["conv", "conv", "conv", "depthwise", "max", "average", "pad", "pointwise"])
        if kind == "conv":
            padding = draw.choice([0, 1, 2, "same"]) if stride == 1 else draw.randint(0, widest)
            layer: nn.Module = nn.Conv2d(c, out, kernel, stride, padding, dilation, bias=draw.random() < 0.7)
        elif kind == "depthwise":
            layer = nn.Conv2d(c, 2 * c, kernel, stride, draw.randint(0, 2), dilation, groups=c)
        elif kind == "max":
            layer = nn.MaxPool2d(kernel, stride, draw.randint(0, half), dilation, ceil_mode=draw.random() < 0.5)
        elif kind == "average":
            divisor = draw.choice([None, None, 3])
            modes = {"ceil_mode": draw.random() < 0.5, "count_include_pad": draw.random() < 0.5}
            layer = nn.AvgPool2d(kernel, stride, draw.randint(0, half), **modes, divisor_override=divisor)
        elif kind == "pad":
            layer = nn.ConstantPad2d(tuple(draw.randint(-1, 2) for _ in range(4)), draw.choice([0.0, 0.7]))
        else:
            layer = nn.Identity()
        with torch.no_grad():
            channels = layer(example).shape[1]
        norm = nn.BatchNorm2d(channels) if draw.random() < 0.5 else nn.Identity()
        activations = [nn.ReLU(True), nn.ReLU(), nn.GELU(), nn.LeakyReLU(0.2, True), nn.SiLU(True), nn.Hardtanh()]
        activations += [nn.Sigmoid(), nn.PReLU(channels), nn.ELU(inplace=True), nn.Dropout(0.5, inplace=True)]
        return nn.Sequential(layer, norm, draw.choice(activations))


class Branches(nn.Module):
    """Layers side by side: one, or several that are added or joined; the sum works in place."""

    def __init__(self, layers: list[nn.Module], kind: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        outputs = [layer(x.clone()) for layer in self.layers]
        if self.kind == "join":
            return torch.cat(outputs, 1)
        if self.kind == "sum":
            outputs[0] = outputs[0] + outputs[1] * 0.5
        return outputs[0]


class Mean(nn.Module):
    """The mean over rows and columns."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))
