"""A tiny audit on disk: an image set in electrons, and a checkpoint whose network is mostly right about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from robustkit.data import ArcsinhStretch, ImageSet, open_images
from robustkit.models import Card, ConvNet, save_checkpoint

CLASSES = ("spiral", "elliptical", "merger")
BANDS = ("g", "r", "i")
SIZE = 24


def make_audit(
    folder: Path,
    *,
    n: int = 40,
    name: str = "net.pt",
    classes: tuple[str, ...] = CLASSES,
    ids: Sequence[str] = (),
    one_class: int | None = None,
) -> tuple[Path, Path]:
    """Writes an image set of blobs and a checkpoint beside it; three in four of the `test` images are right.

    Args:
        folder: Where.
        n: How many images.
        name: Of the checkpoint.
        classes: Names of the three classes.
        ids: Of the first images, which are in the part `test`.
        one_class: The class of all images, instead of what the network says of most.

    Returns:
        The checkpoint and the image set.
    """
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    place = np.arange(SIZE)
    images = rng.normal(0, 3, (n, 3, SIZE, SIZE))
    for image, (y, x, width) in zip(images, rng.uniform((8, 8, 1.5), (16, 16, 5), (n, 3)), strict=True):
        blob = np.exp(-((place[:, None] - y) ** 2 + (place - x) ** 2) / (2 * width**2))
        image += rng.uniform(50, 400, (3, 1, 1)) * blob
    images = images.astype(np.float32)
    stretch = ArcsinhStretch.fit(images)
    seen = torch.from_numpy(stretch(images))
    torch.manual_seed(0)
    network = ConvNet(size=(SIZE, SIZE)).eval()
    with torch.no_grad():
        network.fc.bias -= network(seen).mean(0)  # so that no class always wins
        network.fc.weight *= 4
        network.fc.bias *= 4
        labels = network(seen).argmax(1).numpy()
    labels[::4] = (labels[::4] + 1) % 3
    if one_class is not None:
        labels[:] = one_class
    ids = np.array([*ids, *(f"galaxy-{i}" for i in range(len(ids), n))])
    path = ImageSet(images, labels, classes, BANDS, ids, units="electron", bounds=(-100.0, 5000.0), meta={}).save(
        folder / "galaxies"
    )
    half = n // 2
    card = Card(
        network="convnet",
        class_names=classes,
        bands=BANDS,
        input_shape=(3, SIZE, SIZE),
        stretch=stretch.to_json(),
        input_range=tuple((float(band.min()), float(band.max())) for band in seen.unbind(1)),
        latent="bottleneck",
        data={
            "path": str(path.resolve()),
            "relative": "galaxies",
            "sha256": open_images(path).provenance,
            "split": {"train": ids[half:].tolist(), "test": ids[:half].tolist()},
            "split_sha256": "0" * 64,
        },
    )
    return save_checkpoint(folder / name, network, card), path
