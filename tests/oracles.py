"""Networks and data whose answers are known without running a search."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PlantedPixel(nn.Module):
    """Class 0, until one known pixel of one known band passes a threshold; then class 1.

    Logits are (0, gain * (x[band, row, column] - threshold), -1, ...), so exactly that pixel flips the image.
    """

    latent = "look"

    def __init__(
        self,
        shape: tuple[int, int, int] = (3, 12, 14),
        *,
        row: int = 5,
        column: int = 9,
        band: int = 1,
        threshold: float = 0.9,
        gain: float = 10.0,
        classes: int = 3,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.flatten = nn.Flatten()
        self.look = nn.Linear(channels * height * width, 1)
        self.fc = nn.Linear(1, classes)
        with torch.no_grad():
            self.look.weight.zero_()
            self.look.bias.fill_(-threshold)
            self.look.weight[0, (band * height + row) * width + column] = 1.0
            self.fc.weight.zero_()
            self.fc.bias.fill_(-1.0)
            self.fc.bias[0] = 0.0
            self.fc.bias[1] = 0.0
            self.fc.weight[1, 0] = gain
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.look(self.flatten(images)))


class MeanClassifier(nn.Module):
    """Looks at the mean of all pixels only: one pixel in [0, 1] moves it by at most 1 / (H W), which is a proof.

    Logits are (0, gain * (mean - threshold), -1): an image whose mean is further than 1 / (C H W) * C from the
    threshold cannot be flipped by one pixel.
    """

    latent = "pool"

    def __init__(self, *, threshold: float = 0.5, gain: float = 10.0, classes: int = 3) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.threshold, self.gain, self.classes = threshold, gain, classes
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        mean = torch.flatten(self.pool(images), 1).mean(1)
        rest = [torch.full_like(mean, -1.0) for _ in range(self.classes - 2)]
        return torch.stack([torch.zeros_like(mean), self.gain * (mean - self.threshold), *rest], 1)
