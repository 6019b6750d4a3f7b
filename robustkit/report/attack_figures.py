"""Drawings of an attack: the pixel that flipped an image, and flips against queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from robustkit.stats.proportions import wilson

# Okabe & Ito's colours, which are told apart with any colour vision; the baseline is grey and dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BASELINE, BASELINE_COLOUR = "random", "#666666"
RING = "#D55E00"

# Filters from blue to red; three of them in this order are shown as blue, green, red.
_BLUE_TO_RED = ("u", "g", "r", "i", "z", "y")


@dataclass(frozen=True, eq=False)
class FlipCurve:
    """The rate of images flipped within a number of queries.

    Attributes:
        name: The search.
        queries: Where the rate changes, ascending, shape (Q,); the last is where the search ended.
        rate: Shape (Q,), in [0, 1].
        low: Lower end of each rate's own 95% interval (Wilson), shape (Q,).
        high: Upper end, shape (Q,).
        n: How many images were attacked.
    """

    name: str
    queries: np.ndarray
    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int


def flip_curve(name: str, queries_to_flip: np.ndarray, end: int) -> FlipCurve:
    """The curve of one search.

    Args:
        name: The search.
        queries_to_flip: Queries to the flip of each image attacked, shape (N,), at least 1; infinite without a flip.
        end: The most queries that any image had.
    """
    flips = np.sort(queries_to_flip[np.isfinite(queries_to_flip)])
    queries = np.unique(np.concatenate([[1.0], flips, [float(max(end, 1))]]))
    count = np.searchsorted(flips, queries, side="right")
    rates = wilson(count, np.full_like(count, len(queries_to_flip)))
    return FlipCurve(
        name, queries, np.asarray(rates.value), np.asarray(rates.low), np.asarray(rates.high), len(queries_to_flip)
    )


def draw_flip_curves(curves: Sequence[FlipCurve], ax: Axes) -> Axes:
    """Draws curves with their bands, the random baseline beneath the others."""
    colours = iter(COLOURS * (1 + len(curves) // len(COLOURS)))
    for curve in sorted(curves, key=lambda curve: curve.name != BASELINE):
        baseline = curve.name == BASELINE
        colour = BASELINE_COLOUR if baseline else next(colours)
        label = "random (baseline)" if baseline else curve.name
        ax.step(curve.queries, curve.rate, where="post", color=colour, ls="--" if baseline else "-", lw=2, label=label)
        ax.fill_between(curve.queries, curve.low, curve.high, step="post", color=colour, alpha=0.12, lw=0)
    ax.set(
        xscale="log",
        xlabel="queries of an image",
        ylabel="rate of images flipped",
        title=f"{max((c.n for c in curves), default=0)} images attacked; bands: 95% (Wilson), each rate by itself",
    )
    ax.set_xlim(left=1)
    highest = max((float(np.nan_to_num(curve.high).max()) for curve in curves), default=1.0)
    ax.set_ylim(0, min(1.0, max(0.05, 1.05 * highest)))
    ax.title.set_fontsize("medium")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.grid(alpha=0.25)
    ax.legend(loc="upper left", frameon=False)
    return ax


@dataclass(frozen=True, eq=False)
class FlipPicture:
    """A flip to be drawn.

    Attributes:
        clean: Network input, shape (C, H, W).
        perturbed: Network input, shape (C, H, W).
        row: Rows of the L pixels.
        column: Columns of the L pixels.
        bands: The C bands.
        before: What is said of the clean image, such as `spiral, p = 0.81`.
        after: What is said of the perturbed image.
        title: What is said of both.
    """

    clean: np.ndarray
    perturbed: np.ndarray
    row: tuple[int, ...]
    column: tuple[int, ...]
    bands: tuple[str, ...]
    before: str
    after: str
    title: str


def draw_flip(picture: FlipPicture, figure: Figure) -> Figure:
    """Draws the clean image, the perturbed image with its pixels ringed, and their difference."""
    clean_ax, perturbed_ax, difference_ax = figure.subplots(1, 3)
    # Each band by itself, as astronomers look at colours, and by the clean image for both.
    low, high = np.percentile(picture.clean, (0.5, 99.8), axis=(1, 2))[..., None, None]  # (C, 1, 1)
    for ax, image, said in (
        (clean_ax, picture.clean, picture.before),
        (perturbed_ax, picture.perturbed, picture.after),
    ):
        shown = composite(np.clip((image - low) / np.maximum(high - low, 1e-12), 0, 1), picture.bands)
        ax.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(said, fontsize="medium", parse_math=False)
    difference = picture.perturbed - picture.clean
    # One value a pixel: that of the band that changed most.
    band = np.abs(difference).argmax(0)
    strongest = np.take_along_axis(difference, band[None], 0)[0]
    limit = float(np.abs(strongest).max()) or 1.0
    drawn = difference_ax.imshow(strongest, cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest")
    difference_ax.set_title("difference (band that changed most)", fontsize="medium")
    figure.colorbar(drawn, ax=difference_ax, fraction=0.046, pad=0.03, label="network input")
    radius = max(3.0, 0.045 * max(picture.clean.shape[1:]))
    for ax in (perturbed_ax, difference_ax):
        for row, column in zip(picture.row, picture.column, strict=True):
            # Two rings, dark beneath bright, so that one of them stands out from any image.
            ax.add_patch(Circle((column, row), radius, fill=False, ec="black", lw=3.5))
            ax.add_patch(Circle((column, row), radius, fill=False, ec=RING, lw=1.8))
    for ax in (clean_ax, perturbed_ax, difference_ax):
        ax.set(xticks=[], yticks=[])
    figure.suptitle(picture.title, fontsize="medium", parse_math=False)
    return figure


def composite(image: np.ndarray, bands: Sequence[str]) -> np.ndarray:
    """An image to show, shape (H, W, 3) for three bands and (H, W), their mean, for any other number.

    Args:
        image: Shape (C, H, W), in [0, 1].
        bands: The C bands; filters from blue to red are turned round, others are taken as red, green, blue.
    """
    if len(bands) != 3:
        return image.mean(0)
    known = [_BLUE_TO_RED.index(band) for band in bands if band in _BLUE_TO_RED]
    turned = len(known) == 3 and known == sorted(known)
    return np.moveaxis(image[::-1] if turned else image, 0, -1)
