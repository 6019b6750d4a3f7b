"""Small chances by splitting, held against the complete pass over every pixel, which knows them.

    python -m benchmarks.rare --model net.pt --data galaxies/Y10 --out rare.json [--fault hot-pixel] [--images 8]
    [--only 5]

A fault that falls on one of finitely many places at one of five severities is tried everywhere: that is its chance.
Splitting then estimates the same mean over the images, `--runs` times. Every step is kept in `--out`, and a run that
was stopped continues there.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from robustkit.engine import make_evaluator
from robustkit.files import write_json
from robustkit.findings.hazard.measure import Hazard
from robustkit.findings.hazard.rare import Events
from robustkit.findings.hazard.record import HazardRequest
from robustkit.perturb.conditions import calibrated
from robustkit.perturb.fault_scorer import FaultScorer, every_point
from robustkit.perturb.faults.space import FaultSpace
from robustkit.perturb.rare import rare_chance
from robustkit.runs.measurement import start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fault", default="hot-pixel")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--only", type=int, help="one of the images")
    options = parser.parse_args()
    done: dict[str, list[float]] = json.loads(options.out.read_text()) if options.out.exists() else {}
    asked = HazardRequest(n=options.images, data=options.data, events=5, faults=(options.fault,), depths=("own",))
    hazard = start(Hazard, options.model, asked, "cpu", lambda line: None)
    sample, stretch = hazard.sample, hazard.stretch
    assert stretch is not None
    stored = torch.from_numpy(np.array(calibrated(sample.image_set).images, np.float32))
    if options.only is not None:
        stored = stored[options.only : options.only + 1]
    which = "" if options.only is None else f" of {options.only}"
    size, classifier = (stored.shape[2], stored.shape[3]), sample.checkpoint.classifier
    clean = hazard.classes_of(stored)
    space = FaultSpace(options.fault, hazard.conditions, size, stretch)
    for i in range(len(stored)):
        if (name := f"{options.fault}{which} image {i}") in done:
            continue
        seen = stretch(stored[i : i + 1])
        scorer = FaultScorer(classifier, make_evaluator(classifier, seen), space, stored[i : i + 1])
        changed = total = 0
        for gene in space.levels():
            logits = scorer(every_point(space, np.array([gene, *[0.5] * len(space.draws)])))
            changed, total = changed + int((logits.argmax(1).numpy() != clean[i]).sum()), total + len(logits)
        done[name] = [changed, total]
        write_json(options.out, done)
    events = Events(classifier, stretch, stored, clean, options.fault, hazard.levels[options.fault], hazard.conditions)
    for run in range(options.runs):
        if (name := f"{options.fault}{which} run {run}") not in done:
            began = time.process_time()
            one = rare_chance(events, len(stored), events.dimensions, np.random.default_rng(run))
            done[name] = [one.chance, one.tried, time.process_time() - began]
            write_json(options.out, done)
    counted = np.array([done[f"{options.fault}{which} image {i}"] for i in range(len(stored))])
    runs = np.array([done[f"{options.fault}{which} run {run}"] for run in range(options.runs)])
    truth, found = float((counted[:, 0] / counted[:, 1]).mean()), runs[:, 0]
    print(
        f"{options.fault}, {len(stored)} images: {int(counted[:, 0].sum()):,} of {int(counted[:, 1].sum()):,} events "
        f"change the class, a chance of {truth:.3g}; {options.runs} estimates by splitting {found.mean():.3g}, "
        f"ratio {found.mean() / truth if truth else float('nan'):.2f}, standard deviation of one "
        f"{found.std(ddof=1) / truth if truth else float('nan'):.0%}; {runs[:, 1].mean():,.0f} images each, "
        f"{runs[:, 2].mean():.0f} s of processor"
    )


if __name__ == "__main__":
    main()
