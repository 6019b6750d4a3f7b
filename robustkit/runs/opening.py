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
from robustkit.models import Checkpoint, ModelOptions, open_model
from robustkit.models.checkpoint import checkpoint_of, is_own
from robustkit.models.foreign import kinds
from robustkit.models.foreign.arrange import arrange
from robustkit.models.foreign.kinds import kind_of
from robustkit.models.foreign.weights import Content, read_weights
from robustkit.runs.draw import draw_sample, every_image, trained_on
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
        said: dict[str, Any] = {**options.about_images, "size": options.input_size, "class_count": options.outcomes}
        said["numbers"] = options.tolerance is not None
        said["accepted"] = (*(options.classes or ()), *(("none",) if options.multi_label else ()))
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
    opened = _Opening(Path(model), selection.data, selection.options, sets or ImageSets(), say)
    checkpoint = opened.model(device, content)
    part = selection.part
    if not checkpoint.origin.own and part == "test" and "test" not in (checkpoint.card.data.get("split") or {}):
        opened.tell(
            "  part all: neither the model nor the images come with a split, so it may have been trained on these"
        )
        part = "all"
    sample = draw_sample(
        checkpoint, opened.path, data=selection.data, part=part, n=selection.n, seed=selection.seed,
        take_all=selection.take_all, images=opened.images, said=opened.said, opener=opened.read_at,
    )  # fmt: skip
    return opened.looked_at(sample, check=check)


def open_objects(
    model: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    part: str = "all",
    options: ModelOptions | None = None,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = print,
) -> Sample:
    """Opens a classifier and every image of a set or of a part of it, in the order of the set; no labels are needed.

    Args:
        model: The checkpoint.
        data: The images; by default those that the model was trained on.
        part: A part of the model's split, or `all`.
        options: Options for a third-party model.
        device: Where to compute.
        say: Receives what was found and chosen.

    Raises:
        InputError: If either cannot be used, or they do not fit each other.
        SecurityError: If opening the model would run code that nobody has named.
    """
    opened = _Opening(Path(model), data, options, ImageSets(), say)
    checkpoint = opened.model(device, None)
    sample = every_image(
        checkpoint, opened.path, data=data, part=part, images=opened.images, said=opened.said, opener=opened.read_at
    )
    return opened.looked_at(sample, check=True)


class _Opening:
    """A model and its images while they are opened, and what is said of them."""

    def __init__(
        self,
        path: Path,
        data: str | os.PathLike[str] | None,
        options: ModelOptions | None,
        sets: ImageSets,
        say: Callable[[str], None],
    ) -> None:
        self.path, self.data, self.options, self.sets, self.say = path, data, options, sets, say
        self.asked = options or ModelOptions()
        self.said: list[str] = []
        self.images: ImageSet | None = None

    def tell(self, line: str) -> None:
        self.said.append(line)
        self.say(line)

    def read(self, options: ModelOptions) -> ImageSet:
        if self.data is None:
            self.data = self._of_first()
        self.asked = options  # with those of a card
        return self.sets.open(self.data, options)

    def _of_first(self) -> Path:
        """The images that the first of several checkpoints of ours was trained on."""
        kind = kind_of(self.path)
        if kind not in (kinds.TORCH, kinds.LEGACY, kinds.SAFETENSORS) or not is_own(content := read_weights(self.path)):
            raise InputError(f"{self.path} does not say where its images are; name them with --data")
        return trained_on(checkpoint_of(content), self.path)

    def read_at(self, where: Path) -> ImageSet:
        return self.sets.open(where, self.asked)

    def model(self, device: torch.device | str, content: Content | None) -> Checkpoint:
        """The model; the images of a third-party one are opened with it, in its order."""
        checkpoint = open_model(self.path, self.options, images=self.read, device=device, content=content)
        if not checkpoint.origin.own:
            self.tell(f"{self.path}: {checkpoint.origin.form}")
            for note in checkpoint.origin.notes:
                self.tell(f"  {note}")
            self.images = arrange(self.read(self.asked), checkpoint.card.class_names, checkpoint.card.bands)
        elif self.asked.about_images and self.data is None:
            raise InputError(f"{', '.join(checkpoint.origin.spelled)} says something of images; name them with --data")
        return checkpoint

    def looked_at(self, sample: Sample, *, check: bool) -> Sample:
        """The sample once a third-party network was seen to answer each image for itself, with what was warned of."""
        for warning in sample.warnings:
            self.tell(f"WARNING: {warning}")
        sample = replace(sample, said=tuple(self.said))
        if not check or sample.checkpoint.origin.own:
            return sample
        found = look(sample)
        found.require()
        warned = [finding for finding in found.findings if finding.verdict == "warning"]
        for finding in warned:
            if finding.name != "chosen":  # those were said above
                self.tell(str(finding))
        return replace(sample, said=tuple(self.said), warnings=(*sample.warnings, *map(str, warned)))


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
