"""The rate of flips by one pixel, logged by Lightning after each validation."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from torch import Tensor

from robustkit.extras import require
from robustkit.integrations.flip_rate import FlipRate

if TYPE_CHECKING:
    Callback = object  # what a type checker needs of it, where Lightning is not installed
else:
    # One library under two names; a trainer of the older one takes callbacks of the older one.
    _LIBRARY = "lightning.pytorch" if find_spec("lightning") is not None else "pytorch_lightning"
    Callback = require(_LIBRARY, extra="lightning", purpose="log the flip rate with Lightning").Callback


class FlipRateCallback(Callback):
    """Attacks the same few images after each validation, and logs how many one pixel flips.

    Args:
        images: What the module takes, shape (N, C, H, W); a hundred or so.
        labels: True classes, shape (N,), integers.
        every: After how many validations.
        name: Under which name it is logged.
        **more: Arguments of `FlipRate`.

    Examples:
        >>> Trainer(callbacks=[FlipRateCallback(images, labels, every=5, budget=50)])  # doctest: +SKIP
    """

    def __init__(self, images: Tensor, labels: Tensor, *, every: int = 1, name: str = "flip_rate", **more: Any) -> None:
        self.images, self.labels, self.every, self.name = images, labels, every, name
        self._metric, self._validations = FlipRate(**more), 0

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Attacks, and logs the rate; the checks before training are left out."""
        if trainer.sanity_checking:
            return
        self._validations += 1
        if self._validations % self.every:
            return
        self._metric.reset()
        self._metric.update(pl_module, self.images.to(pl_module.device), self.labels.to(pl_module.device))
        pl_module.log(self.name, float(self._metric.compute()))
