"""Everything that decides the answer of an attack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from robustkit.errors import InputError
from robustkit.perturb.proof import FlipRule
from robustkit.perturb.search.base import SearchSettings
from robustkit.perturb.values import ValueSet

Targeted = bool | Literal["each"]
Report = Literal["first", "best"]


@dataclass(frozen=True, eq=False)
class AttackSettings:
    """Everything that decides the answer of an attack.

    Attributes:
        searches: Run side by side on the same images; their names must differ.
        values: What a pixel may become.
        seed: Of all random streams, at least 0.
        budget: The most queries of an image, for each search and target; `None` for each search's own end.
        pixels: L, how many pixels a candidate overwrites.
        targeted: `False` for any other class; `True` for the wrong classes in turn, until one is reached; `"each"`
            for every wrong class as an attempt of its own.
        rule: What counts as a flip.
        report: Which flip of a generation is kept: the `first`, at whose candidate the queries end, or the `best`,
            the one of highest probability, as in the published code, with the whole generation counted.
    """

    searches: tuple[SearchSettings, ...]
    values: ValueSet
    seed: int
    budget: int | None = None
    pixels: int = 1
    targeted: Targeted = False
    rule: FlipRule = field(default_factory=FlipRule)
    report: Report = "first"

    def __post_init__(self) -> None:
        names = [search.name for search in self.searches]
        if not names or len(set(names)) != len(names):
            raise InputError(f"expected one or more searches with different names, came {', '.join(names) or 'none'}")
        if self.seed < 0:
            raise InputError(f"the seed must be at least 0, came {self.seed}")
        if self.budget is not None and self.budget < 1:
            raise InputError(f"the budget must be at least 1 query an image, came {self.budget}")
        if self.pixels < 1:
            raise InputError(f"an attack changes at least 1 pixel, came {self.pixels}")
        if self.targeted not in (False, True, "each"):
            raise InputError(f"targeted is False, True or 'each', came {self.targeted!r}")

    def attempts(self, classes: int) -> int:
        """How many attempts a correct image of a classifier of so many classes gets."""
        return len(self.searches) * (classes - 1 if self.targeted == "each" else 1)

    def describe(self) -> str:
        """A few words for the terminal: which searches, how far, and to which classes."""
        names = " and ".join(search.name for search in self.searches)
        most = "to each search's own end" if self.budget is None else f"with at most {self.budget:,} queries"
        targets = {False: "to any other class", True: "to each wrong class in turn", "each": "to each wrong class"}
        return f"{names}, {most}, {targets[self.targeted]}"

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {
            "searches": [search.to_json() for search in self.searches],
            "values": self.values.to_json(),
            "seed": self.seed,
            "budget": self.budget,
            "pixels": self.pixels,
            "targeted": self.targeted,
            "success": "argmax" if self.rule.probability is None else self.rule.probability,
            "report": self.report,
        }
