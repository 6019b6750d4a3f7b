"""Drawings on disk, whole or not at all; the same bytes for the same drawing."""

from __future__ import annotations

import io
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from robustkit.drawings import METADATA, figure_of
from robustkit.files import atomic_write
from robustkit.report.blocks import Drawing
from robustkit.report.palette import Looks
from robustkit.report.paper import FONT, paint

_DPI = 220
_PRINT: Any = {
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
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


@contextmanager
def printing() -> Generator[None]:
    """Matplotlib as print wants it, while the block runs, whatever the matplotlibrc of the user says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_PRINT)
        # A name in a script that no font here has is drawn as boxes; the tables hold it.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        yield


def lay_out(figure: Figure) -> None:
    """Gives every part of a drawing its place, once and not anew for each file. To be used within `printing`."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def save_print(
    figure: Figure, folder: Path, name: str, kinds: Sequence[str] = ("svg", "pdf", "png"), *, dpi: int = _DPI
) -> bytes:
    """Writes a drawing: the same bytes for the same drawing. To be used within `printing`, after `lay_out`.

    Args:
        figure: The drawing.
        folder: An existing folder.
        name: Of the files, without the suffix.
        kinds: Their suffixes.
        dpi: Of the PNG.

    Returns:
        The SVG, if it is one of them.
    """
    svg = io.BytesIO()
    # The canvas is asked, as `Figure.savefig` draws everything twice.
    if "svg" in kinds:
        FigureCanvasSVG(figure).print_svg(svg, metadata=METADATA["svg"])
        with atomic_write(folder / f"{name}.svg") as file:
            file.write(svg.getvalue())
    if "pdf" in kinds:
        with atomic_write(folder / f"{name}.pdf") as file:
            FigureCanvasPdf(figure).print_pdf(file, metadata=METADATA["pdf"])
    if "png" in kinds:
        figure.set_dpi(dpi)
        with atomic_write(folder / f"{name}.png") as file:
            FigureCanvasAgg(figure).print_png(file, metadata=METADATA["png"])
    return svg.getvalue()


def save_drawing(
    drawing: Drawing, folder: Path, name: str, *, looks: Looks | None = None, kinds: Sequence[str] = ("png", "pdf")
) -> list[Path]:
    """Paints a drawing for print and writes it.

    Args:
        drawing: What to paint.
        folder: An existing folder.
        name: Of the files, without the suffix.
        looks: How what it shows is drawn.
        kinds: Suffixes of the files: `png`, `pdf`, `svg`.

    Returns:
        The files.
    """
    with printing():
        figure = paint(drawing, looks or Looks())
        lay_out(figure)
        save_print(figure, folder, name, kinds)
    return [folder / f"{name}.{kind}" for kind in kinds]


def draw_on(drawing: Drawing, on: Any = None, *, looks: Looks | None = None) -> Any:
    """Paints a drawing where somebody wants it.

    Args:
        drawing: What to paint.
        on: A Matplotlib figure, or axes, which make room for it; by default a new figure.
        looks: How what it shows is drawn.

    Returns:
        The figure.
    """
    with printing():
        return paint(drawing, looks or Looks(), figure_of(on, drawing.size))
