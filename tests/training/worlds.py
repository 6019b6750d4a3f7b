"""Small image sets that a tiny network learns in seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from robustkit.data import ImageSet
from robustkit.training import Settings
from robustkit.training.machinery import Run, make_run
from robustkit.training.network import Trainee
from robustkit.training.objective import class_weights
from robustkit.training.setup import Setup, make_setup

QUICK: dict[str, Any] = {"epochs": 3, "batch": 16, "warm_up": 1}


def squares(n: int = 90, *, classes: int = 3, size: int = 16, noise: float = 0.3, seed: int = 0) -> ImageSet:
    """Images of noise in which the band of the class holds a bright square."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.normal(0, noise, (n, 3, size, size)).astype(np.float32)
    for i, label in enumerate(labels):
        row, column = rng.integers(0, size - 6, 2)
        images[i, label, row : row + 6, column : column + 6] += 3
    names = tuple(f"class {k}" for k in range(classes))
    ids = np.array([f"object {i}" for i in range(n)])
    return ImageSet(images, labels.astype(np.int64), names, ("g", "r", "i"), ids, units="electron")


def noisier(images: ImageSet, noise: float = 1.0, *, seed: int = 5) -> ImageSet:
    """The same objects with more noise."""
    rng = np.random.default_rng(seed)
    return replace(images, images=images.images + rng.normal(0, noise, images.images.shape).astype(np.float32))


def start(
    settings: Settings, source: ImageSet | None = None, target: ImageSet | None = None, *, report_oracle: bool = False
) -> tuple[Setup, Run, Any]:
    """A run before its first step: (setup, run, feed)."""
    import torch

    source = source or squares()
    setup = make_setup(source, target if target is not None else noisier(source), settings, report_oracle=report_oracle)
    torch.manual_seed(settings.seed)
    feed = setup.feed("cpu")
    network = Trainee(setup.network(), settings.batch_norm)
    width = 256 if settings.network != "deepmerge" else 128
    run = make_run(network, class_weights(feed.labels, 3), setup.settings, width=width, steps=feed.steps)
    return setup, run, feed


def one_step(run: Run, feed: Any, *, ramp: float = 1.0, step: int = 0) -> dict[str, float]:
    """Does one step of a run by hand; returns the terms of the loss."""
    for number, batch in feed.epoch(0):
        if number == step:
            source, target = run.network(batch.source, batch.target)
            loss, terms = run.objective(source, batch.labels, target, ramp)
            run.update(loss, terms)
            return terms
    raise AssertionError("no such step")
