"""The rate of flips by one pixel as a metric of torchmetrics, for a training or validation loop of your own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import robustkit as rk
from robustkit.extras import require
from robustkit.stats import Estimate, wilson

if TYPE_CHECKING:
    from torchmetrics import Metric
else:
    Metric = require("torchmetrics", extra="torchmetrics", purpose="use FlipRate").Metric


class FlipRate(Metric):
    """The share of correctly classified images that one pixel flips; 1 where every one can be flipped.

    What is counted are proved flips, so the rate is a lower bound of what exists. Fix `values` to those of all your
    data, as `paper` does for inputs in [0, 1]: `corners` are those of the images of one update.

    Args:
        search: The search, by name; `auto` needs the fewest queries.
        budget: The most queries per image.
        values: What a pixel may become, as for `robustkit.attack`.
        seed: Of all random numbers.
        sync: Further arguments of `torchmetrics.Metric`, such as `dist_sync_on_step`.
        **more: Further arguments of `robustkit.attack`, such as `output=Output(kind="probabilities")`.

    Examples:
        >>> metric = FlipRate(budget=50)  # doctest: +SKIP
        >>> for images, labels in loader:  # doctest: +SKIP
        ...     metric.update(network, images, labels)
        >>> metric.compute(), metric.estimate()  # doctest: +SKIP
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False

    flipped: Tensor
    attacked: Tensor
    seen: Tensor

    def __init__(
        self,
        *,
        search: str = "auto",
        budget: int = 100,
        values: str | None = None,
        seed: int = 0,
        sync: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(**(sync or {}))
        self._asked: dict[str, Any] = {"search": search, "budget": budget, "values": values, "seed": seed, **more}
        for name in ("flipped", "attacked", "seen"):
            self.add_state(name, default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, network: nn.Module, images: Tensor, labels: Tensor) -> None:
        """Attacks some images.

        Args:
            network: The network, in any mode; it is evaluated, and left as it was.
            images: What it takes, shape (N, C, H, W).
            labels: True classes, shape (N,), integers.

        Raises:
            InputError: If network, images and labels do not fit each other.
        """
        start = int(self.seen)
        ids = [str(start + i) for i in range(len(images))]  # random streams are those of images, not of batches
        with _evaluated(network):
            found = rk.attack(network, images.detach(), labels, ids=ids, device=str(images.device), **self._asked)
        self.flipped += int(found.record.flipped_images().sum())
        self.attacked += int(found.record.correct.sum())
        self.seen += len(images)

    def compute(self) -> Tensor:
        """The rate; nan where no image was classified correctly."""
        return self.flipped / self.attacked

    def estimate(self) -> Estimate:
        """The rate with its interval and the number of images attacked."""
        return wilson(int(self.flipped), int(self.attacked))


@contextmanager
def _evaluated(network: nn.Module) -> Generator[None]:
    """Evaluation mode for the block; afterwards every part is in the mode in which it was."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
