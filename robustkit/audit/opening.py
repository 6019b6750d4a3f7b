"""What every command opens first: a classifier of any form, and the images that it is looked at with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from robustkit.audit.sample import Chosen, Sample, find_sample, take
from robustkit.data import ImageSet, open_images
from robustkit.data.imageset import IMAGE_SET_FILE
from robustkit.data.readers.galaxies import GALAXIES_FILE
from robustkit.errors import InputError
from robustkit.models import Checkpoint, ModelOptions, open_model
from robustkit.models.checkpoint import versions
from robustkit.models.foreign.arrange import arrange
from robustkit.models.foreign.weights import Content
from robustkit.models.preflight import check_network


@dataclass(frozen=True)
class Draw:
    """Which images a command looks at.

    Attributes:
        n: How many to draw.
        data: The image set; by default the one that the model was trained on.
        part: A part of the split of the model or of the images, or `all`.
        seed: Of the draw.
        take_all: Go on with all images of the part when there are fewer than n.
    """

    n: int
    data: str | os.PathLike[str] | None = None
    part: str = "test"
    seed: int = 0
    take_all: bool = False


def open_audit(
    model: str | os.PathLike[str],
    options: ModelOptions | None,
    draw: Draw,
    *,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = print,
    check: bool = True,
    content: Content | None = None,
) -> tuple[Checkpoint, Sample]:
    """Opens a classifier of any form and draws the images for an audit; says what it chose.

    See `open_chosen`; the images are read here.

    Args:
        model: The checkpoint.
        options: What the user says about a model of others.
        draw: Which images to draw.
        device: Where the network is put.
        say: Called with each line that a user should read.
        check: Whether the network is sent through the preflight.
        content: What is known of the image set already.
    """
    checkpoint, chosen = open_chosen(model, options, draw, device=device, say=say, check=check, content=content)
    return checkpoint, take(checkpoint, chosen)


def open_chosen(
    model: str | os.PathLike[str],
    options: ModelOptions | None,
    draw: Draw,
    *,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = print,
    check: bool = True,
    content: Content | None = None,
) -> tuple[Checkpoint, Chosen]:
    """Opens a classifier of any form and draws the images for an audit, which stay where they are; says what it chose.

    Args:
        model: The checkpoint.
        options: What the user says about a checkpoint that robustkit did not write.
        draw: Which images.
        device: Where to compute.
        say: Where the lines for the terminal go.
        check: Refuse a network of others whose answers depend on the batch or on chance.
        content: What the model file holds, where it was read already.

    Raises:
        InputError: If either cannot be used, or they do not fit each other.
        SecurityError: If opening the model would run code that nobody has named.
    """
    path = Path(model)
    opened: list[ImageSet] = []

    def images(options: ModelOptions) -> ImageSet:
        if draw.data is None:
            raise InputError(f"{path} does not say where its images are; name them with --data")
        opened.append(open_foreign_images(draw.data, options))
        return opened[0]

    checkpoint = open_model(path, options, images=images, device=device, content=content)
    how: dict[str, Any] = {"data": draw.data, "n": draw.n, "seed": draw.seed, "take_all": draw.take_all}
    if checkpoint.origin.own:
        return checkpoint, find_sample(checkpoint, path, part=draw.part, **how)
    say(f"{path}: {checkpoint.origin.form}")
    for note in checkpoint.origin.notes:
        say(f"  {note}")
    image_set = arrange(opened[0], checkpoint.card.class_names, checkpoint.card.bands)
    part = draw.part
    if part == "test" and "test" not in (checkpoint.card.data.get("split") or {}):
        say("  part all: neither the model nor the images come with a split, so it may have been trained on these")
        part = "all"
    chosen = find_sample(checkpoint, path, part=part, images=image_set, **how)
    if check:
        few = replace(chosen, rows=chosen.rows[:8])
        check_network(checkpoint.classifier, take(checkpoint, few).images, batches=(1, 3, 8)).require()
    return checkpoint, chosen


def open_foreign_images(data: str | os.PathLike[str], options: ModelOptions) -> ImageSet:
    """Images for a model of others, brought to the size that was said."""
    path = Path(data)
    own = (path / IMAGE_SET_FILE).is_file() or (path / GALAXIES_FILE).is_file()
    if options.input_size is None or own:
        return open_images(path)
    return open_images(path, size=options.input_size)


def about_inputs(model: Path, sample: Sample | Chosen, checkpoint: Checkpoint) -> dict[str, Any]:
    """What a run is about, for its manifest and summary: hashes under `inputs`, names and versions beside them."""
    origin = checkpoint.origin
    said = ModelOptions.from_json(origin.options).without_paths  # a worker finds the same code under another path
    foreign = {} if origin.own else {"model_options": said, "code_sha256": origin.code_sha256}
    return {
        "inputs": {
            "model_sha256": origin.sha256,
            **foreign,
            "data_sha256": sample.image_set.provenance,
            "split_sha256": checkpoint.card.data.get("split_sha256"),
            "part": sample.part,
            "n": len(sample.labels),
        },
        "model": str(model),
        "model_notes": list(origin.notes),
        "data": str(sample.path),
        "versions": versions(),
        "device": str(checkpoint.classifier.device),
    }


def choose_device(name: str | None) -> torch.device:
    """The device of that name, or a GPU if there is one.

    Raises:
        InputError: If the name is unknown or the device is not here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device {name!r}; expected cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is here; use --device cpu")
    return device
