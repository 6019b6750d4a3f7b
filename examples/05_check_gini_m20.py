"""Do the simulated galaxies lie where real ones do? Gini, M20 and concentration, measured by an independent code.

The Gini coefficient says how unequally light is shared among the pixels of a galaxy, M20 how far out its brightest
fifth lies. Lotz et al. (2008, doi:10.1086/523659) drew two lines into their plane:

    merger       G > -0.14 M20 + 0.33
    early type   G > 0.14 M20 + 0.80, and not a merger
    late type    the rest

The lines are a check of where the classes lie, not of the labels: a merger is above its line for some tenths of a
gigayear around a passage and below it before and after, and discs with strong bulges count as early.
The seeing of LSST rounds galaxies of an arcsecond off, so that fewer mergers and ellipticals pass their lines than as
Hubble would see them; `benchmarks/galaxies.py` measures both.

    pip install 'robustkit-audit[sim]' statmorph photutils
    python examples/05_check_gini_m20.py --n 300 --out gini_m20.png

The galaxies are drawn as `robustkit simulate` draws them and seen after ten years of LSST in r, but without
neighbours: a star that touches a galaxy belongs to the same segment and looks like a second nucleus to M20
(`--neighbours` shows it). Measures are statmorph's (Rodriguez-Gomez et al. 2019, doi:10.1093/mnras/sty3345). What
cannot be measured (its flags 2 and above) is counted and left out.
"""

# pyright: reportOptionalMemberAccess=false
from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import statmorph
from matplotlib.axes import Axes
from photutils.segmentation import detect_sources
from scipy.ndimage import gaussian_filter

from robustkit.data.galaxies import CLASSES, draw_galaxy
from robustkit.data.render import Renderer
from robustkit.data.simulate import expose
from robustkit.data.survey import LSST, Depth
from robustkit.progress import progress
from robustkit.seeds import stream

BAND = 1  # r
COLOURS = {"spiral": "#ffa600", "elliptical": "#bc5090", "merger": "#003f5c"}
SMOOTHING = 1.5  # sigma of the filter before detection, pixels


def measure(image: np.ndarray, background: float) -> tuple[float, float, float] | None:
    """Gini, M20 and concentration of the object at the centre, or None if there is nothing to measure.

    Args:
        image: Electrons, sky-subtracted, shape (H, W).
        background: Variance of an empty pixel, electrons squared.
    """
    # The filter averages 4 pi sigma**2 pixels.
    noise = np.sqrt(background / (4 * np.pi * SMOOTHING**2))
    segments = detect_sources(gaussian_filter(image, SMOOTHING), 3 * noise, n_pixels=10)
    label = 0 if segments is None else central(segments.data)
    if not label:
        return None
    own = segments.data == label
    with warnings.catch_warnings():
        # statmorph also fits a Sersic profile, which is not used here and need not converge.
        warnings.simplefilter("ignore")
        found = statmorph.source_morphology(
            image,
            own.astype(np.int64),
            mask=(segments.data > 0) & ~own,
            weightmap=np.sqrt(background + np.maximum(image, 0)),
            sersic_maxiter=5,
        )[0]
    values = (found.gini, found.m20, found.concentration)
    return values if found.flag < 2 and np.isfinite(values).all() else None


def central(segments: np.ndarray) -> int:
    """The largest of the segments within ten pixels of the middle, or 0."""
    row, column = (length // 2 for length in segments.shape)
    near = segments[row - 10 : row + 10, column - 10 : column + 10]
    return int(max(np.unique(near[near > 0]), key=lambda label: (segments == label).sum(), default=0))


def side(gini: np.ndarray, m20: np.ndarray) -> np.ndarray:
    """Which region of the plane: 0 late type, 1 early type, 2 merger."""
    return np.where(gini > -0.14 * m20 + 0.33, 2, (gini > 0.14 * m20 + 0.80).astype(int))


def draw(ax: Axes, gini: np.ndarray, m20: np.ndarray, labels: np.ndarray) -> None:
    """The plane with the objects and the two lines."""
    for label, name in enumerate(CLASSES):
        chosen = labels == label
        ax.scatter(m20[chosen], gini[chosen], s=12, color=COLOURS[name], label=f"{name} ({chosen.sum()})", alpha=0.8)
    ends, crossing = np.array([-0.2, -3.0]), -1.679
    ax.plot(ends, -0.14 * ends + 0.33, "k-", lw=1)
    ax.plot([-3.0, crossing], 0.14 * np.array([-3.0, crossing]) + 0.80, "k--", lw=1)
    ax.set(xlim=(-0.4, -2.8), ylim=(0.35, 0.72), xlabel=r"$M_{20}$", ylabel="Gini")
    ax.legend(loc="lower right", frameon=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=300, help="how many galaxies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--neighbours", action="store_true", help="leave what else is in the stamp")
    parser.add_argument("--out", type=Path, default=Path("gini_m20.png"), help="the figure")
    arguments = parser.parse_args()

    renderer, depth = Renderer(LSST, 100), Depth(LSST, 10, 10)
    background = depth.background(LSST.bands[BAND])
    rows, labels = [], []
    for index in progress(range(arguments.n), label="measuring", unit="galaxies"):
        galaxy = draw_galaxy(arguments.seed, index, renderer.plane)
        if not arguments.neighbours:
            galaxy = replace(galaxy, neighbours=())
        image = expose(renderer(galaxy), depth, stream(arguments.seed, galaxy.id, "noise Y10"))[BAND]
        values = measure(image.astype(np.float64), background)
        if values is not None:
            rows.append(values)
            labels.append(galaxy.label)
    gini, m20, concentration = np.array(rows).T
    labels, region = np.array(labels), side(gini, m20)
    print(f"{len(rows)} of {arguments.n} measured")
    print(f"{'':>10}      n      G    M20      C    late  early merger")
    for label, name in enumerate(CLASSES):
        own = labels == label
        medians = [np.median(values[own]) for values in (gini, m20, concentration)]
        shares = [np.mean(region[own] == k) for k in range(3)]
        print(f"{name:>10} {own.sum():6d} " + " ".join(f"{value:6.2f}" for value in medians + shares))
    figure, ax = plt.subplots(figsize=(6, 5), layout="constrained")
    draw(ax, gini, m20, labels)
    figure.savefig(arguments.out, dpi=150)


if __name__ == "__main__":
    main()
