"""Draws incremental.svg: how far one changed pixel of ConvNet reaches, layer by layer. Run from any folder."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, Rectangle

# Name, size of the map in pixels, window that one pixel in the middle changes, channels. ConvNet on 100x100.
MAPS = [
    ("image", 100, 1, 3),
    ("conv 5x5", 100, 5, 8),
    ("max pool", 50, 3, 8),
    ("conv 3x3", 50, 5, 16),
    ("max pool", 25, 3, 16),
    ("conv 3x3", 25, 5, 32),
    ("max pool", 12, 3, 32),
]
PITCH = 1.55
ARROW = {"arrowstyle": "-|>", "mutation_scale": 9, "color": "#44546a"}


def main() -> None:
    """Draws the picture beside this file."""
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "robustkit", "font.family": "sans-serif"})
    figure, axes = plt.subplots(figsize=(11, 2.3))
    middle = 0.7
    for name, size, window, channels in MAPS:
        side = 0.3 + size / 140
        left = middle - side / 2
        axes.add_patch(Rectangle((left, -side / 2), side, side, facecolor="#e8edf3", edgecolor="#44546a"))
        shown = max(side * window / size, 0.045)
        corner = left + side * 0.42
        axes.add_patch(Rectangle((corner, -shown / 2), shown, shown, facecolor="#d1495b", edgecolor="none"))
        axes.text(left + side / 2, 0.82, name, ha="center", fontsize=9)
        label = f"{window * window} of {size * size:,}\nx {channels} channels"
        axes.text(left + side / 2, -0.82, label, ha="center", va="top", fontsize=8)
        middle += PITCH
        axes.add_patch(FancyArrowPatch((left + side, 0), (middle - side / 2, 0), **ARROW))
    for name, width, text in (("dense 256", 0.5, "update of the\nclean product"), ("head", 0.4, "in full")):
        left = middle - width / 2
        axes.add_patch(Rectangle((left, -0.3), width, 0.6, facecolor="#f3e9d2", edgecolor="#44546a"))
        axes.text(left + width / 2, 0.82, name, ha="center", fontsize=9)
        axes.text(left + width / 2, -0.82, text, ha="center", va="top", fontsize=8)
        middle += PITCH
        if name != "head":
            axes.add_patch(FancyArrowPatch((left + width, 0), (middle - width / 2, 0), **ARROW))
    axes.set(xlim=(-0.1, middle - 0.7), ylim=(-1.35, 1.0), aspect="equal")
    axes.axis("off")
    figure.savefig(Path(__file__).with_suffix(".svg"), bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
