"""Every real amplitude: how long it takes an image, and what the plain network says of random ones and of the ends.

    python -m benchmarks.amplitudes [--model net.pt] [--images 8] [--random 20000] [--ends 500] [--threads 2]

Without a model the networks of the papers have random weights and the images are those of `benchmarks/chain.py`. With a
model its own test images are taken, in electrons through its stretch. Contradictions are counted among all amplitudes
whose margin, by the plain network, exceeds the error bound of the image.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.chain import classifier_for, galaxies
from robustkit.engine import PlainEvaluator
from robustkit.engine.lines import LineNetwork
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
        found |= (spans.line[i] == at) & (spans.start[i] < distance) & (distance < spans.stop[i])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--random", type=int, default=20_000)
    parser.add_argument("--ends", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name, classifier, images, calibrated, amplitudes in subjects(options):
        rng, seconds, processor = np.random.default_rng(0), [], []
        network = LineNetwork(classifier, images)
        tried = contradictions = near = ends = failed = flips = pieces = half = 0
        for i in range(len(images)):
            label = int(classifier(images[i : i + 1]).argmax())
            survey = LineSurvey(
                classifier, images[i], calibrated[i], label, amplitudes, network=network,
                evaluator=lambda: None, levels=2,  # pyright: ignore[reportArgumentType]
            )  # fmt: skip
            every = np.stack(np.unravel_index(np.arange(images[0, 0].numel()), images.shape[2:]), 1)
            start, spent = time.perf_counter(), time.process_time()
            found = survey.run(every, lambda n: None)
            seconds.append(time.perf_counter() - start)
            processor.append(time.process_time() - spent)
            bound = survey.error_bound(found, rng)
            pieces += sum(int(lines.spans.pieces.sum()) for lines in found)
            half += sum(len(lines.end) for lines in found)
            flips += any(len(lines.spans.line) for lines in found)
            plain = PlainEvaluator(classifier, images[i : i + 1])
            for lines in found:
                n = -(-options.random // (len(images) * len(found)))
                at = rng.integers(len(lines.end), size=n)
                # Half of them on lines that flip, where there are any.
                if len(lines.spans.line):
                    at[::2] = rng.choice(np.unique(lines.spans.line), len(at[::2]))
                distance = rng.uniform(0, 1, n) * lines.end[at]
                margin, flipped = survey._judged(plain(survey.candidates(lines, at, distance)))
                sure = np.abs(margin) > bound
                tried, near = tried + n, near + int((~sure).sum())
                contradictions += int((flipped != inside(lines, at, distance))[sure].sum())
                some = rng.permutation(len(lines.spans.line))[: -(-options.ends // (len(images) * len(found)))]
                ends += len(some)
                failed += int((~survey.prove(lines, some)[1]).sum()) if len(some) else 0
                lower = some[lines.spans.start[some] > 0]
                at, begin = lines.spans.line[lower], lines.spans.start[lower]
                outside = np.maximum(begin - 1e-3 * lines.end[at], 0)
                again, value = inside(lines, at, outside), survey.ask(lines, at, outside)
                failed += int((value[1] & ~again & (value[0] > bound)).sum())
                ends += len(lower)
        cores = f"{options.threads} threads of {os.cpu_count()}"
        print(
            f"{name}: {len(images)} images, {flips} that some amplitude flips; {half / len(images):,.0f} half lines, "
            f"{pieces / half:.0f} pieces on each; {np.median(seconds):.1f} s an image ({cores}), "
            f"{np.median(processor):.1f} s of processor; {contradictions} contradictions among {tried:,} amplitudes by "
            f"the plain network, {near} too near to count; {failed} of {ends} ends are not confirmed"
        )


if __name__ == "__main__":
    main()
