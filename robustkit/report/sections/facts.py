"""Facts that need no drawing: a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robustkit.report.section import Table


@dataclass(frozen=True)
class Facts:
    """A table by itself.

    Attributes:
        name: Of its file.
        title: Its heading.
        said: What the table shows.
        columns: Headings.
        rows: Cells.
    """

    name: str
    title: str
    said: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def summary(self) -> str:
        """What the table shows."""
        return self.said

    def table(self) -> Table:
        """The table."""
        return Table(self.columns, self.rows)

    def drawing(self) -> None:
        """Nothing is drawn."""
        return None
