"""One method over several seeds: the same data and split, other weights and orders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from robustkit.errors import InputError
from robustkit.training.domains import Targets, Where
from robustkit.training.settings import Settings
from robustkit.training.train import Trained, train


def checkpoints(out: str | os.PathLike[str], settings: Settings, seeds: int) -> dict[Path, Settings]:
    """The checkpoint paths for the seeds of a run.

    Args:
        out: A file that ends in `.pt`, for one seed; or a folder.
        settings: The settings of the first seed.
        seeds: Number of seeds, counted up from that of the settings.

    Raises:
        InputError: If several seeds would go to one file.
    """
    out = Path(out)
    if seeds < 1:
        raise InputError(f"--seeds must be at least 1, got {seeds}")
    if out.suffix == ".pt":
        if seeds > 1:
            raise InputError(f"{seeds} seeds need a folder, and --out {out} is a file")
        return {out: settings}
    chosen = [replace(settings, seed=settings.seed + k) for k in range(seeds)]
    return {out / f"{each.network_label}-{each.label}-seed{each.seed}.pt": each for each in chosen}


def train_many(
    source: Where,
    target: Targets = None,
    *,
    out: str | os.PathLike[str],
    settings: Settings,
    seeds: int = 1,
    **how: Any,
) -> Iterator[Trained]:
    """Trains a network for each seed, one after the other; see `train` and `checkpoints`.

    Args:
        source: The labelled images.
        target: The images to be classified later.
        out: A checkpoint, or a folder for several.
        settings: The settings of the first seed.
        seeds: Number of seeds.
        how: Other arguments of `train`. With `resume=True`, seeds that are complete are not trained again.

    Yields:
        Each seed's result when it is done.
    """
    for path, each in checkpoints(out, settings, seeds).items():
        yield train(source, target, out=path, settings=each, **how)
