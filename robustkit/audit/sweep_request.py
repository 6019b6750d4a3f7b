"""What a sweep over a checkpoint is asked to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from robustkit.errors import InputError
from robustkit.models import ModelOptions
from robustkit.perturb.faults.naming import Named, read_name
from robustkit.perturb.faults.on_input import OnInput
from robustkit.perturb.faults.registry import SUITES
from robustkit.perturb.perturbation import Perturbation
from robustkit.perturb.sweep import DRAWS


@dataclass(frozen=True)
class SweepRequest:
    """What a sweep over a checkpoint is asked to do.

    Attributes:
        perturbations: Names, with options if need be (`psf,restore_noise=false`), or classes of one's own as
            `package.module:Class`.
        levels: For a single perturbation; by default its five named levels.
        suite: `lsst` for every perturbation at five levels, `plain` for those that need no units.
        n: How many images to draw.
        data: The image set; by default the one that the model was trained on.
        part: A part of the model's split, or `all`.
        seed: Of the draw and of all random streams.
        base: A checkpoint to compare with, for CE and mCE.
        take_all: Go on with all images of the part when there are fewer than n.
        options: What to say about a model that robustkit did not train; it holds for `base` too.
        group: How many images are swept together; see `AttackRequest`.
        draws: How often a perturbation with random numbers is drawn for each image; the answers are averaged.
    """

    perturbations: Sequence[str] = ()
    levels: Sequence[float] = ()
    suite: str | None = None
    n: int = 150
    data: str | os.PathLike[str] | None = None
    part: str = "test"
    seed: int = 0
    base: str | os.PathLike[str] | None = None
    take_all: bool = False
    options: ModelOptions | None = None
    group: int = 16
    draws: int = DRAWS

    def __post_init__(self) -> None:
        if self.group < 1:
            raise InputError(f"a group has at least 1 image, came --group {self.group}")
        if self.draws < 1:
            raise InputError(f"--draws must be at least 1, got {self.draws}")
        if self.suite is not None and self.suite not in SUITES:
            raise InputError(f"unknown suite {self.suite!r}; known are {', '.join(SUITES)}")
        if bool(self.perturbations) == (self.suite is not None):
            raise InputError(f"name perturbations with --perturb or a suite ({', '.join(SUITES)}) with --suite")
        if self.levels and len(self.perturbations) != 1:
            raise InputError("--levels are those of one perturbation; give one --perturb, or leave --levels away")

    def named(self) -> list[Named]:
        """What is swept, without levels."""
        return [read_name(text) for text in (self.perturbations if self.suite is None else SUITES[self.suite])]

    def steps(self, input_range: tuple[float, float] = (0.0, 1.0), bands: int = 2) -> list[Perturbation]:
        """Every perturbation at every level, from mild to severe; the level at which nothing happens is left out.

        Args:
            input_range: Lowest and highest network input, for perturbations of it.
            bands: How many there are; a suite leaves away what needs more.
        """
        found = []
        for named in self.named():
            if self.suite is not None and bands < named.kind.least_bands:
                continue
            fitted = dict(zip(("low", "high"), input_range, strict=True)) if issubclass(named.kind, OnInput) else {}
            levels = dict.fromkeys(float(level) for level in self.levels or named.kind.levels)
            one = Named(named.kind, fitted | named.options)
            made = [one.at(level) for level in levels if level != named.kind.identity]
            found += sorted(made, key=lambda perturbation: perturbation.strength())
        if not found:
            raise InputError("nothing would happen at these levels; give others with --levels")
        return found
