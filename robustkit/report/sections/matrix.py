"""Counts of images by two classes: confusion before the attack, flips after it; a panel for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robustkit.report.blocks import PAGE, Axis, Cells, Drawing, Panel
from robustkit.report.section import Table


@dataclass(frozen=True, eq=False)
class Matrix:
    """Images by true class (rows) and another class (columns).

    Attributes:
        name: Of its files.
        title: Its heading.
        counts: Panels by name, each (K, K) integers; -1 where a cell means nothing.
        totals: Images of each true class in each panel, (K,): what the shares are of.
        class_names: The K classes.
        column: What the columns are.
        said: The first sentences of the caption.
    """

    name: str
    title: str
    counts: Mapping[str, np.ndarray]
    totals: Mapping[str, np.ndarray]
    class_names: Sequence[str]
    column: str
    said: str

    def summary(self) -> str:
        """The largest cell off the diagonal of each panel."""
        found, names = [], self.class_names
        for panel, counts in self.counts.items():
            n, i, j = max((int(counts[i, j]), i, j) for i in range(len(names)) for j in range(len(names)) if i != j)
            of = f"{n} of {int(self.totals[panel][i])}"
            found.append(f"{panel}: {names[i]} to {names[j]}, {of}" if n > 0 else f"{panel}: none")
        return f"Most often, {'; '.join(found)}. {self.said}"

    def table(self) -> Table:
        """A line for each cell."""
        rows = [
            (panel, true, other, int(counts[i, j]), int(self.totals[panel][i]), self._share(panel, i, j))
            for panel, counts in self.counts.items()
            for i, true in enumerate(self.class_names)
            for j, other in enumerate(self.class_names)
            if counts[i, j] >= 0
        ]
        return Table(("panel", "true class", self.column, "images", "of", "share"), rows)

    def drawing(self) -> Drawing:
        """Shares as colours, counts and shares in square cells."""
        columns = self._columns
        rows = -(-len(self.counts) // columns)
        width = min(PAGE, 0.9 + 2.6 * columns)
        few = len(self.class_names) <= _FEW
        longest, beside = max(map(len, self.class_names), default=0), 175 if few else 330
        return Drawing(
            [self._panel(place, panel) for place, panel in enumerate(self.counts)],
            size=(width, ((width - 0.9) / columns + 0.55 + 0.04 * longest) * rows),
            height=60 + (beside + 4 * longest) * rows,
            columns=columns,
            legend="none",
            narrow=few,
            least=_NARROW if few else 0,
        )

    def _panel(self, place: int, panel: str) -> Panel:
        counts, shares = self.counts[panel], self._shares(panel)
        names = list(self.class_names)
        few = len(self.class_names) <= _FEW
        text = [
            ["" if n < 0 else f"{int(n)}\n{100 * share:.0f} %" if few and total else str(int(n))
             for n, share in zip(row, part, strict=True)]
            for row, part, total in zip(counts, shares, self.totals[panel], strict=True)
        ]  # fmt: skip
        hover = [[f"{true} to {other}: {self._cell(panel, i, j)}" for j, other in enumerate(names)]
                 for i, true in enumerate(names)]  # fmt: skip
        ticks, first = [(float(i), name) for i, name in enumerate(names)], place % self._columns == 0
        return Panel(
            [Cells(shares, "share", text=text, hover=hover, gaps=True)],
            panel,
            Axis(self.column, ticks=ticks, turned=True, grid=False),
            Axis("true class", ticks=ticks, grid=False)
            if first
            else Axis(ticks=[(at, "") for at, _ in ticks], grid=False),
            equal=True,
        )

    @property
    def _columns(self) -> int:
        """Panels side by side, at most two."""
        return min(2, len(self.counts))

    def _shares(self, panel: str) -> np.ndarray:
        counts, totals = self.counts[panel], self.totals[panel]
        shares = counts / np.maximum(totals, 1)[:, None]
        return np.where(counts < 0, np.nan, shares)

    def _share(self, panel: str, i: int, j: int) -> str:
        total = int(self.totals[panel][i])
        return f"{self.counts[panel][i, j] / total:.4g}" if total else ""

    def _cell(self, panel: str, i: int, j: int) -> str:
        n = int(self.counts[panel][i, j])
        return "does not apply" if n < 0 else f"{n} of {int(self.totals[panel][i])} images"


_NARROW = 420  # least width of two matrices of a few classes, pixels
_FEW = 4  # classes whose cells have room for a count and its share
