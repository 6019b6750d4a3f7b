"""Whether `exposure` at a tenth of ten years does to a classifier what the simulated first year does.

    python benchmarks/shallow.py demo/ckpt.pt demo/galaxies --seeds 10

The galaxies are those of `robustkit simulate --years 10 1`, where both depths show the same objects under noise of
their own; the checkpoint was trained on Y10. Accuracy on Y10, on Y1, and on Y10 with `exposure` at 0.1 under several
noise seeds, all on the test images of the checkpoint. Two draws of noise differ in the images that they lead astray, so
the differences between seeds stand beside the difference from Y1, and McNemar's test compares each seed with Y1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from robustkit.findings.sweep.job import BLOCK
from robustkit.models import Checkpoint, open_checkpoint
from robustkit.perturb.conditions import conditions_of
from robustkit.perturb.faults.exposure import Exposure
from robustkit.progress import progress
from robustkit.runs.draw import draw_sample
from robustkit.seeds import Streams
from robustkit.stats import mcnemar, wilson


def classes(checkpoint: Checkpoint, images: torch.Tensor) -> np.ndarray:
    """What the classifier says of calibrated images."""
    with torch.inference_mode():
        found = [checkpoint.classifier(checkpoint.stretch(part)).argmax(1) for part in images.split(BLOCK)]
    return torch.cat(found).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("galaxies", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--part", default="test")
    options = parser.parse_args()
    checkpoint = open_checkpoint(options.model)
    deep, shallow = (
        draw_sample(
            checkpoint, options.model, data=options.galaxies / name, part=options.part, n=10**9, seed=0, take_all=True
        )
        for name in ("Y10", "Y1")
    )
    assert deep.ids.tolist() == shallow.ids.tolist()
    ids, true = deep.ids.tolist(), deep.labels.numpy()
    stored = torch.from_numpy(np.array(deep.image_set.images))
    seen = torch.from_numpy(np.array(shallow.image_set.images))
    conditions = conditions_of(deep.image_set)

    def show(name: str, right: np.ndarray, p: str = "") -> None:
        recall = [f"{right[true == k].mean():.3f}" for k in range(len(checkpoint.card.class_names))]
        print(f"| {name} | {wilson(int(right.sum()), len(right))} | {' | '.join(recall)} | {p} |")

    print(f"| {len(ids)} test images | accuracy | {' | '.join(checkpoint.card.class_names)} | p |")
    print("|---" * (4 + len(checkpoint.card.class_names) - 1) + "|")
    show("Y10", classes(checkpoint, stored) == true)
    first_year = classes(checkpoint, seen) == true
    show("Y1, simulated", first_year)
    rates = []
    for seed in progress(range(options.seeds), label="exposing", unit="seeds"):
        made = Exposure(0.1)(stored, conditions=conditions, streams=Streams(seed, ids, "perturb exposure"))
        right = classes(checkpoint, made) == true
        rates.append(right.mean())
        show(
            f"Y10, exposure 0.1, seed {seed}",
            right,
            f"{mcnemar(int((right & ~first_year).sum()), int((first_year & ~right).sum())).p:.2f}",
        )
    interval = wilson(int(first_year.sum()), len(ids))
    inside = sum(interval.low <= rate <= interval.high for rate in rates)
    print(f"\nMean of the seeds {np.mean(rates):.4f}, standard deviation {np.std(rates, ddof=1):.4f}; Y1 {interval}.")
    print(f"{inside} of {len(rates)} seeds lie within the interval of Y1.")


if __name__ == "__main__":
    main()
