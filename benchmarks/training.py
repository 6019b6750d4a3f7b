"""What the training loop costs beside a hand-written minimal one: ratios of the same run, in turn.

    python benchmarks/training.py [--network convnet] [--images 1000] [--epochs 2] [--rounds 3] [--threads 2] [--small]

Both loops shuffle, train and validate after every epoch on the same tensors with the same network, optimiser and
schedule. Ours also renews the batch norm, scores the target, keeps the best weights, and writes state and log. Seconds
are of the processor, because other work on the machine shifts wall time; wall ratios are printed beside them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from robustkit.data import ImageSet
from robustkit.training import Settings, train
from robustkit.training.domains import make_part
from robustkit.training.network import Trainee
from robustkit.training.objective import class_weights
from robustkit.training.plan import Plan, make_plan


def images(n: int, size: int, noise: float, seed: int) -> ImageSet:
    rng = np.random.default_rng(seed)
    pixels = rng.normal(0, noise, (n, 3, size, size)).astype(np.float32)
    labels = np.arange(n) % 3
    for i, label in enumerate(labels):
        pixels[i, label, 20 : size - 20, 20 : size - 20] += 1
    ids = np.array([f"object {i}" for i in range(n)])
    return ImageSet(pixels, labels, ("a", "b", "c"), ("g", "r", "i"), ids, units="electron")


def plain_mmd(source: Tensor, target: Tensor) -> Tensor:
    rows, n = torch.cat([source, target]), len(source)
    distances = torch.cdist(rows, rows).square()
    off = ~torch.eye(len(rows), dtype=torch.bool)
    median = distances.detach()[off].median()
    kernel = torch.stack([torch.exp(-distances / (2 * f * median)) for f in (0.25, 0.5, 1, 2, 4)]).mean(0)
    within = (kernel[:n, :n].sum() - n) / (n * (n - 1)) + (kernel[n:, n:].sum() - n) / (n * (n - 1))
    return within - 2 * kernel[:n, n:].mean()


def minimal(plan: Plan, epochs: int) -> None:
    """The loop that one would write for this purpose alone."""
    settings, adapts = plan.settings, plan.settings.method == "mmd"
    source, valid = (make_part(plan.source, part, plan.stretch, "cpu") for part in ("train", "valid"))
    assert source.labels is not None
    assert settings.batch is not None
    target = make_part(plan.target, "train", plan.stretch, "cpu") if plan.target and adapts else None
    torch.manual_seed(0)
    network = Trainee(plan.network().to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    weights, steps = class_weights(source.labels, 3), -(-len(source) // settings.batch)
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=epochs * steps)
    for _ in range(epochs):
        network.train()
        order = torch.randperm(len(source)).repeat(2)
        other = torch.randperm(len(source)).repeat(2)
        for step in range(steps):
            rows = order[step * settings.batch : (step + 1) * settings.batch]
            partners = other[step * settings.batch : (step + 1) * settings.batch]
            first, second = network(source.images[rows], target.images[partners] if target else None)
            loss = cross_entropy(first.logits, source.labels[rows], weights)
            if second is not None:
                loss = loss + plain_mmd(first.latents, second.latents)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        network.eval()
        with torch.inference_mode():
            for batch in valid.images.split(256):
                network(batch)


def clock(function: Callable[[], None]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return time.process_time() - processor, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="convnet")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--small", action="store_true", help="Small images, to see that it runs.")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size, n = (48, 300) if arguments.small else (100, arguments.images)
    source, target = images(n, size, 0.3, 0), images(n, size, 1.0, 1)
    for method in ("source", "mmd"):
        settings = Settings(
            method=method, network=arguments.network, epochs=arguments.epochs, warm_up=0, dihedral=False, patience=100
        )
        plan = make_plan(source, target, settings)
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "a.pt"
                ours.append(clock(lambda out=out, s=settings: train(source, target, out=out, settings=s, device="cpu")))
            theirs.append(clock(lambda plan=plan: minimal(plan, arguments.epochs)))
        for k, name in enumerate(("processor", "wall")):
            mine, plain = (statistics.median(each[k] for each in times) for times in (ours, theirs))
            ratios = ", ".join(f"{a[k] / b[k]:.3f}" for a, b in zip(ours, theirs, strict=True))
            each = mine / arguments.epochs
            print(f"{method:7} {name:9} ours {each:.2f} s an epoch, minimal {plain / arguments.epochs:.2f} s, "
                  f"ratio {mine / plain:.3f} (rounds {ratios})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
