"""Estimates with their intervals side by side: recalls, rates, paired differences."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from robustkit.report.blocks import PAGE, Axis, Drawing, Panel, Points, Rule
from robustkit.report.palette import Meaning
from robustkit.report.section import Table
from robustkit.stats.estimate import Estimate


@dataclass(frozen=True, eq=False)
class Forest:
    """Rows of estimates, a series for each model or domain.

    Attributes:
        name: Of its files.
        title: Its heading.
        axis: What is measured.
        rows: Label, series and estimate; a label may come once for each series.
        said: The first sentences of the caption.
        reference: Where a line is drawn, such as 0 for a difference.
        span: Ends of the axis, or `None` for those of the data.
        series_name: What a series is, for the table.
        means: What each series stands for; by default the model of its name.
        parts: Rows by the title of their panel, whose words at their start they omit; by default all stand in one.
        narrow: Whether it can be read at half the width of the page.
    """

    name: str
    title: str
    axis: str
    rows: Sequence[tuple[str, str, Estimate]]
    said: str = ""
    reference: float | None = None
    span: tuple[float, float] | None = (0.0, 1.0)
    series_name: str = "model"
    means: Mapping[str, Meaning] = field(default_factory=dict)
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    narrow: bool = False

    @property
    def labels(self) -> list[str]:
        """The rows, each once."""
        return list(dict.fromkeys(label for label, _, _ in self.rows))

    @property
    def series(self) -> list[str]:
        """The series, each once."""
        return list(dict.fromkeys(series for _, series, _ in self.rows))

    def summary(self) -> str:
        """Every number, up to eight."""
        if len(self.rows) > 8:
            return self.said
        spoken = [f"{label}{f' ({series})' if series else ''} {one}" for label, series, one in self.rows]
        return f"{self.said} {'; '.join(spoken)}.".strip()

    def table(self) -> Table:
        """A line for each estimate."""
        rows = [
            (label, series, _digits(one.value), _digits(one.low), _digits(one.high), one.n, one.method)
            for label, series, one in self.rows
        ]
        return Table(("what", self.series_name, self.axis, "low", "high", "n", "interval"), rows)

    def drawing(self) -> Drawing:
        """Points with their intervals."""
        parts = self.parts or {"": self.labels}
        most = max(map(len, parts.values()))
        labels = [_wrapped(one) for one in self.labels][:most]
        lines = sum(text.count("\n") + 1 for text in labels)
        return Drawing(
            [self._panel(title, rows) for title, rows in parts.items()],
            size=(PAGE * 0.75, 0.9 + 0.16 * max(lines, len(labels) * (0.6 + len(self.series)))),
            height=100 + max(20 * lines, (10 + 17 * len(self.series)) * len(labels)),
            columns=len(parts),
            least=_LEAST if any("\n" in text for text in labels) else 0,
            narrow=self.narrow,
            legend="above" if len(self.series) > 1 else "none",
        )

    def _panel(self, title: str, labels: Sequence[str]) -> Panel:
        blocks = [self._points(place, series, labels) for place, series in enumerate(self.series)]
        rules = [] if self.reference is None else [Rule(self.reference)]
        span = None if self.span is None else (self.span[0] - 0.02, self.span[1] + 0.02)
        names = [label.removeprefix(f"{title} ") for label in labels]
        ticks = [(float(i), _wrapped(one)) for i, one in enumerate(names)]
        y = Axis(ticks=ticks, span=(len(ticks) - 0.5, -0.5), grid=False)
        return Panel([*rules, *blocks], title, Axis(self.axis, span), y)

    def _points(self, place: int, series: str, labels: Sequence[str]) -> Points:
        chosen = [(label, one) for label, of, one in self.rows if of == series and label in labels]
        value, low, high = (np.array([float(getattr(one, end)) for _, one in chosen]) for end in _ENDS)
        heights = np.array([self._height(labels.index(label), place) for label, _ in chosen])
        hover = [f"{label}{f', {series}' if series else ''}: {one}" for label, one in chosen]
        of = self.means.get(series, Meaning(model=series))
        return Points(np.stack([value, heights], axis=1), of, np.stack([low, high]), hover=hover)

    def _height(self, row: int, place: int) -> float:
        return row + 0.22 * (place - (len(self.series) - 1) / 2)


def _wrapped(label: str) -> str:
    return "\n".join(textwrap.wrap(label, _LABEL)) or label


_ENDS = ("value", "low", "high")
_LEAST = 560  # width of a drawing with labels of several lines, pixels
_LABEL = 40  # letters of a label on one line


def _digits(value: object) -> str:
    number = float(value)  # type: ignore[arg-type]
    return f"{number:.4g}" if np.isfinite(number) else ""
