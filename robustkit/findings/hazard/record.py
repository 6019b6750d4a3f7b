"""What accidents at random do to each image, and how often they happen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from robustkit.errors import InputError
from robustkit.options import option
from robustkit.perturb.faults.registry import HITS
from robustkit.records import Record
from robustkit.runs.selection import Selection
from robustkit.words import no_such

NAME, RECORD = "hazard", "hazard.npz"
# Numbers of a page, and of gates.
CHANGES, MASKED = "changes_per_million", "masked_changes_per_million"
VISIT = "visit"
EVENTS = 40
# Of the events, by default, those that are left when a pipeline finds 99 of 100: an assumption, not a measurement.
KEPT = 0.01
# An image hit more often than this is no longer an image with an accident.
_MOST_EVENTS = 1000.0
# Events that are tried on an image: their severities are drawn before the first.
_MOST_TRIED = 1_000_000


@dataclass(frozen=True)
class HazardPart:
    """The accidents of an audit: how many events of each fault hit each image, one at a time."""

    events: int = 8

    def __post_init__(self) -> None:
        _check_events(self.events)


@dataclass(frozen=True, kw_only=True)
class HazardRequest(Selection):
    """What a hazard is asked for, beside the images.

    Attributes:
        faults: Names of faults; by default all.
        events: How many events of each fault hit each image, one at a time.
        rates: `fault=events` for rates of your own, in events per image, all bands and visits together.
        survey: Whose rates are taken; by default the one that the images are declared to be of.
        kept: The share of events that a pipeline neither masks nor rejects; every number is given with it and without.
        depths: `own`, `visit`, or years as in `Y1`; by default that of the images, and a year and a visit of them.
        rare: Whether chances too small for the events are estimated as well, by splitting.
    """

    faults: Sequence[str] = option(
        (), "cosmic-ray, hot-pixel ...", flag="--fault", shown="all", click={"multiple": True}
    )
    events: int = option(EVENTS, "Events of each fault that hit each image, one at a time.")
    rates: Sequence[str] = option(
        (), "A rate of your own, in events per image, as satellite=0.002.", flag="--rate", click={"multiple": True}
    )
    survey: str | None = option(None, "Whose rates.", shown="that of the images")
    kept: float = option(KEPT, "Share of the events that a pipeline neither masks nor rejects.")
    depths: Sequence[str] = option(
        (), "own, visit or years as in Y1.", flag="--depth", shown="own, Y1 and visit", click={"multiple": True}
    )

    rare: bool = option(False, "Also estimate chances too small for the events, of faults with a rate, by splitting.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for fault in self.faults:
            if fault not in HITS:
                raise InputError(no_such("fault", fault, HITS))
        if len(set(self.faults)) < len(self.faults):
            raise InputError("a fault is given twice; give each --fault once")
        _check_events(self.events)
        if not 0 <= self.kept <= 1:
            raise InputError(f"--kept must be between 0 and 1, got {self.kept}")
        self.own_rates()

    def own_rates(self) -> dict[str, float]:
        """The rates given, by fault.

        Raises:
            InputError: If one is not understood.
        """
        found: dict[str, float] = {}
        for text in self.rates:
            fault, sign, number = text.partition("=")
            if fault not in HITS:
                raise InputError(no_such("fault", fault, HITS))
            try:
                rate = float(number) if sign else math.nan
            except ValueError:
                rate = math.nan
            if not 0 <= rate <= _MOST_EVENTS:
                raise InputError(
                    f"expected --rate as a fault and events per image from 0 to {_MOST_EVENTS:g}, such as "
                    f"satellite=0.002, got {text!r}"
                )
            found[fault] = rate
        return found


def _check_events(events: int) -> None:
    if not 1 <= events <= _MOST_TRIED:
        raise InputError(f"--events must be from 1 to {_MOST_TRIED:,}, got {events}")


def depth_word(name: str) -> str:
    """An exposure in a sentence."""
    return "a single visit" if name == VISIT else name


def record_name(place: int, depth: str) -> str:
    """What the record of an exposure is called; the first is that of the images."""
    return NAME if place == 0 else f"{NAME}-{depth}"


@dataclass(frozen=True, eq=False)
class HazardRecord(Record):
    """What E events of each of F faults do to N images, each event alone.

    Attributes:
        ids: Image ids, shape (N,), str.
        true: True classes, shape (N,).
        clean: Classes without any accident, shape (N,); `NOT_FINITE` where the answer was not finite,
            `OUT_OF_MEMORY` where memory ran out.
        faults: Names, F of them.
        became: How many events gave each class, shape (F, N, K + 1); the last is output that is not finite.
        level: The severity of each event, shape (F, E), in the fault's unit.
        units: Units of severity, F of them.
        rate: Expected events per image in the whole exposure, before any is left out, shape (F,); nan where nobody
            publishes it.
        source: Where the rates stand, F of them.
        kept: The share of events that is neither masked nor rejected.
        depth: Of the images, such as `Y10`, or that they were made to have.
        class_names: The K classes.
        settings: Seed, events, conditions.
        rare: Independent estimates of the mean chance over the images of a unit, for each of its images, shape
            (F, R, N); R is 0 where they were not asked for, and nan stands for a fault without a rate.
    """

    version = 2
    axis_letters: ClassVar[Mapping[str, str]] = {
        "ids": "N", "true": "N", "clean": "N", "faults": "F", "became": "FNJ", "level": "FE", "units": "F", "rate": "F",
        "source": "F", "class_names": "K", "rare": "FRN",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {"true": "K", "clean": "K"}

    ids: np.ndarray
    true: np.ndarray
    clean: np.ndarray
    faults: list[str]
    became: np.ndarray
    level: np.ndarray
    units: list[str]
    rate: np.ndarray
    source: list[str]
    kept: float
    depth: str
    class_names: list[str]
    settings: dict[str, Any]
    rare: np.ndarray

    @property
    def events(self) -> int:
        """E."""
        return self.level.shape[1]

    @property
    def looked(self) -> np.ndarray:
        """Which images had a class to change, shape (N,), bool."""
        return self.clean >= 0

    def chances(self) -> np.ndarray:
        """The chance that one event changes the class of each image, shape (F, N); nan where nothing was looked at."""
        kept = np.take_along_axis(self.became, np.maximum(self.clean, 0)[None, :, None], 2)[..., 0]
        return np.where(self.looked, 1 - kept / self.events, np.nan)

    @classmethod
    def join(cls, records: Sequence[Self]) -> Self:
        """One record of parts of an image set.

        Raises:
            InputError: If the settings differ.
        """
        first = records[0]
        if any((r.faults, r.settings) != (first.faults, first.settings) for r in records):
            raise InputError("these hazards were measured with different settings; join those of one run")
        names = ("ids", "true", "clean")
        joined = {name: np.concatenate([getattr(record, name) for record in records]) for name in names}
        return replace(
            first,
            **joined,
            became=np.concatenate([record.became for record in records], 1),
            rare=np.concatenate([record.rare for record in records], 2),
        )
