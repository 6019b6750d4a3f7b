"""Drawings on disk: a PNG to look at and a PDF to print, the same bytes for the same drawing."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from robustkit.files import atomic_write

# Journals refuse Type 3 fonts, which are the default.
_PRINT = {"pdf.fonttype": 42, "ps.fonttype": 42}


def save_figure(figure: Figure, folder: Path, name: str, *, dpi: int = 200) -> list[Path]:
    """Writes a figure as PNG and PDF.

    Args:
        figure: The figure.
        folder: An existing folder.
        name: Of the files, without the suffix.
        dpi: Of the PNG.
    """
    with matplotlib.rc_context(_PRINT), atomic_write(folder / f"{name}.png") as file:
        figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    with matplotlib.rc_context(_PRINT), atomic_write(folder / f"{name}.pdf") as file:
        figure.savefig(file, format="pdf", metadata={"CreationDate": None})
    return [folder / f"{name}.png", folder / f"{name}.pdf"]
