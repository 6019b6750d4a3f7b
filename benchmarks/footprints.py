"""Every place of footprints of a fault on one image: how long that takes, and whether the plain network says the same.

python -m benchmarks.footprints --model net.pt --data galaxies/Y10 [--threat cosmic-ray] [--footprints 100]
[--random 10000] [--threads 2] [--out footprints.json]

The lengths of cosmic rays are those of the measured footprints, one from each of as many equal shares of them. Every
footprint is kept in `--out`, and a run that was stopped continues there.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from robustkit.data.rates import SEVERITIES
from robustkit.engine import make_evaluator
from robustkit.files import write_json
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
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sample = open_sample(options.model, HazardRequest(n=1, data=options.data), device="cpu", say=print)
    whole = calibrated(sample.whole.select(sample.rows))
    stored = torch.from_numpy(np.array(whole.images, np.float32))
    classifier, stretch = sample.checkpoint.classifier, sample.checkpoint.stretch
    assert stretch is not None
    size = (stored.shape[2], stored.shape[3])
    text, measured = options.threat, SEVERITIES.get(options.threat)
    if measured is not None:
        text = f"{text},level={measured.values[0]:g}:{measured.values[-1]:g}"
    space = FaultSpace(text, conditions_of(whole), size, stretch)
    scorer = FaultScorer(classifier, make_evaluator(classifier, sample.inputs[0:1]), space, stored)
    rng = np.random.default_rng(0)
    shapes = rng.uniform(0, 1, (options.footprints, len(space)))
    if measured is not None:
        fine = np.linspace(0, 1, 10_001)
        lengths = measured.at((np.arange(len(shapes)) + 0.5) / len(shapes))
        shapes[:, 0] = np.interp(lengths, space.ranges[0].value(fine), fine)
    clean = int(scorer.evaluator.clean().argmax())
    done: dict[str, list[float]] = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    for k, shape in enumerate(shapes):
        if (name := f"{options.threat} {len(shapes)} {k}") in done:
            continue
        wall, spent = time.perf_counter(), time.process_time()
        logits = scorer(every_point(space, shape))
        wall, spent = time.perf_counter() - wall, time.process_time() - spent
        done[name] = [int((logits.argmax(1) != clean).sum()), len(logits), wall, spent]
        if options.out:
            write_json(options.out, done)
    kept = [one for name, one in done.items() if name.startswith(f"{options.threat} {len(shapes)} ")]
    flips, places, wall, spent = (sum(column) for column in zip(*kept, strict=True))
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
        f"{options.threat}: {places:,.0f} places of {options.footprints} footprints, {flips:,.0f} change the class; "
        f"{wall:.1f} s on {options.threads} threads, {spent:.1f} s of processor, {1e6 * spent / places:.0f} "
        f"microseconds each; "
        f"{options.random:,} points at random by the plain network: {unlike:.0f} other classes, logits within "
        f"{worst:.1g}"
    )


if __name__ == "__main__":
    main()
