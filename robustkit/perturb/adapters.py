"""Attacks and augmentations of other tools as perturbations, so that they run in our sweeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustkit.errors import InputError
from robustkit.perturb.conditions import Conditions
from robustkit.perturb.perturbation import Perturbation, Stage
from robustkit.seeds import Streams

Levels = tuple[float, float, float, float, float]


def art_perturbation(
    name: str, make: Callable[[float], Any], *, levels: Levels, unit: str = "eps"
) -> type[Perturbation]:
    """A kind of perturbation that runs an attack of ART on network input.

    Args:
        name: What to call it in tables.
        make: From a level to an attack, such as `lambda eps: FastGradientMethod(estimator, eps=eps)`.
        levels: Five levels from mild to severe, above 0.
        unit: Of the level.

    Examples:
        >>> class Brighten:
        ...     def __init__(self, eps): self.eps = eps
        ...     def generate(self, x): return x + self.eps
        >>> kind = art_perturbation("brighten", Brighten, levels=(0.1, 0.2, 0.3, 0.4, 0.5))
        >>> kind(0.2)(torch.zeros(1, 1, 2, 2), streams=Streams(0, ["a"], "x")).max().item()
        0.20000000298023224
    """

    def run(attack: Any, image: np.ndarray) -> Any:
        return attack.generate(x=image[None])[0]

    return _kind(name, make, run, levels, unit)


def maite_perturbation(
    name: str, make: Callable[[float], Any], *, levels: Levels, unit: str = "level"
) -> type[Perturbation]:
    """A kind of perturbation that runs an augmentation of MAITE's protocol (nrtk has many) on network input.

    Args:
        name: What to call it in tables.
        make: From a level to an augmentation, which takes and returns images, targets and metadata.
        levels: Five levels from mild to severe, above 0.
        unit: Of the level.
    """

    def run(augmentation: Any, image: np.ndarray) -> Any:
        images, _, _ = augmentation(([image], [np.zeros(1, np.float32)], [{"id": 0}]))
        return images[0]

    return _kind(name, make, run, levels, unit)


def _kind(
    label: str, make: Callable[[float], Any], run: Callable[[Any, np.ndarray], Any], steps: Levels, of: str
) -> type[Perturbation]:
    class Adapted(Perturbation):
        """One image at a time with its own seed, so that the batch does not matter."""

        name, unit, stage, physical = label, of, Stage.STRETCHED, False
        levels, valid = steps, (min(steps) / 1000, max(steps) * 1000)

        def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
            """The images, each perturbed by the other tool."""
            tool, seeds = make(self.level), streams.integers(1 << 31, 1)[:, 0]
            state = np.random.get_state()  # noqa: NPY002  other tools draw from it
            made = []
            try:
                with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
                    for image, seed in zip(images.cpu().numpy(), seeds.tolist(), strict=True):
                        np.random.seed(seed)  # noqa: NPY002
                        torch.manual_seed(seed)
                        made.append(np.asarray(run(tool, image.copy()), dtype=np.float32))
            finally:
                np.random.set_state(state)  # noqa: NPY002
            if any(image.shape != images.shape[1:] for image in made):
                raise InputError(f"{label} changes the shape of images; expected {tuple(images.shape[1:])} back")
            return torch.from_numpy(np.stack(made)).to(images.device, images.dtype)

    Adapted.__name__ = f"Adapted_{label}"
    return Adapted
