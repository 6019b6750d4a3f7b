"""`Perturbation`: something that can happen to an image, at a level in its own physical unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from robustkit.errors import InputError
from robustkit.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams

LEVEL_NAMES = ("s1", "s2", "s3", "s4", "s5")


class Stage(IntEnum):
    """Where in the life of an image a perturbation happens; a composition applies them in this order."""

    SCENE = 1  # before the sky: optics and pointing
    EXPOSURE = 2  # how long the shutter is open
    DETECTOR = 3  # charge that gathers, and is moved, in the detector
    READOUT = 4
    PIPELINE = 5  # calibration, coadd, storage
    STRETCHED = 6  # after the stretch: network input


@dataclass(frozen=True)
class Perturbation:
    """Base of the perturbations: `perturbation(images, conditions=..., streams=...)` is a new batch of images.

    Attributes:
        level: How much, in `unit`.

    Class attributes:
        name: On the command line.
        unit: Of the level.
        stage: Where it happens.
        identity: The level at which nothing happens.
        levels: Five levels from mild to severe: within requirement, typical, poor but released, flagged, stress.
        valid: Lowest and highest level, both included, beside `identity`.
        physical: Whether it needs `Conditions`.
        surveyed: Whether its levels are those of a survey's images; if not, they are of our own choice.
        conserves_charge: Whether the sum of an image with an empty border stays.
        least_bands: How many bands an image must have.
        fitted: Options that an audit takes from the model's training images where nobody gives them.
        ranges: The ends of fields that an adversary may choose, beside the level, whose ends are those of `levels`; see
            `robustkit attack --threat`.
        draws: Names of the random numbers that it draws, in order: `row`, `column` and `angle` are real, `pixel`,
            `line` and `band` are integers. Empty if the numbers have no names.
        in_processes: Whether it runs in worker processes where there are some; see `robustkit.perturb.workers`.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    stage: ClassVar[Stage]
    identity: ClassVar[float] = 0.0
    levels: ClassVar[tuple[float, float, float, float, float]]
    valid: ClassVar[tuple[float, float]]
    physical: ClassVar[bool] = True
    surveyed: ClassVar[bool] = True
    conserves_charge: ClassVar[bool] = False
    least_bands: ClassVar[int] = 1
    fitted: ClassVar[tuple[str, ...]] = ()
    in_processes: ClassVar[bool] = False
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    draws: ClassVar[tuple[str, ...]] = ()

    level: float

    def __post_init__(self) -> None:
        low, high = self.valid
        if self.level != self.identity and not low <= self.level <= high:
            raise InputError(f"{self.name} takes {low:g} to {high:g} {self.unit}, got {self.level:g}")

    @property
    def reach(self) -> int | None:
        """How many pixels from its `row` and `column`, or from its `pixel`, it changes at most; `None` for any."""
        return None

    def __call__(self, images: Tensor, *, conditions: Conditions | None = None, streams: Streams) -> Tensor:
        """Perturbs a batch; every image has its own stream, so that the batch does not matter.

        Args:
            images: Stored values, or network input for the stage `STRETCHED`, shape (N, C, H, W), floating point.
            conditions: How the images were taken; not needed where `physical` is false.
            streams: One for each image.

        Returns:
            New images of the same shape, type and device.

        Raises:
            InputError: If the images are no batch, the streams are not theirs, or conditions are missing.
        """
        if images.ndim != 4 or not images.is_floating_point():
            raise InputError(f"expected floating images of shape (N, C, H, W), got {tuple(images.shape)}")
        if len(streams) != len(images):
            raise InputError(f"{len(images)} images need as many random streams, got {len(streams)}")
        if images.shape[1] < self.least_bands:
            raise InputError(f"{self.name} needs images of {self.least_bands} or more bands; omit it")
        if self.physical and conditions is None:
            raise InputError(f"{self.name} needs the conditions of the images; see robustkit.perturb.conditions")
        if conditions is not None and len(conditions.bands) != images.shape[1]:
            raise InputError(
                f"the conditions are those of {len(conditions.bands)} bands, the images have {images.shape[1]}"
            )
        if self.level == self.identity:
            return images.clone()
        made = self.apply(images, conditions, streams)  # type: ignore[arg-type]
        if not isinstance(made, torch.Tensor) or (made.shape, made.dtype) != (images.shape, images.dtype):
            returned = f"{tuple(made.shape)} {made.dtype}" if isinstance(made, torch.Tensor) else type(made).__name__
            raise InputError(
                f"{self.name} must give back images of shape {tuple(images.shape)} and {images.dtype}, got {returned}; "
                "robustkit.testing.check_perturbation finds such faults"
            )
        return made

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """The perturbation itself, at a level that is not the identity; the images must stay as they are."""
        raise NotImplementedError

    def after(self, conditions: Conditions) -> Conditions:
        """The conditions of the perturbed images."""
        return conditions

    def strength(self) -> float:
        """A number that is 0 at the identity and grows with severity; thresholds are interpolated in it."""
        if math.isinf(self.identity):  # a magnitude: relative flux
            return 10 ** (-0.4 * self.level)
        return abs(self.level - self.identity)

    @classmethod
    def level_of(cls, strength: float) -> float:
        """The level of a strength: the inverse of `strength`."""
        if math.isinf(cls.identity):
            return -2.5 * math.log10(strength) if strength > 0 else math.inf
        return cls.identity + strength if cls.valid[1] > cls.identity else cls.identity - strength

    @classmethod
    def words(cls, level: float, digits: int = 3) -> str:
        """A level as astronomers say it.

        Args:
            level: In `unit`.
            digits: Significant ones; more are asked for where two levels would read alike.
        """
        return f"{level:.{digits}g} {cls.unit}"

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean and variance of a pixel drawn at random from a constant field after the perturbation, by the formula.

        Args:
            value: What every pixel of each band was, shape (C,), stored.
            conditions: How the images were taken.
            size: Height and width.

        Returns:
            Two arrays (C,), or `None` where there is no short formula.
        """
        return None

    def expected_per_image(self, conditions: Conditions, size: tuple[int, int]) -> float | None:
        """How often it happens to an image of this size (all visits, before rejection); `None` when nobody knows."""
        return None

    @property
    def label(self) -> str:
        """The name with every option that is not at its default: `psf,restore_noise=false`."""
        own = [field for field in fields(self)[1:] if field.name not in self.fitted]
        changed = [field for field in own if getattr(self, field.name) != field.default]
        return ",".join([self.name, *(f"{field.name}={_text(getattr(self, field.name))}" for field in changed)])

    def to_json(self) -> dict[str, Any]:
        """The perturbation as JSON values; an infinite level as text."""
        values = {key: value if value != math.inf else "inf" for key, value in vars(self).items()}
        return {"name": self.name, "unit": self.unit, **values}


@dataclass(frozen=True)
class Composition:
    """Several perturbations in the order in which they happen, whatever the order in which they are given.

    Attributes:
        parts: At least one perturbation, no two of a kind; all before the stretch, or all after it.
    """

    parts: tuple[Perturbation, ...]

    def __init__(self, parts: Sequence[Perturbation]) -> None:
        names = [part.label for part in parts]
        if not parts or len(set(names)) < len(names):
            raise InputError(f"expected one or more perturbations, each once, got {', '.join(names) or 'none'}")
        if len({part.stage == Stage.STRETCHED for part in parts}) > 1:
            late = next(part.name for part in parts if part.stage == Stage.STRETCHED)
            raise InputError(f"{late} happens after the stretch and others before it; stretch between them")
        object.__setattr__(self, "parts", tuple(sorted(parts, key=lambda part: part.stage)))

    def __call__(self, images: Tensor, *, conditions: Conditions | None = None, streams: Streams) -> Tensor:
        """Applies all of them; see `Perturbation`."""
        for part in self.parts:
            images = part(images, conditions=conditions, streams=streams)
            conditions = None if conditions is None else part.after(conditions)
        return images


def mixture(values: Sequence[np.ndarray], chances: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a pixel that takes one of some values, each an array (C,), with these chances."""
    every, weights = np.array(values, dtype=np.float64), np.array(chances, dtype=np.float64)[:, None]
    mean = (weights * every).sum(0)
    return mean, (weights * (every - mean) ** 2).sum(0)


def tensor(values: np.ndarray, images: Tensor) -> Tensor:
    """Random numbers from streams, of the kind and on the device of the images."""
    return torch.as_tensor(values).to(device=images.device, dtype=images.dtype)


def _text(value: Any) -> str:
    return "all" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
