"""Drawings on disk, whole or not at all; the same bytes for the same drawing."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustkit.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Journals refuse Type 3 fonts, which are the default.
_FONTS: dict[Any, Any] = {"pdf.fonttype": 42, "ps.fonttype": 42}
# What would differ from one day, or from one version of matplotlib, to the next.
METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": "robustkit"},
    "svg": {"Date": None, "Creator": "robustkit"},
}


def figure_of(on: Any, size: tuple[float, float]) -> Any:
    """The figure to draw on: a new one, one that is given, or the one of given axes, which make room for the drawing.

    Args:
        on: `None`, a Matplotlib figure, or axes.
        size: Width and height of a new figure, in inches.
    """
    from matplotlib.figure import Figure

    if on is None:
        return Figure(figsize=size, layout="constrained")
    if not hasattr(on, "get_subplotspec"):
        return on
    place, figure = on.get_subplotspec(), on.figure
    on.remove()
    return figure.add_subfigure(place) if place is not None else figure


def write_figure(figure: Figure, path: Path, *, dpi: float = 200) -> Path:
    """Writes a figure in the format that the suffix names.

    Args:
        figure: A matplotlib figure.
        path: A file that ends in .png, .pdf or .svg; its folder must exist.
        dpi: Of pixels, in PNG and where a part of the others is drawn in pixels.
    """
    import matplotlib

    kind = path.suffix[1:]
    with warnings.catch_warnings(), matplotlib.rc_context(_FONTS), atomic_write(path) as file:
        # A name in a script that no font here has is drawn as boxes; the tables hold it.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure.savefig(file, format=kind, dpi=dpi, metadata=METADATA[kind])
    return path


def png_bytes(figure: Figure, *, dpi: float = 100) -> bytes:
    """A figure as the bytes of a PNG file, for a notebook."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata=METADATA["png"])
    return buffer.getvalue()


def save_figure(figure: Figure, folder: Path, name: str, *, dpi: float = 200) -> list[Path]:
    """Writes a figure as PNG to look at and as PDF to print.

    Args:
        figure: A matplotlib figure.
        folder: An existing folder.
        name: Name of the files, without the suffix.
        dpi: As for `write_figure`.
    """
    return [write_figure(figure, folder / f"{name}{suffix}", dpi=dpi) for suffix in (".png", ".pdf")]
