"""Which remedies are tried, and what each of them does to the same images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustkit.errors import InputError
from robustkit.records import Record

RECORD = "remedy.npz"
NONE = "none"
TRIED = ("across", "across:1", "clip", "joint:5")
QUICK = ("across", "clip")
_QUICK_IMAGES = 12
# No path and no package: a file never chooses the code that runs.
_PART = r"(detect:)?[a-z]+(:[0-9.]+)?"
_NAME = re.compile(rf"{_PART}(\+{_PART})*")


@dataclass(frozen=True)
class RemedyPart:
    """The remedies that an audit tries.

    Attributes:
        tried: Whether any is.
        n: The complete search goes over so many of the images, the first drawn; 0 for all of them.
        fronts: Front ends that are put before the model as it is, and before each of `models`.
        models: Checkpoints of the same classes trained to be more robust, which are tried as well.
        lines: Every amplitude of every pixel is followed in so many of these images, where no front end is in the way;
            0 for none.
    """

    tried: bool = False
    n: int = 60
    fronts: tuple[str, ...] = TRIED
    models: tuple[str, ...] = ()
    lines: int = 12

    def __post_init__(self) -> None:
        if self.lines < 0:
            raise InputError(f"[remedy] lines must be at least 1, or 0 for none, got {self.lines}")
        if self.n < 0:
            raise InputError(f"[remedy] n must be at least 1, or 0 for all images, got {self.n}")
        for name in self.fronts:
            if not _NAME.fullmatch(name):
                raise InputError(
                    f"[remedy] fronts are those of robustkit, such as clip, joint:5 or nan+clip, got {name!r}; put one "
                    "of your own before the model with `robustkit repair`, and name the result with --remedy-model"
                )
        if len(set(self.fronts)) < len(self.fronts):
            raise InputError("[remedy] names a front end twice; name each once")


def quick(part: RemedyPart) -> RemedyPart:
    """The same with few images and front ends, unless these were chosen."""
    plain = RemedyPart()
    n = _QUICK_IMAGES if part.n == plain.n else part.n
    fronts = QUICK if part.fronts == plain.fronts else part.fronts
    lines = 0 if part.lines == plain.lines else part.lines
    return RemedyPart(part.tried, n, fronts, part.models, lines)


@dataclass(frozen=True, eq=False)
class RemedyRecord(Record):
    """What R remedies, the first of which is none, do to M images in a complete search and to T images of all domains.

    Attributes:
        remedies: What each is called.
        values: The declared values that the search tried, R texts.
        commands: The command that makes each.
        ids: Image ids of the search, shape (M,), str.
        labels: True classes of these, shape (M,).
        right: Which are classified correctly, shape (R, M), bool.
        flipped: Which of them some cell flips, shape (R, M), bool.
        certified: Which of them no cell flips or comes near to flipping, shape (R, M), bool.
        every: Of how many correct images every amplitude of every pixel in one band was followed, how many of these
            are certified, and how many flipped, shape (R, 3); -1 where nothing follows the lines.
        domains: Names, the audited images first.
        domain_of: The domain of each image, shape (T,).
        domain_right: Which are classified correctly, shape (R, T), bool.
        hazard: Expected changes of class of a million objects by accidents, and the ends of the interval, shape (R, 3);
            nan where no rate is known.
        changed: Share of the pixel values of clean images that the front end changes, shape (R,).
        search_seconds: Processor seconds of the complete search per image, shape (R,).
        forward_seconds: Of one prediction, shape (R,).
        class_names: The K classes.
        notes: What was not tried, and why, one sentence each.
    """

    version: ClassVar[int] = 2
    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("remedies", "values", "commands", "changed", "search_seconds", "forward_seconds"), "R"),
        **dict.fromkeys(("ids", "labels"), "M"),
        **dict.fromkeys(("right", "flipped", "certified"), "RM"),
        "domains": "D", "domain_of": "T", "domain_right": "RT", "hazard": "R3", "every": "R3", "class_names": "K",
        "notes": "O",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {"labels": "K", "domain_of": "D"}

    remedies: list[str]
    values: list[str]
    commands: list[str]
    ids: np.ndarray
    labels: np.ndarray
    right: np.ndarray
    flipped: np.ndarray
    certified: np.ndarray
    every: np.ndarray
    domains: list[str]
    domain_of: np.ndarray
    domain_right: np.ndarray
    hazard: np.ndarray
    changed: np.ndarray
    search_seconds: np.ndarray
    forward_seconds: np.ndarray
    class_names: list[str]
    notes: list[str]
