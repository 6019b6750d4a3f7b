"""Draws every perturbation at its five levels on one galaxy.

    python examples/perturbations.py galaxies/Y10 perturbations.png

The image set must be in electrons and say how it was taken, as those of `robustkit simulate` do.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import torch
from matplotlib.figure import Figure

from robustkit.data import ArcsinhStretch, open_images
from robustkit.perturb.conditions import conditions_of
from robustkit.perturb.faults.registry import PERTURBATIONS
from robustkit.perturb.perturbation import LEVEL_NAMES, Stage
from robustkit.report.attack_figures import composite
from robustkit.seeds import Streams


def main(data: str, out: str, number: int = 0) -> None:
    """A row for each perturbation: clean, then mild to severe."""
    images = open_images(data)
    conditions = conditions_of(images)
    stretch = ArcsinhStretch.fit(images.images)
    stored = torch.from_numpy(np.array(images.images[number : number + 1]))
    clean = stretch(stored)
    low, high = np.percentile(clean[0].numpy(), (0.5, 99.8), axis=(1, 2))[..., None, None]
    columns = 2  # of perturbations; each takes six pictures
    rows = math.ceil(len(PERTURBATIONS) / columns)
    figure = Figure(figsize=(9.6 * columns, 1.75 * rows), layout="constrained")
    axes = figure.subplots(rows, 6 * columns)
    for ax in axes.ravel():
        ax.set_axis_off()
    for place, (name, kind) in enumerate(PERTURBATIONS.items()):
        row, first = place % rows, place // rows * 6
        for step in range(6):
            if step == 0:
                shown, title = clean, name
            else:
                level = kind.levels[step - 1]
                streams = Streams(0, images.ids[number : number + 1].tolist(), f"perturb {name}")
                before = clean if kind.stage == Stage.STRETCHED else stored
                shown = kind(level)(before, conditions=conditions, streams=streams)
                shown = shown if kind.stage == Stage.STRETCHED else stretch(shown)
                title = f"{LEVEL_NAMES[step - 1]}: {level:.3g}"
            picture = np.clip((shown[0].numpy() - low) / (high - low), 0, 1)
            ax = axes[row, first + step]
            ax.imshow(composite(picture, images.bands), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            ax.set_title(title, fontsize="small", fontweight="bold" if step == 0 else "normal")
    figure.savefig(out, dpi=80)
    print(out)


if __name__ == "__main__":
    main(*(sys.argv[1:3] if len(sys.argv) > 2 else ("galaxies/Y10", "perturbations.png")))
