"""Which images a run looks at, and how many of them at once: what the settings of every measurement begin with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustkit.errors import InputError
from robustkit.options import option

if TYPE_CHECKING:
    from robustkit.models import ModelOptions


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which images a run looks at.

    Attributes:
        n: How many images to draw.
        data: The image set; by default the one that the model was trained on.
        part: A part of the model's split, or `all`.
        seed: Random seed, for drawing images and for everything random.
        take_all: Continue with all images of the part when there are fewer than n.
        options: Options for a third-party model.
        group: How many images are measured together: the unit of work of a worker, and what a killed run loses at
            most. It decides how arithmetic is batched, so on one device a group gives one answer to the last bit.
            By default 16, and fewer for networks that compute much.
    """

    n: int = option(150, "Images to draw.", shown="150, or all there are")
    data: str | os.PathLike[str] | None = option(
        None, "A labelled image set.", shown="the one that the model was trained on"
    )
    part: str = option("test", "train, valid or test of the model's split, or all.")
    seed: int = option(0, "Random seed, for drawing images and for everything random.")
    take_all: bool = option(False, "Use all images if there are fewer than --n, instead of stopping.", flag="--all")
    options: ModelOptions | None = None
    group: int | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"expected at least 1 image, got --n {self.n}")
        if self.group is not None and self.group < 1:
            raise InputError(f"--group must be at least 1, got {self.group}")
