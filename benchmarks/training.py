"""What the training loop costs beside a hand-written minimal one: ratios of the same run, in turn.

    python benchmarks/training.py [--network convnet] [--images 3000] [--size 100] [--epochs 1] [--rounds 3]
        [--threads 1]
    python benchmarks/training.py --small

Both loops begin with the same tensors and a fresh network, and end with the best weights. Both shuffle, step (one batch
of each domain, joint batch norm, AdamW, one-cycle), score the validation images after every epoch, for `mmd` those of
the target too, and keep a copy of the best weights. Neither turns or mirrors images. All that ours does beyond that
counts as its overhead: it renews the batch norm, takes the other scores of the log, watches for losses that are not
finite, runs deterministic algorithms, and writes checkpoint, exact state and log after every epoch. What happens once
in a run (opening, splitting, fitting the stretch, the last files) is printed by itself.

Seconds are of the processor, all threads together, because other work on the machine shifts wall time; the ratio of
wall times stands beside them. The loops take turns and change places in every round; the first round is not counted.
A ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softmax

from robustkit.data import ImageSet
from robustkit.training import Settings, train
from robustkit.training.setup import Setup, make_setup

Seconds = tuple[float, float]  # processor, wall


def images(n: int, size: int, noise: float, seed: int) -> ImageSet:
    rng = np.random.default_rng(seed)
    pixels = rng.normal(0, noise, (n, 3, size, size)).astype(np.float32)
    labels = np.arange(n) % 3
    for i, label in enumerate(labels):
        pixels[i, label, size // 4 : -size // 4, size // 4 : -size // 4] += 1
    ids = np.array([f"object {i}" for i in range(n)])
    return ImageSet(pixels, labels, ("a", "b", "c"), ("g", "r", "i"), ids, units="electron")


def mmd(source: Tensor, target: Tensor) -> Tensor:
    rows, n = torch.cat([source, target]), len(source)
    distances = torch.cdist(rows, rows).square()
    off = ~torch.eye(len(rows), dtype=torch.bool)
    median = distances.detach()[off].median()
    kernel = torch.stack([torch.exp(-distances / (2 * f * median)) for f in (0.25, 0.5, 1, 2, 4)]).mean(0)
    within = (kernel[:n, :n].sum() - n) / (n * (n - 1)) + (kernel[n:, n:].sum() - n) / (n * (n - 1))
    return within - 2 * kernel[:n, n:].mean()


def scores(network: nn.Module, batches: tuple[Tensor, ...]) -> Tensor:
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in batches])


def minimal(setup: Setup) -> Seconds:
    """The loop that one would write for this purpose alone."""
    settings, adapts = setup.settings, setup.settings.method == "mmd"
    source, valid = (setup.part(setup.source, part, "cpu") for part in ("train", "valid"))
    assert source.labels is not None
    assert valid.labels is not None
    assert settings.batch is not None
    assert setup.target is not None
    target, target_valid = (setup.part(setup.target, part, "cpu").images for part in ("train", "valid"))
    torch.manual_seed(0)
    network = setup.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    latents: list[Tensor] = []
    dict(network.named_modules())[network.latent].register_forward_hook(lambda layer, x, y: latents.append(y))
    weights = len(source.labels) / (3 * torch.bincount(source.labels).float())
    size, steps = settings.batch, -(-len(source) // settings.batch)

    def loop() -> None:
        optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, settings.learning_rate, total_steps=settings.epochs * steps
        )
        best, kept = -1.0, None
        for _ in range(settings.epochs):
            network.train()
            order, other = (torch.cat([torch.randperm(len(source)) for _ in range(2)]) for _ in range(2))
            for step in range(steps):
                rows = order[step * size : (step + 1) * size]
                batch = source.images[rows]
                if adapts:
                    batch = torch.cat([batch, target[other[step * size : (step + 1) * size]]])
                logits = network(batch)
                loss = cross_entropy(logits[:size], source.labels[rows], weights)
                if adapts:
                    loss = loss + mmd(*latents[0].flatten(1).split(size))
                latents.clear()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
            score = float((scores(network, valid.images.split(256)).argmax(1) == valid.labels).float().mean())
            if adapts:
                p = softmax(scores(network, target_valid.split(256)), 1)
                score += float((p * p.log()).sum(1).mean() - (p.mean(0) * p.mean(0).log()).sum())
            latents.clear()
            if score > best:
                best, kept = score, deepcopy(network.state_dict())
        network.load_state_dict(kept or {})

    return clock(loop)


def ours(source: ImageSet, target: ImageSet, settings: Settings) -> tuple[Seconds, Seconds]:
    """Seconds of the loop of `train`, and of the whole call."""
    # The package exports the function under the name of its module.
    module: Any = sys.modules["robustkit.training.train"]
    real, loop = module.run_epochs, []
    module.run_epochs = lambda *a, **k: loop.append(clock(lambda: real(*a, **k)))
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "a.pt"
            whole = clock(lambda: train(source, target, out=out, settings=settings, device="cpu"))
    finally:
        module.run_epochs = real
    return loop[0], whole


def clock(function: Callable[[], object]) -> Seconds:
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return time.process_time() - processor, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="convnet")
    parser.add_argument("--images", type=int, default=3000, help="Of each domain; seven tenths of them are trained on.")
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=["source", "mmd"], choices=["source", "mmd"])
    parser.add_argument("--small", action="store_true", help="Few small images, to see that it runs.")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.images, arguments.size, arguments.rounds = 300, 32, 1
    torch.set_num_threads(arguments.threads)
    source, target = (images(arguments.images, arguments.size, noise, seed) for seed, noise in enumerate((0.3, 1.0)))
    for method in arguments.methods:
        settings = Settings(
            method=method, network=arguments.network, epochs=arguments.epochs, warm_up=0, dihedral=False, patience=100
        )
        setup = make_setup(source, target, settings)
        rounds = []
        for k in range(arguments.rounds + 1):
            if k % 2:
                theirs = minimal(setup)
            loop, whole = ours(source, target, settings)
            if not k % 2:
                theirs = minimal(setup)
            rounds.append((loop, theirs, whole))
            print(f"{method}, round {k}: processor ours {loop[0]:.2f} s, minimal {theirs[0]:.2f} s", flush=True)
        rounds = rounds[1:]
        mine, plain = (statistics.median(each[k][0] for each in rounds) / arguments.epochs for k in (0, 1))
        once = statistics.median(whole[0] - loop[0] for loop, _, whole in rounds)
        print(f"{method}: ours {mine:.2f} s an epoch, minimal {plain:.2f} s; {once:.2f} s once in a run")
        for name, which in (("processor", 0), ("wall", 1)):
            ratios = sorted(a[which] / b[which] for a, b, _ in rounds)
            print(f"  {name} ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})", flush=True)


if __name__ == "__main__":
    main()
