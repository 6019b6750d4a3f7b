"""Every real amplitude: how long it takes an image, and what the plain network says of random ones and of the ends.

    python -m benchmarks.amplitudes --out amplitudes.json [--model net.pt] [--images 8] [--random 20000] [--ends 500]

Without a model the networks of the papers have random weights and the images are those of `benchmarks/chain.py`. With a
model its own test images are taken, in electrons through its stretch. Contradictions are counted among all amplitudes
whose margin, by the plain network, exceeds the error bound of the image. Every image is written to `--out` when it is
done, and a run that was stopped continues there.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.chain import classifier_for, galaxies
from robustkit.engine import PlainEvaluator, make_evaluator
from robustkit.engine.lines import LineNetwork
from robustkit.findings.amplitudes.measure import LEVELS
from robustkit.perturb.amplitudes import Amplitudes, make_amplitudes
from robustkit.perturb.line_survey import Lines, LineSurvey


def subjects(options: argparse.Namespace) -> list[tuple[str, Any, torch.Tensor, np.ndarray, Amplitudes]]:
    if options.model:
        from robustkit.findings.certify.record import CertifyRequest
        from robustkit.runs.opening import open_sample

        sample = open_sample(Path(options.model), CertifyRequest(n=options.images), device="cpu", say=print)
        card, whole = sample.checkpoint.card, sample.whole
        lines = make_amplitudes(
            "line",
            input_range=card.input_range,
            stretch=sample.checkpoint.stretch,
            units=whole.units,
            bounds=whole.bounds,
        )
        calibrated = np.asarray(whole.images[sample.rows])
        return [(Path(options.model).name, sample.checkpoint.classifier, sample.images, calibrated, lines)]
    images = galaxies(options.images, 100)
    lines = make_amplitudes("line", input_range=[(0.0, 1.0)] * 3, stretch=None, units="unknown", bounds=None)
    return [(name, classifier_for(name, 100), images, images.numpy(), lines) for name in ("convnet", "deepmerge")]


def inside(lines: Lines, at: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Whether distances lie in a span."""
    spans = lines.spans
    first = np.searchsorted(spans.line, at)
    found = np.zeros(len(at), bool)
    most = int(np.bincount(spans.line, minlength=1).max(initial=0))
    for k in range(most):
        i = np.minimum(first + k, max(len(spans.line) - 1, 0))
        before = (distance < spans.stop[i]) | (spans.stop[i] >= lines.end[at])  # a span may reach the line's end
        found |= (spans.line[i] == at) & (spans.start[i] < distance) & before
    return found


def one(survey: LineSurvey, i: int, options: argparse.Namespace) -> dict[str, float]:
    """What one image takes, and what the plain network contradicts."""
    rng, found_all = np.random.default_rng(i), []
    height, width = survey.image.shape[2:]
    every = np.stack(np.unravel_index(np.arange(height * width), (height, width)), 1)
    start, spent = time.perf_counter(), time.process_time()
    found_all = survey.run(every, lambda n: None)
    told = {"seconds": time.perf_counter() - start, "processor": time.process_time() - spent}
    bound = survey.error_bound(found_all, rng)
    tried = contradictions = near = ends = failed = 0
    plain = PlainEvaluator(survey.classifier, survey.image)
    for lines in found_all:
        n = -(-options.random // (options.images * len(found_all)))
        at = rng.integers(len(lines.end), size=n)
        # Half of them on lines that flip, where there are any.
        if len(lines.spans.line):
            at[::2] = rng.choice(np.unique(lines.spans.line), len(at[::2]))
        distance = rng.uniform(0, 1, n) * lines.end[at]
        margin, flipped = survey._judged(plain(survey.candidates(lines, at, distance)))
        sure = np.abs(margin) > bound
        tried, near = tried + n, near + int((~sure).sum())
        contradictions += int((flipped != inside(lines, at, distance))[sure].sum())
        some = rng.permutation(len(lines.spans.line))[: -(-options.ends // (options.images * len(found_all)))]
        ends += len(some)
        failed += int((~survey.prove(lines, some)[1]).sum()) if len(some) else 0
        # A nudge across either end: one step flips, the other does not.
        for end, way in ((lines.spans.start, 1), (lines.spans.stop, -1)):
            inner = some[(end[some] > 0) & (end[some] < lines.end[lines.spans.line[some]])]
            at, step = lines.spans.line[inner], 1e-3 * lines.end[lines.spans.line[inner]]
            for move in (way, -way):
                there = np.clip(end[inner] + move * step, 0, lines.end[at])
                expected, (margin, flipped) = inside(lines, at, there), survey.ask(lines, at, there)
                sure = np.abs(margin) > bound
                failed += int((flipped != expected)[sure].sum())
                ends, near = ends + len(at), near + int((~sure).sum())
    return {
        **told, "half_lines": sum(len(lines.end) for lines in found_all),
        "walked": sum(int(lines.spans.pieces.sum()) for lines in found_all),
        "flips": int(any(len(lines.spans.line) for lines in found_all)),
        "tried": tried, "near": near, "contradictions": contradictions, "ends": ends, "failed": failed,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--random", type=int, default=20_000)
    parser.add_argument("--ends", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    done: dict[str, dict[str, Any]] = json.loads(options.out.read_text()) if options.out.exists() else {}
    asked = f"{options.images} images, {options.random} amplitudes, {options.ends} ends, {options.threads} threads"
    for name, classifier, images, calibrated, amplitudes in subjects(options):
        mine = done.setdefault(f"{name}, {asked}", {})
        network = LineNetwork(classifier, images) if amplitudes.straight else None  # as `robustkit certify` decides
        if network is not None:  # compiled before it is timed
            network.follow(images[0], 0, np.zeros((1, 2), int), np.eye(1, 3), np.ones(1))
        for i in range(len(images)):
            if str(i) in mine:
                continue
            survey = LineSurvey(
                classifier, images[i], calibrated[i], int(classifier(images[i : i + 1]).argmax()), amplitudes,
                network=network, evaluator=partial(make_evaluator, classifier, images[i : i + 1]), levels=LEVELS,
            )  # fmt: skip
            mine[str(i)] = one(survey, i, options)
            options.out.write_text(json.dumps(done, indent=1))
        table = {key: np.array([row[key] for row in mine.values()]) for key in next(iter(mine.values()))}
        total = {key: int(values.sum()) for key, values in table.items()}
        half, wall, processor = total["half_lines"], table["seconds"], table["processor"]
        print(
            f"{name}: {len(mine)} images, {total['flips']} that some amplitude flips; {half / len(mine):,.0f} half "
            f"lines, {total['walked'] / half:.3f} breakpoints walked on each; seconds per image {np.median(wall):.1f}, "
            f"at most {wall.max():.1f} ({options.threads} threads of {os.cpu_count()}), of processor "
            f"{np.median(processor):.1f}, at most {processor.max():.1f}; {total['contradictions']} contradictions "
            f"among {total['tried']:,} amplitudes by the plain network, {total['near']} too near to count; "
            f"{total['failed']} of {total['ends']:,} ends are not confirmed"
        )


if __name__ == "__main__":
    main()
