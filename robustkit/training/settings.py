"""The settings of a training run: every number that shapes the result, with the defaults argued for in the docs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from robustkit.data import STRETCHES
from robustkit.errors import InputError
from robustkit.models import NETWORKS

Method = Literal["source"]
Precision = Literal["float32", "bf16"]
Schedule = Literal["one-cycle", "constant"]
Optimiser = Literal["adamw", "adam"]


@dataclass(frozen=True)
class Settings:
    """What a training run does; the data come to `train`.

    Attributes:
        network: A name in `robustkit.models.NETWORKS`.
        method: How the domains are brought together; `source` trains on the source alone.
        epochs: Passes over the longer domain, at least 1.
        batch: Images of each domain in a step; `None` takes 128, or the smaller domain where that has fewer.
        seed: Of the weights, the split, the order of the images and their mirrorings.
        learning_rate: The highest of the schedule, above 0.
        schedule: `one-cycle` rises over the first 30 per cent of the steps and falls to almost 0; or `constant`.
        optimiser: `adamw` (decoupled weight decay) or `adam` (an L2 penalty, as in the papers).
        betas: Of the optimiser.
        weight_decay: Of the optimiser, at least 0.
        patience: Epochs without a better checkpoint after which training stops, not before half of the epochs.
        stretch: A name in `robustkit.data.STRETCHES`, fitted on source training images; `None` takes `none` where
            the images are stretched already and `arcsinh` otherwise.
        dihedral: Whether every image is turned and mirrored at random, by a multiple of 90 degrees; `None` means yes
            for images in electrons, whose sky has no up and down.
        precision: `float32`, or `bf16` for automatic mixed precision.
        compiled: Whether the network goes through `torch.compile`.
    """

    network: str = "convnet"
    method: Method = "source"
    epochs: int = 60
    batch: int | None = None
    seed: int = 0
    learning_rate: float = 1e-3
    schedule: Schedule = "one-cycle"
    optimiser: Optimiser = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    patience: int = 10
    stretch: str | None = None
    dihedral: bool | None = None
    precision: Precision = "float32"
    compiled: bool = False

    def __post_init__(self) -> None:
        _known("network", self.network, tuple(NETWORKS))
        _known("method", self.method, get_args(Method))
        _known("schedule", self.schedule, get_args(Schedule))
        _known("optimiser", self.optimiser, get_args(Optimiser))
        _known("precision", self.precision, get_args(Precision))
        if self.stretch is not None:
            _known("stretch", self.stretch, tuple(STRETCHES))
        _at_least("epochs", self.epochs, 1)
        _at_least("patience", self.patience, 1)
        _at_least("seed", self.seed, 0)
        if self.batch is not None:
            _at_least("batch", self.batch, 2)
        if not self.learning_rate > 0:
            raise InputError(f"expected a learning rate above 0, came {self.learning_rate}")

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def _known(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"unknown {what} {value!r}; known are {', '.join(choices)}")


def _at_least(what: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"expected {what} of at least {least}, came {value}")
