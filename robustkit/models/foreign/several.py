"""Several checkpoints opened as one model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from robustkit.code_gate import names_function
from robustkit.data import ImageSet
from robustkit.data.pixels import picked
from robustkit.errors import WARNING, InputError
from robustkit.models.checkpoint import Checkpoint, Origin
from robustkit.models.classifier import AuditedClassifier
from robustkit.models.ensemble import Combine, Ensemble, views_of
from robustkit.models.foreign.arrange import arrange
from robustkit.models.foreign.options import ModelOptions
from robustkit.models.outputs import Output

NOTHING_TO_COMBINE = f"{WARNING}--combine has no effect on one model; name several, --model A B C"

Open = Callable[[Path, ModelOptions, ImageSet | None], Checkpoint]


def open_several(
    path: Path,
    options: ModelOptions,
    images: ImageSet | Callable[[ModelOptions], ImageSet] | None,
    device: torch.device | str,
    open_one: Open,
) -> Checkpoint:
    """Opens a checkpoint with its further members, and averages over views of the image.

    Args:
        path: The first checkpoint.
        options: What is said of all of them, with `members`, `combine` or `average`.
        images: The images that they will be used on, or a function that opens them.
        device: Where to compute.
        open_one: Opens one checkpoint.

    Raises:
        InputError: If they have different classes, input sizes or stretches.
    """
    if callable(images):
        images = images(options)
    bare = replace(
        options, members=None, combine=None, average=None, threshold=None, multi_label=None, question=None, latent=None
    )  # each member keeps its own front end
    called = next((member for member in options.members or () if names_function(member)), None)
    if called is not None:
        raise InputError(f"the members of an ensemble are files, and {called} is code; write one function of all")
    opened: list[Checkpoint] = []
    split_apart: list[str] = []
    for place in (path, *map(Path, options.members or ())):
        # A checkpoint of ours takes no options, and labelled images name no classes of a decision that comes later.
        one = open_one(place, bare, images)
        opened.append(one)
        _check_same(path, opened[0], place, one)
        if one.origin.own and one.card.data.get("split") != opened[0].card.data.get("split"):
            apart = f"{place} was trained on another split than {path}, whose test images it may have been trained on"
            split_apart.append(WARNING + apart)
    first = opened[0]
    views = views_of(options.average, first.card.input_shape)
    # The vote of one network would hide its margins, and is its own answer.
    combine: Combine = options.combine or "mean" if options.members else "mean"
    network = Ensemble([one.classifier for one in opened], views, combine)
    decision = options.decision(options.class_names or first.card.class_names)
    names = first.card.class_names if decision is None else decision.names
    classifier = AuditedClassifier(
        network, latent=options.latent, input_shape=first.card.input_shape, class_names=names,
        output=Output(decision=decision), examples=_examples(first, images),
    )  # fmt: skip
    count = f"{len(opened)} checkpoints" if len(opened) > 1 else "a checkpoint"
    seen = f", each over {len(views)} views of the image" if len(views) > 1 else ""
    how = {"mean": "the mean of their probabilities", "votes": "a vote of each"}[combine]
    told = [note for one in opened for note in one.origin.notes if not note.startswith("latent:")]
    notes = [f"{count} as one: {how}{seen}", *_counted_twice([path, *map(Path, options.members or ())], opened)]
    notes += split_apart
    notes += [*told, *classifier.notes]
    if options.combine is not None and not options.members:
        notes.append(NOTHING_TO_COMBINE)
    if decision is not None:
        notes.append(f"decided: {decision.words}")
    digest = hashlib.sha256("\n".join(one.origin.sha256 for one in opened).encode()).hexdigest()
    origin = Origin(
        form=f"{count} as one", sha256=digest, options=options.given, notes=tuple(dict.fromkeys(notes)),
        code_sha256=first.origin.code_sha256,
    )  # fmt: skip
    card = replace(first.card, class_names=names, latent=classifier.latent_name or "")
    return Checkpoint(classifier.to(device), card, first.stretch, origin)


def _counted_twice(paths: Sequence[Path], opened: Sequence[Checkpoint]) -> list[str]:
    """Which members are one file, as warnings."""
    first: dict[str, Path] = {}
    said: list[str] = []
    for path, one in zip(paths, opened, strict=True):
        earlier = first.setdefault(one.origin.sha256, path)
        if earlier is not path:
            said.append(f"{WARNING}{path} is the same file as {earlier}, so the ensemble counts its answer twice")
    return said


def _examples(first: Checkpoint, images: ImageSet | None) -> torch.Tensor | None:
    """Two of the images as network input."""
    if images is None:
        return None
    images = arrange(images, None, first.card.bands if first.origin.own else None)
    values = picked(images.images, [0, len(images) // 2])
    return torch.from_numpy(values if images.stretch is not None else first.stretch(values)).float()


def _check_same(path: Path, first: Checkpoint, other_path: Path, other: Checkpoint) -> None:
    pairs = (
        ("classes", first.card.class_names, other.card.class_names),
        ("input", first.card.input_shape, other.card.input_shape),
        ("bands", first.card.bands, other.card.bands),
        ("stretch", first.card.stretch, other.card.stretch),
    )
    for what, mine, its in pairs:
        if mine != its:
            shown = [", ".join(map(str, one)) if isinstance(one, tuple) else str(one) for one in (mine, its)]
            raise InputError(
                f"an ensemble answers with one {what}, and {path} has {shown[0]} where {other_path} has {shown[1]}; "
                "audit them one by one"
            )
