"""Candidates per second: robustkit's evaluators beside the best that plain forward passes give, in one run.

    python benchmarks/engine.py [--networks convnet deepmerge resnet18] [--rounds 7] [--threads 2] [--json engine.json]
    python benchmarks/engine.py --small            # a minute, for continuous integration

Every row is the median of several rounds, and the rows are taken in turn within each round, so that what else the
machine does falls on all alike; with one thread, seconds are of processor time. Read the ratios, which are to the best
row of bare forward passes. Those are given every chance: they are not charged for writing the pixels, and each runs
with the best of several batch sizes.

Two published attacks are measured by the images that they send through the network, when they are installed:

    pip install --no-deps torchattacks adversarial-robustness-toolbox six requests
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import io
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from robustkit.engine import Candidates, Evaluator, IncrementalEvaluator, PlainEvaluator
from robustkit.models import NETWORKS, AuditedClassifier

SIZES = {"convnet": 100, "deepmerge": 75, "resnet18": 100}
BATCHES = (16, 32, 64, 128, 256)


@dataclass
class Row:
    """One way to score candidates.

    Attributes:
        name: What it is.
        run: Scores once, and says how many candidates that were.
        note: What it says of itself.
        batch: Images at once, of a bare row.
    """

    name: str
    run: Callable[[], int]
    note: str = ""
    batch: int = 0


def classifier_for(name: str, size: int) -> AuditedClassifier:
    """A network with the batch norm statistics of images like galaxies."""
    torch.manual_seed(0)
    network = NETWORKS[name](size=(size, size)).train()
    with torch.no_grad():
        for _ in range(5):
            network(galaxies(16, size))
    return AuditedClassifier(network.eval(), input_shape=(3, size, size))


def galaxies(n: int, size: int) -> Tensor:
    """Exponential discs with noise, in [0, 1], shape (N, 3, size, size)."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    shape = torch.rand(n, 3, 4, 1, 1, generator=generator)
    away = [(at - (shape[:, :, i] - 0.5) * 0.3) / (shape[:, :, i + 1] * 0.3 + 0.05) for i, at in ((0, x), (2, y))]
    light = torch.exp(-2 * (away[0] ** 2 + away[1] ** 2).sqrt())
    return (0.8 * light + 0.05 + 0.03 * torch.randn(n, 3, size, size, generator=generator)).clamp(0, 1)


def candidates_for(images: Tensor, each: int) -> Candidates:
    """Random pixels and values."""
    generator = torch.Generator().manual_seed(2)
    n, bands, height, width = images.shape
    row = torch.randint(height, (n, each, 1), generator=generator)
    column = torch.randint(width, (n, each, 1), generator=generator)
    return Candidates(torch.arange(n), row, column, torch.rand(n, each, 1, bands, generator=generator))


def bare_rows(
    classifier: AuditedClassifier, images: Tensor, *, small: bool, sizes: Sequence[int] = BATCHES, each: int = 64
) -> Iterator[Row]:
    """Bare forward passes of ready batches, each way with its best batch size.

    Args:
        classifier: The network.
        images: Shape (N, C, H, W), repeated to fill a batch.
        small: Only the ways that are ready within seconds, with the two smallest sizes.
        sizes: Batch sizes to try.
        each: Images by which a size is timed; a row runs on twice as many.
    """
    contiguous = images.repeat(-(-max(sizes) // len(images)), 1, 1, 1)[: max(sizes)].contiguous()
    last = contiguous.contiguous(memory_format=torch.channels_last)
    module = classifier.module
    folded = copy.deepcopy(module)
    try:
        folded = fuse(folded)
    except Exception as error:  # torch's own tracing, which follows fewer networks than ours
        print(f"not folded: {str(error).splitlines()[0]}")
    folded = folded.eval().to(memory_format=torch.channels_last)
    sizes = sizes[:2] if small else sizes
    yield bare("eager, contiguous", module, contiguous, sizes, each)
    yield bare("eager, folded, channels last", folded, last, sizes, each)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and still the fastest on a CPU
        traced = torch.jit.trace(folded, last[:8], check_trace=False)
        frozen = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
        row = bare("torch.jit, frozen for inference", frozen, last, sizes, each)
        yield row
        if small:
            return
        try:
            yield bare("torch.compile", torch.compile(folded, dynamic=False), last, [row.batch], each)
        except Exception as error:
            print(f"torch.compile failed: {str(error).splitlines()[0]}")
        if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
            yield bare("onnxruntime", onnx_session(module, contiguous[:8]), contiguous, sizes, each)


def onnx_session(module: nn.Module, example: Tensor) -> Callable[[Tensor], object]:
    """The network in onnxruntime, with as many threads as PyTorch has."""
    import onnxruntime

    content = io.BytesIO()
    torch.onnx.export(module, (example,), content, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {"x": batch.numpy()})


def bare(name: str, function: Callable[[Tensor], object], images: Tensor, sizes: Sequence[int], each: int) -> Row:
    """A bare loop, with the batch size that gives most images in a second."""
    speeds = {}
    for batch in sizes:
        part, rounds = images[:batch], max(1, each // batch)
        function(part)
        function(part)
        start = time.perf_counter()
        for _ in range(rounds):
            function(part)
        speeds[batch] = rounds * batch / (time.perf_counter() - start)
    batch = max(speeds, key=lambda size: speeds[size])
    parts = images.split(batch)[: max(1, 2 * each // batch)]

    def run() -> int:
        for part in parts:
            function(part)
        return sum(map(len, parts))

    return Row(f"bare: {name}", run, f"batches of {batch}", batch)


def our_rows(classifier: AuditedClassifier, images: Tensor, *, each: dict[str, int]) -> Iterator[Row]:
    """The evaluators, on random candidates of all images and on the 400 of one image."""

    def rows(evaluator: Evaluator, count: int) -> Iterator[Row]:
        for words, candidates in {
            f"{len(images)} images x {count}": candidates_for(images, count),
            "1 image x 400": candidates_for(images[:1], min(400, count * len(images))),
        }.items():
            yield our_row(evaluator, candidates, words)

    plain = PlainEvaluator(classifier, images)
    yield from rows(plain, each["plain"])
    yield from rows(IncrementalEvaluator(classifier, images, plain=plain, compiled=False), each["incremental"])
    chain = IncrementalEvaluator(classifier, images, plain=plain)
    if chain.name == "chain":
        yield from rows(chain, each["chain"])
    else:
        print(f"no chain: {chain.not_compiled}")


def our_row(evaluator: Evaluator, candidates: Candidates, words: str) -> Row:
    """An evaluator on some candidates."""
    evaluator(candidates)  # trials and caches are made at the first call

    def run() -> int:
        evaluator(candidates)
        return len(candidates)

    return Row(f"robustkit: {evaluator.name}, {words}", run, evaluator.reason)


def published_rows(classifier: AuditedClassifier, images: Tensor) -> Iterator[Row]:
    """Published attacks, by the images that they send through the network."""
    sent = 0

    class Counting(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            nonlocal sent
            sent += len(batch)
            return classifier.module(batch)

    def counted(attack: Callable[[], object]) -> Callable[[], int]:
        def run() -> int:
            nonlocal sent
            sent = 0
            attack()
            return sent

        return run

    one = images[:1]
    label = classifier(one).argmax(1)
    try:
        import torchattacks

        attack = torchattacks.OnePixel(Counting().eval(), pixels=1, steps=1, popsize=100)
        yield Row("torchattacks: OnePixel", counted(lambda: attack(one, label)), torchattacks.__version__)
    except ImportError as error:
        print(f"no torchattacks: {error}")
    if classifier.classes == 2:
        print("no ART: its attack refuses networks of two classes")
        return
    try:
        import art
        from art.attacks.evasion import PixelAttack
        from art.estimators.classification import PyTorchClassifier

        shape, classes = tuple(one.shape[1:]), classifier.classes
        wrapped = PyTorchClassifier(
            Counting().eval(), nn.CrossEntropyLoss(), shape, classes, clip_values=(0.0, 1.0), device_type="cpu"
        )
        pixel = PixelAttack(wrapped, th=1, es=1, max_iter=1, verbose=False)
        target = np.eye(classes, dtype=np.float32)[label.numpy()]
        yield Row("ART: PixelAttack", counted(lambda: pixel.generate(one.numpy(), target)), art.__version__)
    except ImportError as error:
        print(f"no ART: {error}")


def measure(rows: list[Row], rounds: int) -> dict[str, list[float]]:
    """Candidates per second of each row in each round; the rows are taken in turn, and the first round warms up."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    speeds: dict[str, list[float]] = {row.name: [] for row in rows}
    for turn in range(rounds + 1):
        for row in rows:
            start = clock()
            count = row.run()
            if turn:
                speeds[row.name].append(count / (clock() - start))
    return speeds


def environment() -> dict[str, object]:
    """What the numbers depend on."""
    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "load of the last minute": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def table(name: str, size: int, rows: list[Row], speeds: dict[str, list[float]]) -> str:
    """A Markdown table."""
    medians = {row.name: statistics.median(speeds[row.name]) for row in rows}
    best = max(speed for row, speed in medians.items() if row.startswith("bare"))
    lines = [
        f"### {name}, 3x{size}x{size}",
        "",
        "| way | candidates/s | range | ratio to the best bare | notes |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        few, many = min(speeds[row.name]), max(speeds[row.name])
        ratio = medians[row.name] / best
        lines.append(f"| {row.name} | {medians[row.name]:,.0f} | {few:,.0f}-{many:,.0f} | {ratio:.2f} | {row.note} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=sorted(SIZES), default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--small", action="store_true", help="few candidates and rounds")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rounds, images = (2, 4) if options.small else (options.rounds, options.images)
    results: dict[str, object] = {"environment": environment(), "networks": {}}
    print("\n".join(f"- {key}: {value}" for key, value in environment().items()), end="\n\n")
    for name in options.networks:
        size = SIZES[name]
        classifier, clean = classifier_for(name, size), galaxies(images, size)
        each = {"plain": 4, "incremental": 40 if name == "resnet18" else 400, "chain": 1000}
        each = {engine: max(1, count // 10) for engine, count in each.items()} if options.small else each
        with torch.inference_mode():
            rows = list(bare_rows(classifier, clean, small=options.small))
        rows += our_rows(classifier, clean, each=each)
        if not options.small:
            rows += published_rows(classifier, clean)
        with torch.inference_mode():
            speeds = measure(rows, rounds)
        print(table(name, size, rows, speeds), flush=True)
        results["networks"][name] = {  # pyright: ignore[reportIndexIssue]
            row.name: {"per second": speeds[row.name], "note": row.note} for row in rows
        }
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
