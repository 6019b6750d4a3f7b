"""One look for all drawings: colours that are told apart with any colour vision, markers beside them, no markup."""

from __future__ import annotations

import html
import io
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from robustkit.drawings import METADATA
from robustkit.files import atomic_write
from robustkit.report.attack_figures import COLOURS

if TYPE_CHECKING:
    import plotly.graph_objects as go

MARKERS = ("o", "s", "^", "D", "v", "P")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
DASHES = ("solid", "dash", "dot", "dashdot")
LINES = ("-", "--", ":", "-.")
GREY = "#7f7f7f"
_DPI = 220

_PRINT: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "pdf.fonttype": 42,  # journals refuse the default, Type 3
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "robustkit",
    "text.parse_math": False,  # names of classes and files are text, whatever is in them
    "text.usetex": False,
}


def colour(position: int) -> str:
    """The colour of a series."""
    return COLOURS[position % len(COLOURS)]


def marker(position: int) -> str:
    """Matplotlib's marker of a series."""
    return MARKERS[position % len(MARKERS)]


def symbol(position: int) -> str:
    """Plotly's marker of a series."""
    return SYMBOLS[position % len(SYMBOLS)]


def shade(colour: str, alpha: float) -> str:
    """A colour of plotly that lets through what lies beneath.

    Examples:
        >>> shade("#0072B2", 0.2)
        'rgba(0, 114, 178, 0.2)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def plain(text: object) -> str:
    """Text for plotly, which reads some markup: a name is shown as it is.

    Examples:
        >>> plain("a<b>")
        'a&lt;b&gt;'
    """
    return html.escape(str(text), quote=False)


def wrapped(text: str, width: int) -> str:
    """Text broken into lines at spaces."""
    import textwrap

    return "\n".join(textwrap.wrap(text, width)) or text


def layout(figure: go.Figure, *, height: int = 380, **more: Any) -> go.Figure:
    """Gives a plotly figure the look of the page; the page sets the colours of text and grid to those of its mode."""
    options: dict[str, Any] = {
        "height": height,
        "margin": {"l": 60, "r": 20, "t": 30, "b": 50},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        "hoverlabel": {"align": "left"},
    }
    figure.update_layout({**options, **more}, template="none")
    return figure


@contextmanager
def printing() -> Generator[None]:
    """Matplotlib as print wants it, while the block runs."""
    with matplotlib.rc_context(_PRINT):
        yield


class Painted:
    """A section that is painted on a figure of its own size."""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the drawing, inches."""
        raise NotImplementedError

    def paint(self, figure: Figure) -> None:
        """Draws on an empty figure of that size."""
        raise NotImplementedError

    def draw(self) -> Figure:
        """The drawing for print. To be used within `printing`."""
        figure = Figure(figsize=self.size, layout="constrained")
        self.paint(figure)
        return figure


def lay_out(figure: Figure) -> None:
    """Gives every part of a drawing its place, once and not anew for each file. To be used within `printing`."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def as_svg(figure: Figure) -> bytes:
    """A drawing as SVG: the same bytes for the same drawing. To be used within `printing`."""
    buffer = io.BytesIO()
    # The canvas is asked, as `Figure.savefig` draws everything twice.
    FigureCanvasSVG(figure).print_svg(buffer, metadata=METADATA["svg"])
    return buffer.getvalue()


def save_print(figure: Figure, folder: Path, name: str) -> bytes:
    """Writes a drawing as PDF, SVG and PNG. To be used within `printing`, after `lay_out`.

    Args:
        figure: The drawing.
        folder: An existing folder.
        name: Of the files, without the suffix.

    Returns:
        The SVG.
    """
    svg = as_svg(figure)
    with atomic_write(folder / f"{name}.svg") as file:
        file.write(svg)
    with atomic_write(folder / f"{name}.pdf") as file:
        FigureCanvasPdf(figure).print_pdf(file, metadata=METADATA["pdf"])
    figure.set_dpi(_DPI)
    with atomic_write(folder / f"{name}.png") as file:
        FigureCanvasAgg(figure).print_png(file)
    return svg


def thin(count: int, most: int) -> list[int]:
    """At most so many positions of a series, evenly spread, the first and the last among them.

    Examples:
        >>> thin(5, 3)
        [0, 2, 4]
    """
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    Examples:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
