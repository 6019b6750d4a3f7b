"""A fault as a threat: what it may be and where it may fall, as points of a unit cube that a search walks.

A fault draws its place, its angle or its band from random streams. Here the numbers that it would draw are given to
it, so that every perturbation whose draws are uniform or whole numbers is a threat as it is, a user's own included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.perturb.faults.naming import Named, read_name
from robustkit.perturb.perturbation import Perturbation, Stage
from robustkit.seeds import Streams

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.data import Stretch
    from robustkit.perturb.conditions import Conditions

Floats = NDArray[np.float64]

# Between ends further apart than this factor, equal steps are equal factors.
_GEOMETRIC = 10.0
# Draws that are a place, which a complete pass takes in whole pixels.
_PLACES = ("row", "column")


class Chosen(Streams):
    """Stands in for random streams: every draw takes the next of the numbers given, one row of them per image.

    Args:
        numbers: In [0, 1], shape (N, D); `None` for one image whose draws are only counted, all of them one half.
    """

    def __init__(self, numbers: Floats | None) -> None:
        super().__init__(0, ())
        self.numbers = np.zeros((1, 0)) if numbers is None else np.asarray(numbers, np.float64)
        self.counting, self.kinds = numbers is None, list[int]()
        self._at = 0

    def __len__(self) -> int:
        return len(self.numbers)

    def uniform(self, *shape: int) -> np.ndarray:
        """The next numbers, shape (N, *shape), float32."""
        return self._next(0, shape).astype(np.float32)

    def integers(self, high: int, *shape: int) -> np.ndarray:
        """The next numbers as integers in [0, high), shape (N, *shape), int64."""
        return np.minimum((self._next(high, shape) * high).astype(np.int64), high - 1)

    def normal(self, *shape: int) -> np.ndarray:
        """Refused: noise is no choice of an adversary."""
        raise InputError("this perturbation draws normal noise, which is no fault that a search could place")

    def _next(self, kind: int, shape: tuple[int, ...]) -> Floats:
        count = math.prod(shape)
        self.kinds += [kind] * count
        self._at += count
        if self.counting:
            return np.full((1, *shape), 0.5)
        if self._at > self.numbers.shape[1]:
            raise InputError("this perturbation draws more numbers at some of its values than at others")
        return self.numbers[:, self._at - count : self._at].reshape(-1, *shape)


@dataclass(frozen=True)
class Range:
    """The ends of one field of a fault.

    Attributes:
        name: The field.
        low: Its lowest value.
        high: Its highest.
        whole: Whether it takes whole numbers only.
    """

    name: str
    low: float
    high: float
    whole: bool

    def value(self, gene: Floats) -> Floats:
        """Values at numbers in [0, 1]; by equal factors where the ends lie far apart."""
        if self.whole:
            return np.minimum(self.low + np.floor(gene * (self.high - self.low + 1)), self.high)
        if self.low > 0 and self.high / self.low > _GEOMETRIC:
            return self.low * (self.high / self.low) ** gene
        return self.low + gene * (self.high - self.low)


class FaultSpace:
    """A fault with its ranges, on images of one size.

    Args:
        text: A name as for `robustkit sweep --perturb`; after it `,field=value` fixes a field, `,field=low:high` is its
            range.
        conditions: How the images were taken.
        size: H and W.
        stretch: From calibrated values to network input.

    Attributes:
        named: The fault without a level.
        ranges: Fields that vary; they are the first numbers of a point.
        draws: Names of the numbers that the fault draws; they follow.
        kinds: For each of these how many whole numbers it chooses from, 0 for any number in [0, 1].

    Raises:
        InputError: If the name is not understood, or a range is empty, infinite or not allowed.
    """

    def __init__(self, text: str, conditions: Conditions, size: tuple[int, int], stretch: Stretch) -> None:
        name, *pairs = text.split(",")
        own = {field: value for field, _, value in (pair.partition("=") for pair in pairs)}
        chosen = {field: value for field, value in own.items() if field == "level" or ":" in value}
        self.named = read_name(",".join([name, *(p for p in pairs if p.partition("=")[0] not in chosen)]))
        self.text, self.conditions, self.size, self.stretch = text, conditions, size, stretch
        kind = self.named.kind
        declared = {"level": (min(kind.levels), max(kind.levels)), **kind.ranges}
        declared = {field: ends for field, ends in declared.items() if field not in self.named.options}
        self.ranges = [self._range(field, declared, chosen.get(field)) for field in {**declared, **chosen}]
        self.draws, self.kinds = self._rehearsed()

    def __len__(self) -> int:
        return len(self.ranges) + len(self.draws)

    @property
    def places(self) -> list[int]:
        """Which numbers of a point a complete pass takes one by one."""
        first = len(self.ranges)
        return [
            first + i
            for i, (name, kind) in enumerate(zip(self.draws, self.kinds, strict=True))
            if name in _PLACES or (kind > 0 and (self.finite or name != "band"))
        ]

    @property
    def finite(self) -> bool:
        """Whether everything but the level is one of finitely many."""
        return len(self.ranges) <= 1 and all(self.kinds)

    def steps(self, place: int) -> Floats:
        """The numbers that a complete pass takes for a place: the middles of pixels, or of what is chosen from."""
        i = place - len(self.ranges)
        count = self.kinds[i] or self.size[_PLACES.index(self.draws[i])]
        return (np.arange(count) + 0.5) / count

    def levels(self) -> Floats:
        """The level of the fault's named levels within the range, as numbers in [0, 1]; of a finite space."""
        one = self.ranges[0]
        inside = [level for level in self.named.kind.levels if one.low <= level <= one.high] or [one.low]
        fine = np.linspace(0, 1, 100_001)
        return np.array([fine[np.abs(one.value(fine) - level).argmin()] for level in inside])

    def values(self, points: Floats) -> tuple[list[str], Floats]:
        """What points mean: names with units, and values, shape (P, V)."""
        names, columns, (height, width) = list[str](), list[Floats](), self.size
        for i, one in enumerate(self.ranges):
            names.append(f"level ({self.named.kind.unit})" if one.name == "level" else one.name)
            columns.append(one.value(points[:, i]))
        for i, (name, kind) in enumerate(zip(self.draws, self.kinds, strict=True), len(self.ranges)):
            gene = points[:, i]
            if name == "pixel":
                at = np.minimum(np.floor(gene * kind), kind - 1)
                names += ["row (pixel)", "column (pixel)"]
                columns += [at // width, at % width]
            elif kind:
                names.append(name if name in ("band", "line") or name.startswith("draw") else f"{name} (pixel)")
                columns.append(np.minimum(np.floor(gene * kind), kind - 1))
            elif name in _PLACES:
                names.append(f"{name} (pixel)")
                columns.append(gene * (height if name == "row" else width) - 0.5)
            elif name == "angle":
                names.append("angle (degree)")
                columns.append(180 * gene)
            else:
                names.append(name)
                columns.append(gene)
        return names, np.stack(columns, 1)

    def hit(self, stored: Tensor, points: Floats) -> Tensor:
        """Copies of one image, each hit at one point.

        Args:
            stored: Calibrated values, shape (1, C, H, W).
            points: Shape (P, len(self)).

        Returns:
            Shape (P, C, H, W).
        """
        made = stored.new_empty(len(points), *stored.shape[1:])
        for rows, fault in self.groups(points):
            streams = Chosen(points[rows, len(self.ranges) :])
            made[rows] = fault(stored.expand(len(rows), -1, -1, -1), conditions=self.conditions, streams=streams)
        return made

    def groups(self, points: Floats) -> list[tuple[NDArray[np.int64], Perturbation]]:
        """The points by their fault: those that differ in what it draws only."""
        fields_of = np.stack([one.value(points[:, i]) for i, one in enumerate(self.ranges)], 1)
        _, which = np.unique(fields_of, axis=0, return_inverse=True)
        order = np.argsort(which.ravel(), kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(which.ravel()[order])) + 1)
        return [(part, self._fault(fields_of[part[0]])) for part in parts if len(part)]

    def _fault(self, values: Floats) -> Perturbation:
        made: dict[str, Any] = dict(self.named.options)
        for one, value in zip(self.ranges, values, strict=True):
            made[one.name] = int(value) if one.whole else float(value)
        return self.named.kind(made.pop("level"), **made)

    def _range(self, field: str, declared: dict[str, tuple[float, float]], text: str | None) -> Range:
        kind, known = self.named.kind, {one.name: one for one in fields(self.named.kind)}
        if field not in known:
            raise InputError(f"{kind.name} has no field {field!r} to give a range; it has {', '.join(known)}")
        try:
            ends = declared[field] if text is None else tuple(float(part) for part in text.split(":"))
        except ValueError:
            ends = ()
        if len(ends) == 1:
            ends = (ends[0], ends[0])
        if len(ends) != 2 or not all(map(math.isfinite, ends)) or ends[0] > ends[1]:
            raise InputError(f"expected {field} of {kind.name} as low:high, two finite numbers, got {text or ends!r}")
        whole = isinstance(known[field].default, int) and not isinstance(known[field].default, bool)
        if field == "level" and not kind.valid[0] <= ends[0] <= ends[1] <= kind.valid[1]:
            low, high = kind.valid
            got = f"{ends[0]:g}:{ends[1]:g}"
            raise InputError(f"{kind.name} takes a level of {low:g} to {high:g} {kind.unit}, got {got}")
        return Range(field, ends[0], ends[1], whole and "float" not in str(known[field].type))

    def _rehearsed(self) -> tuple[list[str], list[int]]:
        """What the fault draws, by letting it hit an empty image."""
        kind: Named = self.named
        if kind.kind.stage == Stage.STRETCHED:
            raise InputError(f"{kind.kind.name} happens after the stretch; a threat happens in the detector")
        empty = torch.zeros(1, len(self.conditions.bands), *self.size)
        middle = np.full((1, len(self.ranges)), 0.5)
        fault = self._fault(np.array([one.value(middle[:, i])[0] for i, one in enumerate(self.ranges)]))
        asked = Chosen(None)
        fault(empty, conditions=self.conditions, streams=asked)
        names = list(kind.kind.draws)
        if kind.kind.draws and len(names) != len(asked.kinds):
            raise InputError(f"{kind.kind.name} names {len(names)} draws and makes {len(asked.kinds)}")
        return names or [f"draw {i + 1}" for i in range(len(asked.kinds))], asked.kinds
