"""Which images of a set a run looks at: drawn by the seed and their ids alone, so that every command sees the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from robustkit.data import ImageSet, open_images
from robustkit.errors import InputError
from robustkit.models import Checkpoint
from robustkit.models.foreign.arrange import arrange, in_order
from robustkit.models.fronts.registry import other_noise
from robustkit.runs.sample import Sample
from robustkit.words import no_such
from robustkit.words import shown as written


def draw_sample(
    checkpoint: Checkpoint,
    model: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    part: str = "test",
    n: int,
    seed: int,
    take_all: bool = False,
    images: ImageSet | None = None,
    said: Sequence[str] = (),
    opener: Callable[[Path], ImageSet] = open_images,
) -> Sample:
    """Draws images for an open model; they are read when they are asked for.

    Args:
        checkpoint: The opened checkpoint.
        model: Its file; images are also looked for beside it.
        data: An image set, or `None` for the one that the model was trained on.
        part: A part of the model's split, or `all`.
        n: How many images to draw, at least 1.
        seed: Random seed of the draw.
        take_all: Take what there is when there are fewer than n.
        images: The image set, if it is open already.
        said: What was said when the model was opened.
        opener: Opens the image set otherwise.

    Raises:
        InputError: If the image set is missing, has changed, has no labels, does not fit the classifier, or has fewer
            images than asked for.
    """
    if n < 1:
        raise InputError(f"expected at least 1 image, got --n {n}")
    path = Path(os.path.normpath(data if data is not None else trained_on(checkpoint, Path(model))))
    image_set = opener(path) if images is None else images
    image_set = in_order(image_set, checkpoint.card.class_names)
    check_fit(checkpoint, image_set, path)
    if data is None:
        _check_unchanged(checkpoint, image_set, path)
    everything = _ids_of_part(checkpoint, image_set, part, path)
    ids = one_an_object(everything)
    if len(ids) < n and not take_all:
        raise InputError(
            f"the part {part!r} of {path} has {len(ids)} images and {n} were asked for; ask for --n {len(ids)}, or "
            "add --all to use what there is"
        )
    rows = image_set.positions(draw(ids, n, seed))
    available, repeats = len(ids), len(everything) - len(ids)
    other = other_noise(checkpoint.card.front, image_set.meta, image_set.units)
    warnings = () if other is None else (other,)
    return Sample(checkpoint, Path(model), path, part, available, repeats, image_set, rows, tuple(said), warnings)


def every_image(
    checkpoint: Checkpoint,
    model: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    part: str = "all",
    images: ImageSet | None = None,
    said: Sequence[str] = (),
    opener: Callable[[Path], ImageSet] = open_images,
) -> Sample:
    """All images of a set or of a part of it, in the order of the set, also several of one object; without labels.

    Args:
        checkpoint: The opened checkpoint.
        model: Its file; images are also looked for beside it.
        data: An image set, or `None` for the one that the model was trained on.
        part: A part of the model's split, or `all`.
        images: The image set, if it is open already.
        said: What was said when the model was opened.
        opener: Opens the image set otherwise.

    Raises:
        InputError: If the image set is missing, or does not fit the network.
    """
    path = Path(os.path.normpath(data if data is not None else trained_on(checkpoint, Path(model))))
    image_set = opener(path) if images is None else images
    image_set = arrange(image_set, None, checkpoint.card.bands)
    check_pixels_fit(checkpoint, image_set, path)
    if data is None:
        _check_unchanged(checkpoint, image_set, path)
    if part == "all":
        rows = np.arange(len(image_set))
    else:
        rows = np.sort(image_set.positions(_ids_of_part(checkpoint, image_set, part, path)))
    image_set = replace(image_set, labels=None, values=None)
    other = other_noise(checkpoint.card.front, image_set.meta, image_set.units)
    warnings = () if other is None else (other,)
    return Sample(checkpoint, Path(model), path, part, len(rows), 0, image_set, rows, tuple(said), warnings)


def draw(ids: Sequence[str], n: int, seed: int) -> list[str]:
    """Draws n of the ids at random: the same ones whatever their order, and the first of them for a smaller n.

    Args:
        ids: Image ids.
        n: How many; all when there are fewer.
        seed: Random seed of the draw.

    Examples:
        >>> draw(["a", "b", "c", "d"], 2, 0) == draw(["d", "c", "b", "a"], 3, 0)[:2]
        True
    """
    return sorted(ids, key=lambda image_id: hashlib.sha256(f"draw\0{seed}\0{image_id}".encode()).digest())[:n]


def one_an_object(ids: Sequence[str]) -> list[str]:
    """One image id of each object, the part before `#`: the object's own where it is there, otherwise the first.

    Examples:
        >>> one_an_object(["a#rot90", "a", "b#flip", "b#rot90"])
        ['a', 'b#flip']
    """
    chosen: dict[str, str] = {}
    for image_id in sorted(ids):
        chosen.setdefault(image_id.partition("#")[0], image_id)
    return list(chosen.values())


def trained_on(checkpoint: Checkpoint, model: Path) -> Path:
    """Where the images are that a checkpoint was trained on, as its card says: relative to its file first.

    Raises:
        InputError: If it does not say so, or they are not there.
    """
    data = checkpoint.card.data
    named = [model.parent / data["relative"]] if data.get("relative") else []
    named += [Path(data["path"])] if data.get("path") else []
    if not named:
        raise InputError(f"the checkpoint {model} does not say where its images are; name them with --data")
    found = next((path for path in named if path.exists()), None)
    if found is None:
        raise InputError(f"the images that {model} was trained on are not at {named[-1]}; name them with --data")
    return found


def _check_unchanged(checkpoint: Checkpoint, image_set: ImageSet, path: Path) -> None:
    known = checkpoint.card.data.get("sha256") or {}
    changed = sorted(name for name, digest in image_set.provenance.items() if known.get(name, digest) != digest)
    if changed:
        raise InputError(
            f"{', '.join(changed)} in {path} changed since the model was trained, so its split is not to be trusted; "
            "name the images with --data"
        )


_ADVICE = "; give both the same names: --classes names those of the model, in the order of its outputs"


def check_fit(checkpoint: Checkpoint, image_set: ImageSet, path: Path) -> None:
    """Refuses images that the classifier does not take: other bands, classes, shape or stretch, or no labels."""
    if image_set.labels is None:
        raise InputError(f"{path} has no labels, and an audit needs the true classes; use a labelled image set")
    check_pixels_fit(checkpoint, image_set, path)
    _check_same(path, ("classes", checkpoint.card.class_names, image_set.class_names))


def check_pixels_fit(checkpoint: Checkpoint, image_set: ImageSet, path: Path) -> None:
    """Refuses images with other bands, another shape or another stretch than the network's, whatever their labels."""
    card = checkpoint.card
    shape = ("images of shape", card.input_shape, image_set.images.shape[1:])
    _check_same(path, ("bands", card.bands, image_set.bands), shape)
    if image_set.stretch is not None and image_set.stretch != checkpoint.stretch:
        raise InputError(
            f"{path} was stretched by {image_set.stretch}, the model needs {checkpoint.stretch}; "
            "give the calibrated images"
        )


def _check_same(path: Path, *pairs: tuple[str, Sequence[object], Sequence[object]]) -> None:
    for what, mine, its in pairs:
        if tuple(mine) != tuple(its):
            raise InputError(
                f"the model takes {what} {', '.join(map(str, mine))}, but {path} has {', '.join(map(str, its))}"
                + (_ADVICE if what == "classes" else "")
            )


def _ids_of_part(checkpoint: Checkpoint, image_set: ImageSet, part: str, path: Path) -> list[str]:
    if part == "all":
        return [str(image_id) for image_id in image_set.ids]
    split = checkpoint.card.data.get("split") or {}
    if part not in split:
        raise InputError(no_such("part", part, [*split, "all"], where=" of the checkpoint"))
    wanted = {written(image_id).partition("#")[0] for image_id in split[part]}
    pairs = zip(image_set.ids, image_set.objects, strict=True)
    ids = [str(image_id) for image_id, shown in pairs if str(shown) in wanted]
    if not ids:
        raise InputError(
            f"none of the images in {path} belong to the part {part!r} of the model's split; "
            "use --part all if the model has never seen them"
        )
    return ids
