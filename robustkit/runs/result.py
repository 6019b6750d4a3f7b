"""What a measurement hands to the user: a record with its sample, and the ways to look at it."""

from __future__ import annotations

import base64
import html
import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustkit.drawings import png_bytes
from robustkit.extras import require

if TYPE_CHECKING:
    from robustkit.runs.sample import Sample


@dataclass(frozen=True, eq=False, repr=False)
class Result(ABC):
    """What was found, with the sample that it was found in.

    Attributes:
        record: The numbers, as they are saved.
        sample: The model and its images.
        folder: The run folder, or `None` if nothing was written.
    """

    record: Any
    sample: Sample
    folder: Path | None

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """The numbers by name, denominators first, as JSON values."""

    @abstractmethod
    def describe(self) -> str:
        """The numbers as a few lines."""

    @abstractmethod
    def table(self) -> str:
        """What was found as CSV, with a header."""

    @abstractmethod
    def plot(self, ax: Any = None) -> Any:
        """Draws what was found.

        Args:
            ax: A Matplotlib axes or figure to draw on; by default a new figure.

        Returns:
            The figure.
        """

    def to_pandas(self) -> Any:
        """The table as a `pandas.DataFrame`.

        Raises:
            MissingExtra: If pandas is not installed.
        """
        pandas = require("pandas", extra="pandas", purpose="make a DataFrame")
        return pandas.read_csv(io.StringIO(self.table()))

    def __repr__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        """The numbers and a drawing, for a notebook."""
        picture = base64.b64encode(png_bytes(self.plot())).decode()
        return (
            f"<pre>{html.escape(self.describe())}</pre>"
            f'<img style="max-width: 100%" alt="{type(self).__name__}" src="data:image/png;base64,{picture}">'
        )
