"""What a complete search is asked for, and what it finds: every cell of every image, tried or bounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from robustkit.errors import InputError
from robustkit.options import option
from robustkit.records import Record
from robustkit.runs.selection import Selection

if TYPE_CHECKING:
    from robustkit.perturb.threats import ValueRange

RECORD = "certificates.npz"


@dataclass(frozen=True)
class CertifyPart:
    """The complete search of an audit: seconds that it may take, and 0 for as long as it takes."""

    seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class CertifyRequest(Selection):
    """What a certificate is asked for, beside the images.

    Attributes:
        budget: The most queries per image; below the number of cells, how many of them flip is only bounded.
        values: What a pixel may become; see `robustkit.perturb.threats.make_values`, and
            `robustkit.perturb.amplitudes.make_amplitudes` for every value.
        value_range: `data` or `paper`.
        conformal: Instead of certificates, prediction sets that hold this share of the classes; see
            `robustkit.findings.certify.conformal`.
    """

    budget: int | None = option(
        None,
        "Most queries per image, or pixels with lines; too few for a complete pass bound how many cells flip.",
        click={"type": int},
    )
    values: str = option(
        "corners",
        "As for `robustkit attack`; with +edge, also what lies just inside the threshold of a front end; or line, "
        "every value of each band alone, or line:W,W,... of all together.",
    )
    value_range: ValueRange | None = option(
        None, "Ends of the values: data or paper, [0, 1].", flag="--range", shown="data"
    )
    conformal: float | None = option(
        None,
        "Prediction sets that hold this share of classes under any one pixel, as 0.9, from half of the images.",
        click={"type": float},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.conformal is None:
            return
        if not 0 < self.conformal < 1:
            raise InputError(f"expected --conformal above 0 and below 1, such as 0.9, got {self.conformal:g}")
        if self.budget is not None:
            raise InputError("--conformal needs the worst of all cells; leave --budget out")
        if self.values.startswith("line"):
            raise InputError("--conformal tries a declared set of values; use --values corners, not line")
        if "+" in self.values:
            raise InputError(
                f"--conformal tries the corners of a declared set alone; omit the +{self.values.partition('+')[2]}"
            )


@dataclass(frozen=True, eq=False)
class CertificateRecord(Record):
    """What every cell of N images does; a cell is a pixel and one of the V options of the value set.

    Attributes:
        ids: Image ids, shape (N,), str.
        labels: The class that each image should keep, shape (N,).
        correct: Whether it had that class before any change, shape (N,), bool; nothing was tried on the others.
        cells: H W V, the number of cells of an image.
        idle: How many cells leave the image as it is, shape (N,); these need no query.
        queries: How many cells were evaluated, shape (N,).
        flipping: How many of them flip the image, shape (N,).
        not_finite: How many gave logits that are not finite: no flips, but nothing is certified with them, shape (N,).
        flagged: How many a front end flags: these get no class and flip nothing, shape (N,). Of an image that is
            flagged as it is, all; it counts as wrong.
        out_of_memory: Whether memory ran out for the image alone, so that nothing is known of it, shape (N,), bool.
        rechecked: How many were so near the boundary that the network itself decided, shape (N,).
        chance_low: Lower end of the interval for the chance that a cell drawn at random flips the image, shape (N,).
        chance_high: Its upper end; after a complete pass both are the chance itself, but for cells that are not finite.
        drawn_at_random: How many cells were drawn at random from those that did not look dangerous, shape (N,); 0 where
            every cell was tried.
        at_most: How many cells flip the image or give output that is not finite, at most, shape (N,): the number
            itself after a complete pass, and otherwise a bound that holds with probability `level`.
        best_margin: Largest margin seen, in logits, shape (N,); minus its distance to the boundary if negative.
        best_row: Row of that pixel, shape (N,).
        best_column: Its column, shape (N,).
        best_value: Its new value, network input, shape (N, C).
        error_bound: How far the evaluator's margins of an image may lie from those of the network itself, in logits,
            shape (N,); nan where nothing was tried.
        margin_map: Largest margin of each pixel, shape (N, H, W); nan where nothing was tried.
        flips_map: How many options of each pixel flip the image, shape (N, H, W).
        level: Confidence level of the intervals.
        class_names: The K classes.
        settings: Values, budget and seed.
        seconds: How long it took; 0 in the file of a run, whose bytes depend on the answer alone.
    """

    version = 5
    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("ids", "labels", "correct", "idle", "queries", "flipping", "not_finite", "flagged", "out_of_memory",
             "rechecked", "chance_low", "chance_high", "drawn_at_random", "at_most", "best_margin", "best_row",
             "best_column", "error_bound"), "N",
        ),
        "best_value": "NC", "margin_map": "NHW", "flips_map": "NHW", "class_names": "K",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {"labels": "K", "best_row": "H", "best_column": "W"}

    ids: np.ndarray
    labels: np.ndarray
    correct: np.ndarray
    cells: int
    idle: np.ndarray
    queries: np.ndarray
    flipping: np.ndarray
    not_finite: np.ndarray
    flagged: np.ndarray
    out_of_memory: np.ndarray
    rechecked: np.ndarray
    chance_low: np.ndarray
    chance_high: np.ndarray
    drawn_at_random: np.ndarray
    at_most: np.ndarray
    best_margin: np.ndarray
    best_row: np.ndarray
    best_column: np.ndarray
    best_value: np.ndarray
    error_bound: np.ndarray
    margin_map: np.ndarray
    flips_map: np.ndarray
    level: float
    class_names: list[str]
    settings: dict[str, Any]
    seconds: float

    @property
    def complete(self) -> np.ndarray:
        """Which images had every cell tried, shape (N,), bool."""
        return self.correct & (self.queries + self.idle == self.cells)

    @property
    def certified(self) -> np.ndarray:
        """Which images no cell flips or comes near to flipping, shape (N,), bool."""
        return self.complete & (self.flipping == 0) & (self.not_finite == 0) & ~self.too_near

    @property
    def sampled(self) -> np.ndarray:
        """Which images had only some cells tried, and the number of those that flip bounded, shape (N,), bool."""
        return self.correct & ~self.complete & ~self.out_of_memory

    @property
    def too_near(self) -> np.ndarray:
        """Which images no cell flips, but some cell comes so near to the boundary that rounding may decide.

        Shape (N,), bool. They are neither certified nor flippable.
        """
        # Where nothing changes the image there is no best margin, and nothing to come near.
        near = (self.best_margin >= -self.error_bound) & (self.queries > 0)
        return self.complete & (self.flipping == 0) & near

    @property
    def flippable(self) -> np.ndarray:
        """Which images some cell flips, shape (N,), bool."""
        return self.flipping > 0

    @property
    def flagged_clean(self) -> np.ndarray:
        """Which images a front end flags as they are, shape (N,), bool."""
        return ~self.correct & (self.flagged > 0)

    def class_maps(self) -> tuple[np.ndarray, np.ndarray]:
        """Where a bad pixel hurts, averaged over the correct images of each class.

        Returns:
            The mean number of flipping options and the mean largest margin, each (K, H, W); nan for a class
            without images.
        """
        maps = []
        for values in (np.where(self.correct[:, None, None], self.flips_map, np.nan), self.margin_map):
            by_class = [values[self.labels == k] for k in range(len(self.class_names))]
            seen = [np.isfinite(of_class).sum(0) for of_class in by_class]
            total = [np.nansum(of_class, 0) for of_class in by_class]
            means = [np.where(n > 0, t / np.maximum(n, 1), np.nan) for t, n in zip(total, seen, strict=True)]
            maps.append(np.stack(means))
        return maps[0], maps[1]

    @classmethod
    def unknown(
        cls,
        ids: np.ndarray,
        labels: np.ndarray,
        *,
        shape: tuple[int, int, int],
        options: int,
        class_names: Sequence[str],
        settings: dict[str, Any],
        level: float = 0.95,
    ) -> Self:
        """The record of N images for which memory ran out.

        Args:
            ids: Image ids, shape (N,).
            labels: The class that each image should keep, shape (N,).
            shape: C, H and W.
            options: V, the size of the value set.
            class_names: The K classes.
            settings: Those of the images that did fit.
            level: Likewise.
        """
        n, (bands, height, width) = len(ids), shape
        nan, none = np.full(n, np.nan), np.zeros(n, dtype=np.int64)
        counted = ("idle", "queries", "flipping", "not_finite", "flagged", "rechecked", "drawn_at_random", "at_most")
        return cls(
            ids=ids, labels=labels, correct=none.astype(bool), cells=height * width * options,
            **dict.fromkeys(counted, none),
            out_of_memory=np.ones(n, dtype=bool), chance_low=nan, chance_high=nan,
            best_margin=nan.astype(np.float32), best_row=none - 1, best_column=none - 1,
            best_value=np.full((n, bands), np.nan, dtype=np.float32), error_bound=nan.astype(np.float32),
            margin_map=np.full((n, height, width), np.nan, dtype=np.float32),
            flips_map=np.zeros((n, height, width), dtype=np.int32), level=level,
            class_names=list(class_names), settings=settings, seconds=0.0,
        )  # fmt: skip

    @classmethod
    def join(cls, records: Sequence[Self]) -> Self:
        """One record of parts of an image set, certified with the same settings.

        Raises:
            InputError: If the settings differ.
        """
        first = records[0]
        same = [(r.cells, r.level, r.class_names, r.settings) for r in records]
        if any(other != same[0] for other in same):
            raise InputError("these certificates have different values, budgets or seeds; join those of one run")
        arrays = [field.name for field in fields(cls) if isinstance(getattr(first, field.name), np.ndarray)]
        joined = {name: np.concatenate([getattr(record, name) for record in records]) for name in arrays}
        return replace(first, **joined, seconds=sum(record.seconds for record in records))


def chances(record: CertificateRecord) -> np.ndarray:
    """The chance that a random extreme pixel flips each correct image; empty where not all cells were tried."""
    if int(record.complete.sum()) < int(record.correct.sum()):
        return np.zeros(0)
    return record.chance_low[record.complete]
