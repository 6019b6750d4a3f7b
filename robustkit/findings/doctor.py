"""The attack's own health: networks whose answer is known must be flipped, or certified, as they should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustkit.findings.attack.measure import attack
from robustkit.findings.certify.measure import certify
from robustkit.models import AuditedClassifier
from robustkit.perturb.search.registry import SEARCHES, make_search
from robustkit.perturb.values import Corners

_SHAPE = (3, 16, 16)
_IMAGES = 6
# Searches that must find a pixel even where nothing leads to it, because they try everything in the end.
_EXHAUSTIVE = ("auto", "best-first", "random", "complete")
_ENOUGH = 16 * 16 * 8


@dataclass(frozen=True)
class HealthCheck:
    """One check and how it went.

    Attributes:
        name: What was checked.
        ok: Whether the known answer was found.
        detail: What was found, in words.
    """

    name: str
    ok: bool
    detail: str


class _Planted(nn.Module):
    """Class 1 once one band of one pixel passes a threshold, class 0 otherwise; smooth around it where asked.

    Args:
        reach: Width of the surroundings that matter too, in pixels; 0 for none.
    """

    latent = "look"

    def __init__(self, *, row: int = 4, column: int = 11, band: int = 1, reach: float = 0.0) -> None:
        super().__init__()
        channels, height, width = _SHAPE
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        distance = (y - row) ** 2 + (x - column) ** 2
        weight = torch.zeros(channels, height, width)
        weight[band] = torch.exp(-distance / (2 * reach**2)) if reach else (distance == 0).float()
        self.flatten = nn.Flatten()
        self.look = nn.Linear(channels * height * width, 1)
        self.fc = nn.Linear(1, 3)
        with torch.no_grad():
            self.look.weight[0] = weight.flatten()
            self.look.bias.fill_(-0.9)
            self.fc.weight[:, 0] = torch.tensor([0.0, 10.0, 0.0])
            self.fc.bias[:] = torch.tensor([0.0, 0.0, -1.0])

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.look(self.flatten(images)))


class _Mean(nn.Module):
    """Looks at the mean of all pixels only, which one pixel in [0, 1] moves by 1 / (H W) at most: a proof."""

    latent = "pool"

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: Tensor) -> Tensor:
        mean = torch.flatten(self.pool(images), 1).mean(1)
        return torch.stack([torch.zeros_like(mean), 10 * (mean - 0.5), torch.full_like(mean, -1.0)], 1)


def check_attack() -> Iterator[HealthCheck]:
    """Attacks networks whose answer is known.

    Yields:
        A finding for every search on a planted pixel, and for the certificates of both kinds of network.
    """
    values = Corners(torch.zeros(3), torch.ones(3))
    images = torch.rand(_IMAGES, *_SHAPE, generator=torch.Generator().manual_seed(0)) * 0.005
    labels = torch.zeros(_IMAGES, dtype=torch.int64)
    ids = [f"image-{i}" for i in range(_IMAGES)]
    smooth = AuditedClassifier(_Planted(reach=3.0).eval(), input_shape=_SHAPE)
    alone = AuditedClassifier(_Planted().eval(), input_shape=_SHAPE)
    robust = AuditedClassifier(_Mean().eval(), input_shape=_SHAPE)
    for name in SEARCHES:
        kinds = [("a planted pixel that its surroundings lead to", smooth)]
        if name in _EXHAUSTIVE:
            kinds.append(("a planted pixel that nothing leads to", alone))
        for what, classifier in kinds:
            # What tries everything gets what everything takes; the others their own end.
            budget = _ENOUGH if name in _EXHAUSTIVE else None
            record = attack(
                classifier, images, labels, search=make_search(name), values=values, seed=0, ids=ids, budget=budget
            )
            found = int(record.flipped_images(name).sum())
            yield HealthCheck(f"{name}: {what}", found == _IMAGES, f"{found} of {_IMAGES} images flipped")
    planted = certify(alone, images, labels, values=values, ids=ids)
    # Half of the corners set the planted band high, and only at the planted pixel.
    right = int((planted.flipping == values.size // 2).sum())
    yield HealthCheck(
        "certificate: counts the planted cells", right == _IMAGES, f"{right} of {_IMAGES} counts are exact"
    )
    proved = int(certify(robust, images, labels, values=values, ids=ids).certified.sum())
    yield HealthCheck(
        "certificate: a network that one pixel cannot flip", proved == _IMAGES, f"{proved} of {_IMAGES} certified"
    )
