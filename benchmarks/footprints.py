"""Every place of footprints of a fault on one image: how long that takes, and whether the plain network says the same.

python -m benchmarks.footprints --model net.pt --data galaxies/Y10 [--threat cosmic-ray] [--footprints 100]
[--random 10000] [--threads 2]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from robustkit.engine import make_evaluator
from robustkit.findings.hazard.record import HazardRequest
from robustkit.perturb.conditions import calibrated, conditions_of
from robustkit.perturb.fault_scorer import FaultScorer, every_point
from robustkit.perturb.faults.space import FaultSpace
from robustkit.runs.opening import open_sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data")
    parser.add_argument("--threat", default="cosmic-ray")
    parser.add_argument("--footprints", type=int, default=100)
    parser.add_argument("--random", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sample = open_sample(options.model, HazardRequest(n=1, data=options.data), device="cpu", say=print)
    whole = calibrated(sample.whole.select(sample.rows))
    stored = torch.from_numpy(np.array(whole.images, np.float32))
    classifier, stretch = sample.checkpoint.classifier, sample.checkpoint.stretch
    assert stretch is not None
    size = (stored.shape[2], stored.shape[3])
    space = FaultSpace(options.threat, conditions_of(whole), size, stretch)
    scorer = FaultScorer(classifier, make_evaluator(classifier, sample.inputs[0:1]), space, stored)
    rng = np.random.default_rng(0)
    shapes = rng.uniform(0, 1, (options.footprints, len(space)))
    clean, flips, places, wall, spent = (
        int(scorer.evaluator.clean().argmax()),
        0,
        0,
        time.perf_counter(),
        time.process_time(),
    )
    for shape in shapes:
        logits = scorer(every_point(space, shape))
        flips, places = flips + int((logits.argmax(1) != clean).sum()), places + len(logits)
    wall, spent = time.perf_counter() - wall, time.process_time() - spent
    worst = unlike = 0.0
    with torch.inference_mode():
        for start in range(0, options.random, 100):
            points = rng.uniform(0, 1, (min(100, options.random - start), len(space)))
            ours, plain = scorer(points), classifier(stretch(space.hit(stored, points)))
            worst = max(worst, float((ours - plain).abs().max()))
            top = plain.topk(2).values
            sure = top[:, 0] - top[:, 1] > 1e-3
            unlike += int((ours.argmax(1) != plain.argmax(1))[sure].sum())
    print(
        f"{options.threat}: {places:,} places of {options.footprints} footprints, {flips:,} change the class; "
        f"{wall:.1f} s on {options.threads} threads, {spent:.1f} s of processor, {1e6 * spent / places:.0f} "
        f"microseconds each; "
        f"{options.random:,} points at random by the plain network: {unlike:.0f} other classes, logits within "
        f"{worst:.1g}"
    )


if __name__ == "__main__":
    main()
