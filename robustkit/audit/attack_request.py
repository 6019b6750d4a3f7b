"""What an attack on a checkpoint is asked to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from robustkit.audit.sample import Inputs
from robustkit.data import ImageSet
from robustkit.engine import make_evaluator
from robustkit.engine.rate import candidates_per_second
from robustkit.errors import InputError
from robustkit.models import Checkpoint, ModelOptions
from robustkit.perturb.attack_settings import AttackSettings, Targeted
from robustkit.perturb.proof import FlipRule
from robustkit.perturb.search.differential_evolution import DifferentialEvolution
from robustkit.perturb.search.registry import DEFAULT_SEARCHES, make_search
from robustkit.perturb.threats import ValueRange, make_values
from robustkit.perturb.values import ValueSet

PRESETS = ("paper",)


@dataclass(frozen=True)
class AttackRequest:
    """What an attack on a checkpoint is asked to do; `None` takes the default, or what the preset says.

    Attributes:
        n: How many images to draw.
        data: The image set; by default the one that the model was trained on.
        part: A part of the model's split, or `all`.
        searches: Names of searches, run side by side.
        budget: The most queries of an image, for each search and target.
        values: What a pixel may become; see `robustkit.perturb.threats.make_values`.
        value_range: `data` or `paper`.
        preset: `paper` for exactly the published search: targeted at the wrong classes in turn, a success above
            probability 0.5, 400 candidates, 80 generations, values from 0 to 1.
        targeted: `in-turn` or `each`; see `AttackSettings`.
        pixels: How many pixels a candidate overwrites.
        seed: Of the draw and of all random streams.
        take_all: Go on with all images of the part when there are fewer than n.
        options: What to say about a model that robustkit did not train.
        group: How many images are attacked together: what a worker is given at once, and what a killed run loses at
            most. It decides how arithmetic is batched, so on one device a group gives one answer to the last bit.
    """

    n: int = 150
    data: str | os.PathLike[str] | None = None
    part: str = "test"
    searches: Sequence[str] = ()
    budget: int | None = None
    values: str | None = None
    value_range: ValueRange | None = None
    preset: str | None = None
    targeted: Literal["in-turn", "each"] | None = None
    pixels: int = 1
    seed: int = 0
    take_all: bool = False
    options: ModelOptions | None = None
    group: int = 16

    def __post_init__(self) -> None:
        if self.group < 1:
            raise InputError(f"a group has at least 1 image, came --group {self.group}")
        if self.targeted not in (None, "in-turn", "each"):
            raise InputError(f"unknown targets {self.targeted!r}; --targeted takes in-turn, its default, or each")
        if self.preset is None:
            return
        if self.preset not in PRESETS:
            raise InputError(f"unknown preset {self.preset!r}; known are {', '.join(PRESETS)}")
        fixed = {"--search": self.searches, "--budget": self.budget, "--values": self.values}
        fixed |= {"--range": self.value_range, "--targeted": self.targeted, "--pixels": self.pixels != 1}
        given = [option for option, value in fixed.items() if value]
        if given:
            raise InputError(
                f"--preset {self.preset} fixes what {', '.join(given)} would change; leave either of them away"
            )

    def settings(self, checkpoint: Checkpoint, image_set: ImageSet, images: Tensor | Inputs) -> AttackSettings:
        """The settings of the attack.

        Args:
            checkpoint: What is attacked.
            image_set: Where the images come from, whose units and bounds count.
            images: Their network input, shape (N, C, H, W).
        """
        paper = self.preset == "paper"
        values = make_values(
            "paper" if paper else self.values or "corners",
            input_range=checkpoint.card.input_range,
            value_range=self.value_range,
            stretch=checkpoint.stretch,
            units=image_set.units,
            bounds=image_set.bounds,
            device=checkpoint.classifier.device,
        )
        if paper:
            searches = (DifferentialEvolution(form="published"),)
            return AttackSettings(searches, values, self.seed, targeted=True, rule=FlipRule(0.5), report="best")
        self._check_complete(checkpoint, images, values)
        targeted: Targeted = self.targeted if self.targeted == "each" else self.targeted is not None
        return AttackSettings(
            tuple(make_search(name) for name in self.searches or DEFAULT_SEARCHES),
            values,
            self.seed,
            budget=self.budget,
            pixels=self.pixels,
            targeted=targeted,
        )

    def _check_complete(self, checkpoint: Checkpoint, images: Tensor | Inputs, values: ValueSet) -> None:
        """Refuses a complete search that the budget would cut short, with what it would take."""
        cells = images.shape[2] * images.shape[3] * values.size
        if "complete" not in self.searches or self.budget is None or self.budget >= cells:
            return
        evaluator = make_evaluator(checkpoint.classifier, images[:8].to(checkpoint.classifier.device))
        seconds = cells / candidates_per_second(evaluator)
        raise InputError(
            f"a complete search tries {cells:,} cells an image and --budget allows {self.budget:,}; "
            f"leave --budget away (about {seconds:.2g} s an image here), or use --search auto"
        )
