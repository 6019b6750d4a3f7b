"""What every command opens first: a classifier of any form, and the images that it is looked at with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from robustkit.data import ImageSet, open_images
from robustkit.data.readers.bandfiles import may_be_joined
from robustkit.errors import InputError
from robustkit.models import ModelOptions, open_model
from robustkit.models.foreign.arrange import arrange
from robustkit.models.foreign.weights import Content
from robustkit.runs.draw import draw_sample
from robustkit.runs.looking import look
from robustkit.runs.sample import Sample
from robustkit.runs.selection import Selection


class ImageSets:
    """Image sets that are opened, and hashed, once however often they are asked for."""

    def __init__(self) -> None:
        self._opened: dict[tuple[str, str], ImageSet] = {}

    def open(self, data: str | os.PathLike[str], options: ModelOptions | None = None) -> ImageSet:
        """The image set at a path, as the options say: which images, what they are, and what is done to them first.

        Raises:
            InputError: If it cannot be read.
        """
        path, options = Path(data), options or ModelOptions()
        said: dict[str, Any] = {**options.about_images, "size": options.input_size, "class_count": options.class_count}
        said["numbers"] = options.tolerance is not None
        if options.bands and may_be_joined(path):  # elsewhere they are those of the network, in whatever order
            said["bands"] = options.bands
        key = (os.path.realpath(path), repr(sorted(said.items())))
        if key not in self._opened:
            self._opened[key] = open_images(path, **said)
        return self._opened[key]


def open_sample(
    model: str | os.PathLike[str],
    selection: Selection,
    *,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = print,
    check: bool = True,
    content: Content | None = None,
    sets: ImageSets | None = None,
) -> Sample:
    """Opens a classifier of any form and draws the images that it is looked at with; they stay where they are.

    Args:
        model: The checkpoint.
        selection: Which images, and the options for a third-party model.
        device: Where to compute.
        say: Receives what was found and chosen.
        check: Refuse a third-party network whose answers depend on the batch or on chance.
        content: What the model file holds, if it was read already.
        sets: Image sets that are open already.

    Raises:
        InputError: If either cannot be used, or they do not fit each other.
        SecurityError: If opening the model would run code that nobody has named.
    """
    path, options, data = Path(model), selection.options, selection.data
    sets, said = sets or ImageSets(), list[str]()
    asked = options or ModelOptions()

    def tell(line: str) -> None:
        said.append(line)
        say(line)

    def read(options: ModelOptions) -> ImageSet:
        nonlocal asked
        if data is None:
            raise InputError(f"{path} does not say where its images are; name them with --data")
        asked = options  # with those of a card
        return sets.open(data, options)

    checkpoint = open_model(path, options, images=read, device=device, content=content)
    card, part = checkpoint.card, selection.part
    image_set = None
    if not checkpoint.origin.own:
        tell(f"{path}: {checkpoint.origin.form}")
        for note in checkpoint.origin.notes:
            tell(f"  {note}")
        image_set = arrange(read(asked), card.class_names, card.bands)
        if part == "test" and "test" not in (card.data.get("split") or {}):
            tell("  part all: neither the model nor the images come with a split, so it may have been trained on these")
            part = "all"
    elif asked.about_images and data is None:
        raise InputError(f"{', '.join(checkpoint.origin.spelled)} says something of images; name them with --data")
    sample = draw_sample(
        checkpoint, path, data=data, part=part, n=selection.n, seed=selection.seed, take_all=selection.take_all,
        images=image_set, said=said, opener=lambda where: sets.open(where, asked),
    )  # fmt: skip
    for warning in sample.warnings:
        tell(f"WARNING: {warning}")
    sample = replace(sample, said=tuple(said))
    if not check or checkpoint.origin.own:
        return sample
    found = look(sample)
    found.require()
    warned = [finding for finding in found.findings if finding.verdict == "warning"]
    for finding in warned:
        if finding.name != "chosen":  # those were said above
            tell(str(finding))
    return replace(sample, said=tuple(said), warnings=(*sample.warnings, *map(str, warned)))


def reopen_sample(sample: Sample, selection: Selection, sets: ImageSets) -> Sample:
    """Other images for a model that is open; the image set is opened again only where it is another one.

    Args:
        sample: The model, with some images.
        selection: Which images are wanted.
        sets: Image sets that are open already.

    Raises:
        InputError: If they cannot be used, or do not fit the model.
    """
    card, data = sample.checkpoint.card, selection.data
    same = data is None or os.path.normpath(data) == os.path.normpath(sample.path)
    images, part = (sample.whole if same else None), selection.part
    if not sample.checkpoint.origin.own:
        if images is None:
            assert data is not None
            said = ModelOptions.from_json(sample.checkpoint.origin.options)
            images = arrange(sets.open(data, said), card.class_names, card.bands)
        if part == "test" and "test" not in (card.data.get("split") or {}):
            part = "all"
    return draw_sample(
        sample.checkpoint, sample.model, data=data if data is not None else sample.path, part=part, n=selection.n,
        seed=selection.seed, take_all=selection.take_all, images=images, said=sample.said, opener=sets.open,
    )  # fmt: skip


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
