"""What a front end saves and what it costs: flips by the complete search, accuracy per domain, time.

Each line is a front end before a network that is not trained again. Flips are of images that the repaired model
classifies correctly, over every pixel and every declared value, with 95 % Wilson intervals; the search goes through the
front end. Images are taken in the order of the draw until so many are right or the time is used up; a line that was
measured is kept in the file and not measured again.

    python -m benchmarks.remedy --model demo/source.pt --domain demo/galaxies/Y1 --n 120 --out remedy.jsonl
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robustkit.findings.certify.measure import certify
from robustkit.models import AuditedClassifier, ModelOptions
from robustkit.models.fronts import make_front, noise_constants
from robustkit.models.fronts.registry import needs_noise
from robustkit.models.fronts.splitting import put_before
from robustkit.perturb.decision import decide
from robustkit.perturb.edges import SUFFIX, with_edges
from robustkit.perturb.pairs import survey_pairs
from robustkit.perturb.threats import make_values
from robustkit.runs.opening import open_sample
from robustkit.runs.sample import Sample
from robustkit.runs.selection import Selection
from robustkit.stats import mcnemar, wilson

FRONTS = ("none", "clip", "clip:2", "joint:5", "line", "median")
_BATCH = 64


def right(classifier: AuditedClassifier, sample: Sample) -> np.ndarray:
    """Which images are classified correctly, shape (N,), bool."""
    with torch.inference_mode():
        found = [decide(classifier(part)) for part in sample.images.split(_BATCH)]
    return torch.cat(found).numpy() == sample.labels.numpy()


def repaired(sample: Sample, name: str) -> AuditedClassifier:
    """The classifier of a sample behind a front end."""
    checkpoint = sample.checkpoint
    classifier, card = checkpoint.classifier, checkpoint.card
    if name == "none":
        return classifier
    constants: dict[str, Any] = {}
    if needs_noise(name):
        noise = noise_constants(checkpoint.stretch, sample.whole.meta, card.bands, card.input_range)
        constants = {"noise": noise}
    return put_before(make_front(name, constants), classifier)


def measure(
    sample: Sample, others: list[Sample], name: str, values: str, n: int, seconds: float, pairs: bool
) -> dict[str, Any]:
    """One line: accuracy on each domain, and what the complete search finds of the first `n` right images."""
    classifier = repaired(sample, name)
    line: dict[str, Any] = {"front": name, "values": values, "accuracy": {}}
    for domain in (sample, *others):
        before, after = right(domain.checkpoint.classifier, domain), right(classifier, domain)
        gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
        rate = wilson(int(after.sum()), len(after))
        test = float(mcnemar(gained, lost).p)
        line["accuracy"][str(domain.path.name)] = {"rate": str(rate), "gained": gained, "lost": lost, "p": test}
    rows = np.flatnonzero(right(classifier, sample))[:n]
    card = sample.checkpoint.card
    declared = make_values(
        values.removesuffix(SUFFIX), input_range=card.input_range, value_range=None, stretch=sample.checkpoint.stretch,
        units=sample.whole.units, bounds=sample.whole.bounds, device=classifier.device,
    )  # fmt: skip
    if values.endswith(SUFFIX):
        declared = with_edges(declared, classifier)
    flipped = certified = tried = 0
    began, processor = time.monotonic(), time.process_time()
    group = 1 if pairs else 16
    for start in range(0, len(rows), group):
        if time.monotonic() - began > seconds:
            break
        some = rows[start : start + group]
        if pairs:
            found = survey_pairs(classifier, sample.images[some], sample.labels[some], values=declared)
            flipped, certified = flipped + int(found.flipped.sum()), certified + int(found.certified.sum())
            tried += 1
            continue
        record = certify(
            classifier, sample.images[some], sample.labels[some], values=declared, ids=list(sample.ids[some])
        )
        flipped, certified = flipped + int(record.flippable.sum()), certified + int(record.certified.sum())
        tried += int(record.complete.sum())
    spent = time.process_time() - processor
    line |= {"right": tried, "flipped": flipped, "certified": certified, "rate": str(wilson(flipped, tried))}
    return line | {"seconds_per_image": spent / max(tried, 1)}


def main() -> None:
    """Measures, keeps, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a robustkit checkpoint")
    parser.add_argument("--data", help="its images, where the checkpoint does not say")
    parser.add_argument("--domain", action="append", default=[], help="another domain whose accuracy is looked at")
    parser.add_argument("--front", action="append", help="a front end, or none; several are taken in turn")
    parser.add_argument("--values", default="corners", help="with +edge, also those just inside a threshold")
    parser.add_argument("--pairs", action="store_true", help="every pair of neighbouring pixels instead of every pixel")
    parser.add_argument("--n", type=int, default=120, help="right images")
    parser.add_argument("--minutes", type=float, default=10, help="of one line at most")
    parser.add_argument("--out", default="remedy.jsonl", help="lines that are measured already are kept here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kept = Path(given.out)
    known = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    draw = Selection(n=100_000, take_all=True, data=given.data, options=ModelOptions())
    sample = open_sample(given.model, draw, say=lambda line: None)
    others = [
        open_sample(given.model, Selection(n=100_000, take_all=True, data=one), say=lambda line: None)
        for one in given.domain
    ]
    print("| model | front end, values | accuracy | flipped | certified | s an image |\n|---|---|---|---|---|---|")
    for name in given.front or FRONTS:
        about = {"model": given.model, "data": given.data, "n": given.n, "pairs": given.pairs}
        same = about | {"front": name, "values": given.values}
        line = next((one for one in known if same.items() <= one.items()), None)
        if line is None:
            line = about | measure(sample, others, name, given.values, given.n, 60 * given.minutes, given.pairs)
            with kept.open("a") as file:
                file.write(json.dumps(line) + "\n")
        where = "; ".join(f"{k} {v['rate']} ({v['gained']}, {v['lost']})" for k, v in line["accuracy"].items())
        flips = f"{line['flipped']}/{line['right']}: {line['rate']}"
        first = f"| {given.model} | {name}, {given.values} | {where} | {flips}"
        print(f"{first} | {line['certified']} | {line['seconds_per_image']:.2f} |")


if __name__ == "__main__":
    main()
