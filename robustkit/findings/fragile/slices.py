"""Accuracy and flips by what a catalogue says of the objects: faint or bright, small or large, sharp or blurred."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from robustkit.data.readers.naming import LABELS
from robustkit.findings.fragile.record import FragileRecord
from robustkit.report.blocks import PAGE, Axis, Drawing, Panel, Series
from robustkit.report.palette import Meaning
from robustkit.report.section import Table
from robustkit.stats import Estimate, holm, wilson

PEAK = "peak over sky (σ)"
_FEWEST = 40  # images that a column must say something of
_MOST_DRAWN = 4
# What one asks about first: brightness, size, signal, sharpness.
_FIRST = tuple(re.compile(one, re.IGNORECASE) for one in (
    r"(^|_)(\w*mag|mag\w*)(_|$)", r"radius|size|r50|r_e|petro|halflight", r"snr|s_n|signal|peak", r"seeing|psf|fwhm",
))  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """The images of one bin of a column.

    Attributes:
        column: The column.
        low: Its lowest value in the bin.
        high: Its highest.
        middle: Its median.
        model: Of which model the rates are.
        accuracy: On the images of the bin.
        flips: Of those classified correctly, how many a pixel was seen to flip.
    """

    column: str
    low: float
    high: float
    middle: float
    model: str
    accuracy: Estimate
    flips: Estimate


@dataclass(frozen=True)
class Dependence:
    """Whether a column and an outcome go together.

    Attributes:
        column: The column.
        model: The model.
        outcome: `accuracy` or `flips`.
        p: Of the Mann-Whitney test, adjusted over all columns of the model and outcome by Holm's method.
        lower: Whether low values go with the bad outcome.
    """

    column: str
    model: str
    outcome: str
    p: float
    lower: bool


def columns_of(record: FragileRecord) -> dict[str, np.ndarray]:
    """The columns that images can be sorted by, shape (N,) each; what gives away the class is none of them."""
    found = {name: values for name, values in zip(record.names, record.values.T, strict=True) if name not in LABELS}
    if np.isfinite(record.peak).any():
        found[PEAK] = record.peak
    usable: dict[str, np.ndarray] = {}
    for name, values in found.items():
        known = values[np.isfinite(values)]
        if len(known) >= _FEWEST and len(np.unique(known)) >= 3:
            usable[name] = values
    return usable


def slices_of(record: FragileRecord, model: str) -> list[Slice]:
    """Rates by quantile bins of each column, at most four of about equal numbers of images."""
    found = []
    for name, values in columns_of(record).items():
        for mask in bins(values):
            inside = values[mask]
            accuracy = wilson(int(record.right[mask].sum()), int(mask.sum()))
            correct = mask & record.right
            flips = wilson(int(record.flipped[correct].sum()), int(correct.sum()))
            ends = (float(inside.min()), float(inside.max()), float(np.median(inside)))
            found.append(Slice(name, *ends, model, accuracy, flips))
    return found


def bins(values: np.ndarray) -> list[np.ndarray]:
    """Quantile bins as masks, shape (N,) each; equal values are never parted.

    Args:
        values: Shape (N,); those that are not finite are in no bin.

    Examples:
        >>> [int(one.sum()) for one in bins(np.arange(100.0))]
        [25, 25, 25, 25]
        >>> [int(one.sum()) for one in bins(np.repeat([1.0, 2.0], [90, 10]))]
        [90, 10]
    """
    known = values[np.isfinite(values)]
    count = 4 if len(known) >= 80 else 3 if len(known) >= 45 else 2
    edges = np.unique(np.quantile(known, np.arange(1, count) / count, method="inverted_cdf"))
    place = np.where(np.isfinite(values), np.searchsorted(edges, values, side="left"), -1)
    return [place == one for one in np.unique(place[place >= 0])]


def dependences(record: FragileRecord, model: str) -> list[Dependence]:
    """For each column, whether right and wrong images, and flipped and others, differ in it."""
    found = []
    for outcome, bad, among in (
        ("accuracy", ~record.right, np.ones(len(record.ids), bool)),
        ("flips", record.flipped, record.right),
    ):
        tested: list[tuple[str, float, bool]] = []
        for name, values in columns_of(record).items():
            known = among & np.isfinite(values)
            ill, well = values[known & bad], values[known & ~bad]
            if len(ill) and len(well):
                test = mannwhitneyu(ill, well)
                tested.append((name, float(test.pvalue), float(test.statistic) < len(ill) * len(well) / 2))
        if tested:
            adjusted = holm([p for _, p, _ in tested])
            found += [
                Dependence(name, model, outcome, float(p), lower)
                for (name, _, lower), p in zip(tested, adjusted, strict=True)
            ]
    return found


@dataclass(frozen=True, eq=False)
class Slices:
    """Accuracy and flips by the columns of a catalogue, of one model or two.

    Attributes:
        records: By model.
        name: Of its files.
    """

    records: dict[str, FragileRecord]
    name: str = "slices"

    @property
    def title(self) -> str:
        """Its heading."""
        return "By brightness, size and other columns"

    @property
    def slices(self) -> list[Slice]:
        """All bins of all models."""
        return [one for model, record in self.records.items() for one in slices_of(record, model)]

    @property
    def tests(self) -> list[Dependence]:
        """What goes with what."""
        return [one for model, record in self.records.items() for one in dependences(record, model)]

    def summary(self) -> str:
        """Which columns matter, and how sure that is."""
        certain = sorted((one for one in self.tests if one.p < 0.05), key=lambda one: one.p)
        said = [
            f"{one.model} {'is wrong' if one.outcome == 'accuracy' else 'flips'} more often at "
            f"{'low' if one.lower else 'high'} {one.column} (p {_p(one.p)})"
            for one in certain[:4]
        ]
        found = "; ".join(said) if said else "No column is shown to go with errors or flips"
        more = f"; {len(certain) - 4} more in the table" if len(certain) > 4 else ""
        count = len({one.column for one in self.tests})
        return (
            f"{found}{more}. Bins hold about equal numbers of images, bars are 95% intervals; "
            f"p of Mann-Whitney tests, adjusted for {count} {'column' if count == 1 else 'columns'} (Holm)."
        )

    def table(self) -> Table:
        """A row for each bin and model."""
        p = {(one.model, one.column, one.outcome): _p(one.p) for one in self.tests}
        rows = [
            (one.column, f"{one.low:.6g}", f"{one.high:.6g}", one.model, one.accuracy.n, *_ends(one.accuracy),
             p.get((one.model, one.column, "accuracy"), ""), one.flips.n, *_ends(one.flips),
             p.get((one.model, one.column, "flips"), ""))
            for one in self.slices
        ]  # fmt: skip
        return Table(
            ("column", "from", "to", "model", "images", "accuracy", "low", "high", "p of accuracy", "correct images",
             "flip rate", "low of flips", "high of flips", "p of flips"), rows,
        )  # fmt: skip

    def drawing(self) -> Drawing:
        """Two panels for each column: accuracy, and the rate of flips."""
        every, chosen = self.slices, self._chosen()
        panels: list[Panel] = []
        for name in chosen:
            for kind, title in (("accuracy", "accuracy"), ("flips", "flip rate")):
                series: list[Series] = []
                for place, model in enumerate(self.records):
                    mine = [one for one in every if (one.column, one.model) == (name, model)]
                    rates = [getattr(one, kind) for one in mine]
                    middles = np.array([one.middle for one in mine])
                    room = np.ptp(middles) * 0.015 * (place - (len(self.records) - 1) / 2)
                    value, low, high = (
                        np.array([float(getattr(one, end)) for one in rates]) for end in ("value", "low", "high")
                    )
                    series.append(
                        Series(middles + room, value, Meaning(model=model), low, high, marked=True, bars=True)
                    )
                panels.append(Panel(series, x=Axis(name), y=Axis(title, (-0.03, 1.03))))
        rows = -(-len(panels) // 4) if len(panels) > 2 else 1
        columns = min(4, len(panels))
        return Drawing(
            panels, size=(PAGE, 0.4 + 1.9 * rows), height=70 + 180 * rows, columns=columns,
            legend="above" if len(self.records) > 1 else "none",
        )  # fmt: skip

    def _chosen(self) -> list[str]:
        """The columns that are drawn: what one asks about first, then what matters most."""
        names = list(dict.fromkeys(one.column for one in self.slices))
        best = {name: min((one.p for one in self.tests if one.column == name), default=1.0) for name in names}
        asked = [next((name for name in names if pattern.search(name)), "") for pattern in _FIRST]
        return list(dict.fromkeys([*filter(None, asked), *sorted(names, key=lambda name: best[name])]))[:_MOST_DRAWN]


def any_slices(records: Sequence[FragileRecord]) -> bool:
    """Whether there is a column to sort by."""
    return any(columns_of(record) for record in records)


def _ends(one: Estimate) -> tuple[str, str, str]:
    value, low, high = (
        f"{float(end):.3g}" if np.isfinite(float(end)) else "" for end in (one.value, one.low, one.high)
    )
    return value, low, high


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.2g}"
