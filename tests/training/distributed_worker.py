"""What `test_distributed.py` lets one process do, and two that torchrun starts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from robustkit.training import Settings, train
from robustkit.training.distributed import open_world, share_batch_norm
from tests.training.worlds import noisier, squares, start

METHODS = ("mmd", "dann", "coral")
HOW: dict[str, Any] = {"batch": 16, "warm_up": 0, "ramp": False, "entropy": 0.1, "fisher": "ratio"}


def first_step(method: str) -> dict[str, Any]:
    """Terms of the loss and gradients of the first step."""
    with open_world("cpu") as world:
        settings = Settings(method=method, **HOW)
        _, run, feed = start(settings, squares(60))
        share_batch_norm(run.network.module, world)
        network: Any = world.wrap(run.network)
        _, batch = next(feed.epoch(0))
        outputs = network(world.share(batch.source), world.share(batch.target))
        source, target = (world.gather(domain) for domain in outputs)
        loss, terms = run.objective(source, batch.labels, target, 1.0)
        loss.backward()
        gradients = [*run.network.parameters(), *run.objective.parameters()]
        return {"terms": terms, "gradients": [p.grad.clone() for p in gradients if p.grad is not None]}


def train_small(out: Path) -> None:
    """A whole run of two epochs."""
    source = squares(60)
    # A small learning rate, because Adam makes much of the last bit of a gradient that is nearly 0.
    settings = Settings(method="mmd", epochs=2, learning_rate=1e-5, **HOW)
    train(source, noisier(source), out=out, settings=settings, device="cpu")


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with open_world("cpu") as here:
        for name in METHODS:
            step = first_step(name)
            if here.first:
                torch.save(step, folder / f"{name}.step")
        train_small(folder / "a.pt")
