"""Where a network looks, before and after one pixel: Grad-CAM of images and of their flips, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from robustkit.report.attack_figures import RING, composite


@dataclass(frozen=True, eq=False)
class CamPicture:
    """An image and its flip, with what speaks for the class of each.

    Attributes:
        name: Of the image.
        clean: Network input, shape (C, H, W).
        attacked: Network input, shape (C, H, W).
        clean_map: Grad-CAM of the clean image for its class, shape (H, W), in [0, 1].
        attacked_map: That of the flip for its new class.
        before: The class of the clean image.
        after: The class of the flip.
        row: Rows of the pixels changed.
        column: Their columns.
        bands: The C bands.
    """

    name: str
    clean: np.ndarray
    attacked: np.ndarray
    clean_map: np.ndarray
    attacked_map: np.ndarray
    before: str
    after: str
    row: tuple[int, ...]
    column: tuple[int, ...]
    bands: tuple[str, ...]


def draw_grad_cams(pictures: Sequence[CamPicture]) -> Figure:
    """Draws a row for each image: clean, what speaks for its class, attacked, what speaks for the new class."""
    figure = Figure(figsize=(10.4, 2.75 * len(pictures) + 0.3), layout="constrained")
    axes = figure.subplots(len(pictures), 4, squeeze=False)
    shown = None
    for row, picture in zip(axes, pictures, strict=True):
        low, high = np.percentile(picture.clean, (0.5, 99.8), axis=(1, 2))[..., None, None]  # (C, 1, 1)
        for first, image, cam, said in (
            (0, picture.clean, picture.clean_map, picture.before),
            (2, picture.attacked, picture.attacked_map, picture.after),
        ):
            scaled = composite(np.clip((image - low) / np.maximum(high - low, 1e-12), 0, 1), picture.bands)
            row[first].imshow(scaled, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            grey = scaled.mean(-1) if scaled.ndim == 3 else scaled
            row[first + 1].imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            # Transparent where nothing speaks for the class, so that the galaxy stays to be seen.
            shown = row[first + 1].imshow(cam, cmap="magma", vmin=0, vmax=1, alpha=0.75 * cam, interpolation="nearest")
            when = "clean" if first == 0 else "one pixel changed"
            row[first].set_title(f"{picture.name}, {when}" if first == 0 else when, fontsize="medium", parse_math=False)
            nothing = "" if cam.any() else ": nothing"
            row[first + 1].set_title(f"speaks for {said}{nothing}", fontsize="medium", parse_math=False)
        radius = max(3.0, 0.045 * max(picture.clean.shape[1:]))
        for ax in row[2:]:
            for y, x in zip(picture.row, picture.column, strict=True):
                ax.add_patch(Circle((x, y), radius, fill=False, ec="black", lw=3.2))
                ax.add_patch(Circle((x, y), radius, fill=False, ec=RING, lw=1.6))
    for ax in axes.ravel():
        ax.set(xticks=[], yticks=[])
    if shown is not None:
        bar = figure.colorbar(shown, ax=axes, fraction=0.018, pad=0.01, label="Grad-CAM, highest of the image = 1")
        if bar.solids is not None:
            bar.solids.set_alpha(1)
    return figure
