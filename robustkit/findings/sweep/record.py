"""What a sweep is asked for, and what it finds: the answers at each level of each perturbation."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from robustkit.errors import InputError
from robustkit.options import option
from robustkit.records import Record
from robustkit.runs.selection import Selection
from robustkit.words import no_such

RECORD, BASE_RECORD = "sweep.npz", "sweep-base.npz"
SUITES = ("lsst", "plain")
DRAWS = 5  # of the random numbers of a perturbation, averaged for each image


@dataclass(frozen=True)
class SweepPart:
    """The sweeps of an audit: names of perturbations, or a suite; `auto` takes what the units of the images allow.

    Perturbations with random numbers are drawn `draws` times for each image, and the answers are averaged.
    """

    suite: str = "auto"
    perturbations: tuple[str, ...] = ()
    draws: int = DRAWS


@dataclass(frozen=True, kw_only=True)
class SweepRequest(Selection):
    """What a sweep is asked for, beside the images.

    Attributes:
        perturbations: Names, with options if need be (`psf,restore_noise=false`), or your own classes as
            `package.module:Class`.
        levels: For a single perturbation; by default its five named levels.
        suite: `lsst` for every perturbation at five levels, `plain` for those that need no units.
        base: A checkpoint to compare with, for CE and mCE; `options` hold for it too.
        draws: How often a perturbation with random numbers is drawn for each image; the answers are averaged.
    """

    perturbations: Sequence[str] = option(
        (), "exposure, cosmic-ray ..., psf,restore_noise=false with options, or package.module:Class.",
        flag="--perturb", click={"multiple": True},
    )  # fmt: skip
    levels: Sequence[float] = option(
        (), "Of one perturbation, in its unit.", shown="its five named levels", click={"numbers": True}
    )
    suite: str | None = option(None, "lsst: every perturbation at five levels; plain: those that need no units.")
    base: str | os.PathLike[str] | None = option(None, "A checkpoint to compare with (mCE).", click={"type": str})
    draws: int = option(DRAWS, "Draws of the random numbers of a perturbation for each image, averaged.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.draws < 1:
            raise InputError(f"--draws must be at least 1, got {self.draws}")
        if self.suite is not None and self.suite not in SUITES:
            raise InputError(no_such("suite", self.suite, SUITES))
        if bool(self.perturbations) == (self.suite is not None):
            raise InputError(f"name perturbations with --perturb or a suite ({', '.join(SUITES)}) with --suite")
        if self.levels and len(self.perturbations) != 1:
            raise InputError("--levels are those of one perturbation; give one --perturb, or omit --levels")


@dataclass(frozen=True, eq=False)
class SweepRecord(Record):
    """What was found. N images, S steps (a perturbation at a level), K classes.

    Attributes:
        ids: The images, shape (N,), str.
        true: True classes, shape (N,).
        clean_class: Of the images as they are, shape (N,); -1 where the logits are not finite, -2 where memory ran
            out for the image alone, so that nothing is known of it.
        clean_margin: Logit of the true class less the highest other one, shape (N,).
        boundary: Distance to the nearest boundary in network input, shape (N,); 0 where the clean class is wrong, nan
            where nobody asked.
        name: The perturbation of each step with its options, shape (S,), str.
        level: Its level, shape (S,), float64.
        strength: Its strength, shape (S,): 0 where nothing happens, growing with severity.
        new_class: Of the first draw of the random numbers, shape (S, N); negative as above where any draw is.
        right: Share of the draws in which the answer is right, shape (S, N), in [0, 1]; 0 or 1 where nothing is random.
        margin: Mean over the draws, shape (S, N).
        distance: How far the latent moved, Euclidean, mean over the draws, shape (S, N); nan for a black box.
        draws: How often the random numbers of each step were drawn, shape (S,); 1 where nothing is random.
        outside: Stored values that left the declared bounds in the first draw of each step, shape (S,); they are
            counted, not clipped.
        disagreement: Share of the members of an ensemble that decide otherwise than all together, of the clean images
            and then at each step, mean over the draws, shape (1 + S, N); nan for a single network.
        class_names: The K classes.
        settings: What made the record, JSON values.
    """

    version = 4
    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("ids", "true", "clean_class", "clean_margin", "boundary"), "N"),
        **dict.fromkeys(("name", "level", "strength", "draws", "outside"), "S"),
        **dict.fromkeys(("new_class", "right", "margin", "distance"), "SN"), "disagreement": "TN",
        "class_names": "K",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {"true": "K", "clean_class": "K", "new_class": "K"}
    texts: ClassVar[Collection[str]] = ("ids", "name")

    ids: np.ndarray
    true: np.ndarray
    clean_class: np.ndarray
    clean_margin: np.ndarray
    boundary: np.ndarray
    name: np.ndarray
    level: np.ndarray
    strength: np.ndarray
    new_class: np.ndarray
    right: np.ndarray
    margin: np.ndarray
    distance: np.ndarray
    draws: np.ndarray
    outside: np.ndarray
    disagreement: np.ndarray
    class_names: list[str]
    settings: dict[str, Any]

    def disagreement_at(self, row: int) -> float:
        """The mean of `disagreement` over images, clean (0) or at a step (from 1); nan for a single network."""
        known = self.disagreement[row][np.isfinite(self.disagreement[row])]
        return float(known.mean()) if len(known) else float("nan")

    def steps(self, name: str) -> np.ndarray:
        """The steps of one perturbation from mild to severe."""
        chosen = np.flatnonzero(self.name == name)
        return chosen[np.argsort(self.strength[chosen], kind="stable")]

    @classmethod
    def join(cls, records: Sequence[Self]) -> Self:
        """One record of parts of an image set, swept with the same settings, in the order given.

        Raises:
            InputError: If the settings differ.
        """
        first = records[0]
        if any(record.settings != first.settings for record in records):
            raise InputError("these sweeps have different settings; join those of one run")
        along = {
            name: np.concatenate([getattr(record, name) for record in records], -1)
            for name in (
                "ids",
                "true",
                "clean_class",
                "clean_margin",
                "boundary",
                "new_class",
                "right",
                "margin",
                "distance",
                "disagreement",
            )
        }
        draws = np.max([record.draws for record in records], 0)  # 0 for images that did not fit into memory
        return replace(first, **along, draws=draws, outside=np.sum([record.outside for record in records], 0))


STRIPS, STRIP_SIDE = "strips.npz", 48


@dataclass(frozen=True, eq=False)
class Strips(Record):
    """The first image drawn at every step of a sweep, S of them, as the network is given it.

    Attributes:
        id: The image.
        clean: Its picture as it is, shape (SIDE, SIDE, 3), uint8.
        pictures: At each step, by the first draw of the random numbers, in the limits of the clean picture, shape
            (S, SIDE, SIDE, 3), uint8.
    """

    axis_letters: ClassVar[Mapping[str, str]] = {"clean": "HW3", "pictures": "SHW3"}

    id: str
    clean: np.ndarray
    pictures: np.ndarray


def third(record: SweepRecord, name: str) -> int:
    """The step of the third level of a perturbation, or of its last."""
    steps = record.steps(name)
    return int(steps[min(2, len(steps) - 1)])


def losses(record: SweepRecord) -> dict[str, np.ndarray]:
    """Accuracy that each image loses to each perturbation at its third level, in [-1, 1], shape (N,)."""
    was_right = record.clean_class == record.true
    return {name: was_right - record.right[third(record, name)] for name in dict.fromkeys(record.name.tolist())}
