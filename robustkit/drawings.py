"""Figures of Matplotlib for whoever calls: on axes of their own, in a notebook."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
        return shown(Figure(figsize=size, layout="constrained"))
    if not hasattr(on, "get_subplotspec"):
        return on
    place, figure = on.get_subplotspec(), on.figure
    on.remove()
    return figure.add_subfigure(place) if place is not None else figure


def shown(figure: Figure) -> Figure:
    """The figure, which a notebook now shows without pyplot."""
    setattr(figure, "_repr_png_", lambda: png_bytes(figure))  # noqa: B010 - no attribute that a type checker knows
    return figure


def png_bytes(figure: Figure, *, dpi: float = 100) -> bytes:
    """A figure as the bytes of a PNG file, for a notebook."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata=METADATA["png"])
    return buffer.getvalue()
