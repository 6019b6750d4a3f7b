"""How many of the wrong answers that faults cause does the worst of the ranking hold? On held-out, labelled images.

    python -m benchmarks.flags --model mmd.pt --data galaxies/Y1
    python -m benchmarks.flags --model radio.pt --data radio.npz --suite plain

Every held-out image is flagged as it is, and hit by one fault at a random level. Surveys are then made of both: in
each, one image in ten is hit. The ranking sees images without labels, and not which of them are hit.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import robustkit as rk
from robustkit.perturb.conditions import conditions_of
from robustkit.perturb.faults.naming import read_name
from robustkit.perturb.faults.registry import SUITES
from robustkit.perturb.perturbation import Stage
from robustkit.runs import Selection
from robustkit.runs.opening import open_sample
from robustkit.runs.sample import Sample
from robustkit.seeds import Streams


def main() -> None:
    """Parses the command line and prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--suite", default="lsst", choices=tuple(SUITES))
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--hit", type=float, default=0.1, help="Share of the images of a survey that a fault hits.")
    parser.add_argument("--worst", type=float, default=0.05, help="Share that is removed.")
    parser.add_argument("--surveys", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    sample = open_sample(asked.model, Selection(data=asked.data, n=asked.n, take_all=True), say=lambda line: None)
    true = sample.labels.numpy()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, images in (("as they are", sample.image_set.images), ("hit", hit(sample, asked.suite, asked.seed))):
            kept = replace(sample.image_set, images=np.asarray(images, np.float32), notes=(), provenance={})
            kept.save(Path(folder, name))
            how = {"suite": asked.suite, "least_change": False}
            record = rk.flag(asked.model, data=Path(folder, name), **how).record
            found.append((record.predicted != true, record))
    (wrong, clean), (wrong_hit, faulted) = found
    caused = wrong_hit & ~wrong
    scores = {
        "rank (doubt)": (clean.doubt, faulted.doubt),
        "probability alone": (-clean.own_probability(), -faulted.own_probability()),
        "oddness alone": (clean.oddness, faulted.oddness),
        "latent distance alone": (clean.distance, faulted.distance),
        "agreement alone": (-clean.agreement, -faulted.agreement),
    }
    random, out = np.random.default_rng(asked.seed), {}
    surveys = random.random((asked.surveys, len(true))) < asked.hit
    most = round(asked.worst * len(true))
    for name, (one, other) in scores.items():
        removed = np.zeros(4)
        for is_hit in surveys:
            score, lost = np.where(is_hit, other, one), np.where(is_hit, wrong_hit, wrong)
            worst = np.argsort(-score, kind="stable")[:most]
            removed += [(is_hit & caused)[worst].sum(), (is_hit & caused).sum(), lost[worst].sum(), lost.sum()]
        out[name] = {
            "of those that faults caused": removed[0] / removed[1],
            "of all wrong answers": removed[2] / removed[3],
        }
    ceiling = float(np.mean([min(most, np.where(h, wrong_hit, wrong).sum()) for h in surveys]))
    total = float(np.mean([np.where(h, wrong_hit, wrong).sum() for h in surveys]))
    said = {
        "images": len(true), "wrong as they are": float(wrong.mean()), "wrong hit": float(wrong_hit.mean()),
        "right as they are and wrong hit": float(caused.mean()), "removed": most,
        "most of all wrong answers that any ranking could remove": ceiling / total,
        "share of wrong answers removed": out,
    }  # fmt: skip
    print(json.dumps(said, indent=1))


def hit(sample: Sample, suite: str, seed: int) -> np.ndarray:
    """Each image after one fault that happens before the stretch, at one of its five levels."""
    stored = torch.from_numpy(np.array(sample.image_set.images))
    kinds = [read_name(name) for name in SUITES[suite]]
    kinds = [one for one in kinds if one.kind.stage != Stage.STRETCHED and one.kind.least_bands <= stored.shape[1]]
    conditions = conditions_of(sample.whole) if any(one.kind.physical for one in kinds) else None
    random = np.random.default_rng(seed)
    which, level = random.integers(len(kinds), size=len(stored)), random.integers(5, size=len(stored))
    for k, one in enumerate(kinds):
        for step in range(5):
            rows = np.flatnonzero((which == k) & (level == step))
            if len(rows):
                streams = Streams(seed, sample.ids[rows], f"survey {one.kind.name}")
                fault = one.at(one.kind.levels[step])
                stored[rows] = fault(stored[rows], conditions=conditions, streams=streams)
    return stored.numpy()


if __name__ == "__main__":
    main()
