"""Small random networks whose decision boundary is put where the nearest of all cells is, and what each cell does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from robustkit.models import AuditedClassifier, BlackBox
from robustkit.perturb.values import Corners

SHAPE = (2, 9, 10)
VALUES = Corners(torch.zeros(2), torch.ones(2))
KINDS = ("offset", "stepped", "inside", "needle", "tie", "smooth", "graph")
_STEP = 0.05


class Planted(nn.Module):
    """Convolution, batch norm, a dense layer; in steps where asked."""

    latent = "flatten"

    def __init__(self, kind: str, generator: torch.Generator, classes: int = 3) -> None:
        super().__init__()
        self.kind = kind
        self.conv, self.norm = nn.Conv2d(SHAPE[0], 4, 3, padding=1), nn.BatchNorm2d(4)
        self.pool, self.flatten = nn.MaxPool2d(2), nn.Flatten()
        self.fc = nn.Linear(4 * (SHAPE[1] // 2) * (SHAPE[2] // 2), classes)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
            self.norm.weight.fill_(1.0)
            self.norm.running_mean.uniform_(-0.2, 0.2, generator=generator)
            self.norm.running_var.fill_(0.5)
            if kind == "offset":  # folding the norm into the convolution rounds at the size of the mean
                self.norm.running_mean.fill_(1000.0)
                self.norm.running_var.fill_(0.05)
                self.conv.bias.fill_(1000.0)
            if kind == "tie":  # whole numbers, so that sums are exact in any order
                for parameter in (self.conv.weight, self.conv.bias, self.fc.weight, self.fc.bias):
                    parameter.copy_((2 * parameter).round())
                self.norm.running_mean.zero_()
                self.norm.running_var.fill_(1.0)
                self.norm.eps = 0.0
            if kind == "needle":  # one pixel of one band decides, and nothing else does anything
                row, column = (SHAPE[1] - 1, 0) if torch.rand(1, generator=generator) < 0.5 else (0, SHAPE[2] - 1)
                self.row, self.column, self.slope = row, column, 1 + 9 * float(torch.rand(1, generator=generator))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        if self.kind == "needle":
            spike = torch.relu(images[:, :1, self.row, self.column] - 0.75) * self.slope
            # The large numbers cancel, in a rounding of their own.
            cancelled = self.flatten((spike + 1000) - 1000)
            return torch.cat([0 * cancelled, cancelled, 0 * cancelled - 9], 1) + self.fc.bias
        features = self.pool(torch.relu(self.norm(self.conv(images))))
        if self.kind == "inside":
            features = torch.round(features * 16) / 16
        logits = self.fc(self.flatten(features))
        return torch.round(logits / _STEP) * _STEP if self.kind in ("stepped", "graph") else logits


@dataclass(frozen=True)
class World:
    """A network with one image, its class, and what the network says of every cell alone.

    Attributes:
        classifier: The network.
        image: Shape (1, C, H, W).
        label: The class of the clean image.
        flips: How many options of each pixel change `argmax`, shape (H, W).
        margin: The largest margin of any cell.
    """

    classifier: AuditedClassifier
    image: Tensor
    label: int
    flips: np.ndarray
    margin: float


def world(kind: str, seed: int) -> World | None:
    """The world of a seed; `None` where the image cannot be classified so near to the boundary."""
    generator = torch.Generator().manual_seed(seed)
    module = Planted(kind, generator)
    image = 0.2 + 0.5 * torch.rand(1, *SHAPE, generator=generator)
    if kind == "tie":
        image = (image * 4).round() / 4
    painted = _painted(image)
    logits = _alone(module, painted)
    label = int(module(image).argmax())
    if kind == "needle":
        label = 0
    others = logits.clone()
    others[:, label] = -torch.inf
    nearest = float((others.amax(1) - logits[:, label]).max())
    unit = float(torch.rand(1, generator=generator))
    apart = _STEP * unit if kind in ("stepped", "graph") else 10 ** (3 * unit - 7)
    side = (-1.0, 1.0, 0.0)[int(torch.randint(3, (1,), generator=generator))]
    with torch.no_grad():
        module.fc.bias[label] += nearest - (0.0 if kind == "tie" else side * apart)
    if int(module(image).argmax()) != label:
        return None
    logits = _alone(module, painted)
    others = logits.clone()
    others[:, label] = -torch.inf
    flips = (logits.argmax(1) != label).view(SHAPE[1], SHAPE[2], -1).sum(2).numpy()
    if kind == "graph":  # run elsewhere, in batches of its own rounding
        classifier = BlackBox(lambda x: module(torch.from_numpy(x)).detach().numpy(), input_shape=SHAPE)
    else:
        classifier = AuditedClassifier(module, input_shape=SHAPE)
    return World(classifier, image, label, flips, float((others.amax(1) - logits[:, label]).max()))


def _painted(image: Tensor) -> Tensor:
    """The image with each option in each pixel, ordered by row, column and option."""
    height, width = SHAPE[1:]
    painted = image.repeat(height * width * VALUES.size, 1, 1, 1)
    at = torch.arange(len(painted))
    pixel, option = at // VALUES.size, at % VALUES.size
    painted[at, :, pixel // width, pixel % width] = VALUES.option(painted[at, :, 0, 0], option)
    return painted


@torch.inference_mode()
def _alone(module: nn.Module, painted: Tensor) -> Tensor:
    return torch.cat([module(one) for one in painted.split(1)])
