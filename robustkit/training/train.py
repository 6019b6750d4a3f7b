"""`train`: from image sets to a checkpoint that can be audited with no other option."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustkit.data import ImageSet, Stretch
from robustkit.errors import InputError
from robustkit.models import NETWORKS, Card, save_checkpoint
from robustkit.training._interim import Split as ObjectSplit
from robustkit.training._interim import open_images, split_objects
from robustkit.training.batches import Batches
from robustkit.training.domains import check_classes, fit_stretch, input_range, make_domain
from robustkit.training.journal import Journal
from robustkit.training.loop import make_machinery, run_epochs
from robustkit.training.settings import Settings

_DEFAULT_BATCH = 128


@dataclass(frozen=True, eq=False)
class Trained:
    """What `train` returns.

    Attributes:
        checkpoint: The file that was written.
        card: What the file says about the network.
        network: The trained network, in evaluation mode.
        history: One dict for each epoch, as in the log beside the checkpoint.
    """

    checkpoint: Path
    card: Card
    network: nn.Module
    history: list[dict[str, Any]]


def train(
    source: ImageSet | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    device: torch.device | str = "cpu",
) -> Trained:
    """Trains a classifier and writes its checkpoint.

    Args:
        source: The labelled image set, or where it is; a set in memory leaves no path in the checkpoint.
        out: The checkpoint to write; the log is written beside it.
        settings: What to do; the defaults of `Settings` when left away.
        device: Where to train.

    Returns:
        The checkpoint with what is in it.

    Raises:
        InputError: If the images cannot be trained on; the message says why.
        RobustkitError: If the loss stops being a number.
    """
    started = time.perf_counter()
    out = Path(out)
    settings = settings or Settings()
    path = None if isinstance(source, ImageSet) else Path(source)
    images = source if isinstance(source, ImageSet) else open_images(source)
    settings = replace(
        settings, dihedral=images.units == "electron" if settings.dihedral is None else settings.dihedral
    )
    split = split_objects(images, seed=settings.seed)
    check_classes(images, split)
    stretch = fit_stretch(images, split, settings.stretch)
    domain = make_domain(images, split, stretch, device)
    batch = settings.batch or min(_DEFAULT_BATCH, len(domain.train))
    if batch > len(domain.train):
        raise InputError(
            f"a batch of {batch} is larger than the {len(domain.train)} training images of the source; lower --batch"
        )
    batches = Batches((len(domain.train),), batch, settings.seed)

    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        kind = NETWORKS[settings.network]
        network = kind(bands=len(images.bands), classes=len(images.class_names), size=images.images.shape[2:])
        machinery = make_machinery(network, settings, settings.epochs * batches.steps, device)
        out.parent.mkdir(parents=True, exist_ok=True)
        journal = Journal(out)
        selector = run_epochs(machinery, domain, batches, settings, journal)

    figures = {**journal.rows[selector.best.epoch], "seconds": round(time.perf_counter() - started, 1)}
    card = Card(
        network=settings.network,
        class_names=images.class_names,
        bands=images.bands,
        input_shape=tuple(int(size) for size in images.images.shape[1:]),  # type: ignore[arg-type]
        stretch=stretch.to_json(),
        input_range=input_range(domain.train),
        latent=network.latent,
        data=_data(images, path, split, stretch, out),
        training={"settings": settings.to_json(), "figures": figures, "epochs_run": len(journal.rows)},
    )
    save_checkpoint(out, network, card)
    return Trained(out, card, network.eval(), journal.rows)


def _data(images: ImageSet, path: Path | None, split: ObjectSplit, stretch: Stretch, out: Path) -> dict[str, Any]:
    """Where the images are and which of them were used for what."""
    where = {"path": None, "relative": None}
    if path is not None:
        absolute = path.resolve()
        where = {"path": str(absolute), "relative": os.path.relpath(absolute, out.resolve().parent)}
    return {
        **where,
        "sha256": images.provenance,
        "split": {name: list(ids) for name, ids in asdict(split).items()},
        "split_sha256": split.sha256,
    }
