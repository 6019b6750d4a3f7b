"""The domains of a training run: opens them, checks that they fit each other, splits them by object, makes tensors."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustkit.data import IdentityStretch, ImageSet, Split, Stretch, open_images, split_images
from robustkit.data import fit_stretch as fit_named_stretch
from robustkit.data.pixels import release
from robustkit.data.readers.galaxies import GALAXIES_FILE, depths_of
from robustkit.data.readers.gather import room_for
from robustkit.data.sides import check_sides
from robustkit.data.split import PARTS, Part
from robustkit.data.unit import unit_stretch
from robustkit.errors import InputError
from robustkit.files import real_path
from robustkit.models.foreign.arrange import in_order
from robustkit.training.holding import hold
from robustkit.words import to_path

Where = ImageSet | str | os.PathLike[str]
Targets = Where | Sequence[Where] | None

# Images stretched at a time, so that a memory-mapped set is never held twice.
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class Domain:
    """An image set and its split.

    Attributes:
        images: The set; without labels if it is a target.
        path: Its path, or `None` for a set in memory.
        split: Ids of the training, validation and test images.
    """

    images: ImageSet
    path: Path | None
    split: Split

    def rows(self, part: Part) -> np.ndarray:
        """Positions of the images of a part, shape (M,)."""
        return np.flatnonzero(np.isin(self.images.objects, self.split.objects(part)))

    def card(self, out: Path) -> dict[str, Any]:
        """What a checkpoint written to `out` records about these data."""
        absolute = real_path(self.path) if self.path else None
        return {
            "path": str(absolute) if absolute else None,
            "relative": os.path.relpath(absolute, real_path(out).parent) if absolute else None,
            "sha256": self.images.provenance,
            "split": {part: self.images.ids[self.rows(part)].tolist() for part in PARTS},
            "split_sha256": self.split.sha256,
        }


@dataclass(frozen=True, eq=False)
class PartTensors:
    """The training or validation images of a domain, as tensors.

    Attributes:
        images: Shape (N, C, H, W), float32, channels last in memory; on the device if they fit there, and in a
            temporary file where they are many.
        labels: Classes, shape (N,), int64; `None` in a target.
        ids: Image ids, shape (N,).
    """

    images: Tensor
    labels: Tensor | None
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def pair_of(
    data: str | os.PathLike[str] | None = None,
    *,
    source: str | os.PathLike[str] | None = None,
    target: Targets = None,
) -> tuple[Path, Path | list[Path] | None]:
    """Where source and target are.

    Args:
        data: One image set; or simulated galaxies, whose deepest images are the source and shallowest the target.
        source: The source, instead of `data`.
        target: The target, several, or `None`.

    Raises:
        InputError: If both `data` and `source` are given, or neither.
    """
    check_sides(data, source, target)
    if source is not None:
        paths = [_path(one) for one in each_of(target)]
        return _path(source), paths if len(paths) > 1 else next(iter(paths), None)
    data = _path(data)
    if not (data / GALAXIES_FILE).is_file():
        return data, None
    depths = [data / name for name in depths_of(data)]  # deepest first
    return depths[0], depths[-1] if len(depths) > 1 else None


def target_name(place: int) -> str:
    """What logs, cards and tables call a target, by its place among several: `target`, `target 2` and so on."""
    return "target" if place == 0 else f"target {place + 1}"


def each_of(target: Targets) -> list[Any]:
    """The targets that were given: none, one or several."""
    if target is None:
        return []
    return list(target) if isinstance(target, list | tuple) else [target]


def open_domains(
    source: Where, target: Targets, *, split_seed: int, known: Collection[str] = ()
) -> tuple[Domain, tuple[Domain, ...]]:
    """Opens source and targets and splits them; objects that are in several fall into the same part of all.

    Args:
        source: The labelled images.
        target: The images to be classified later; their labels, if they have any, are dropped here.
        split_seed: Seed of the split.
        known: Target objects whose classes are known, which train.

    Raises:
        InputError: If they do not fit each other.
    """
    source_images, source_path = _open(source)
    split = split_images(source_images, seed=split_seed)
    targets: list[Domain] = []
    for one in each_of(target):
        images, path = _open(one)
        images = replace(images, labels=None)
        _check_fit(source_images, images)
        earlier = [split, *(domain.split for domain in targets)]
        targets.append(Domain(images, path, split_target(images, *earlier, seed=split_seed, known=known)))
    return Domain(source_images, source_path, split), tuple(targets)


def split_target(target: ImageSet, *earlier: Split, seed: int, known: Collection[str] = ()) -> Split:
    """The split of a target: objects that other domains show too keep their part, the rest is divided separately.

    So no object is trained on in one domain and tested on in another.

    Args:
        target: The target without labels.
        *earlier: The split of the source, and those of the targets before this one.
        seed: Seed of the division.
        known: Objects whose classes are known: those that no other domain shows train.

    Raises:
        InputError: If a part is left with fewer than two objects.
    """
    objects = set(target.objects.tolist())
    fixed = {name: part for split in reversed(earlier) for part in PARTS for name in split.objects(part)}
    fixed = dict.fromkeys(known, PARTS[0]) | fixed
    shared = np.isin(target.objects, list(fixed))
    if not shared.any():
        return split_images(target, seed=seed)
    parts: list[set[str]] = [{name for name in objects if fixed.get(name) == part} for part in PARTS]
    if not shared.all():
        rest = split_images(target.select(~shared), seed=seed)
        parts = [part | set(rest.objects(name)) for part, name in zip(parts, PARTS, strict=True)]
    for part, name in zip(parts, PARTS, strict=True):
        if len(part) < 2:
            raise InputError(
                f"the {name} part of the target has {len(part)} objects; expected at least 2, so give more"
            )
    train, valid, test = (tuple(sorted(part)) for part in parts)
    return Split(train, valid, test, seed=seed, origin="as in the source, where the source has the object")


def open_labelled(where: Where, target: Domain, class_names: Sequence[str]) -> Domain:
    """Opens the target again, with its labels: for the oracle alone.

    Args:
        where: The target.
        target: The same set, opened for training without labels.
        class_names: The classes of the source, which the labels index.

    Raises:
        InputError: If it has no labels, or labels of other classes.
    """
    images, path = _open(where)
    if images.labels is None:
        raise InputError("the oracle needs a target with labels, and this one has none; omit the oracle")
    images = in_order(images, class_names)
    if images.class_names != tuple(class_names):
        raise InputError(
            f"the oracle needs a target with the classes of the source in their order, {', '.join(class_names)}; this "
            f"one has {', '.join(images.class_names)}; name all classes of the source in it, or omit the oracle"
        )
    return Domain(images, path, target.split)


def check_classes(domain: Domain) -> None:
    """Refuses images that cannot be trained on.

    Raises:
        InputError: If there are no labels, or a class has fewer than two objects in a part of the split.
    """
    images = domain.images
    if images.labels is None:
        raise InputError("the images to learn from have no labels; give a labelled set with --source")
    if len(images.class_names) < 2:
        raise InputError(f"training needs at least 2 classes, got {len(images.class_names)}")
    objects = images.objects
    for part in PARTS:
        rows = domain.rows(part)
        for label, name in enumerate(images.class_names):
            # Rotated images of one object do not count as a second object.
            count = len(np.unique(objects[rows[images.labels[rows] == label]]))
            if count < 2:
                raise InputError(
                    f"class {name!r} has {count} objects in the {part} part of the split; every part needs at least "
                    "2 of each class, so add images or remove the class"
                )


def fit_stretch(domain: Domain, name: str | None) -> Stretch:
    """The stretch of a run, fitted on the training images of the source; or the one already applied to them.

    Args:
        domain: The source.
        name: A name in `STRETCHES`, or `None` to choose.

    Raises:
        InputError: If the images are already stretched and another stretch is requested.
    """
    images = domain.images
    if images.stretch is not None:
        if name not in (None, images.stretch.name):
            raise InputError(
                f"the images are already stretched by {images.stretch.name}; omit --stretch or give the "
                "calibrated images"
            )
        return images.stretch
    if name == "unit":
        return unit_stretch(images, images.images.shape[1], [])
    return fit_named_stretch(name or "arcsinh", images.images[domain.rows("train")])


def make_part(
    domain: Domain | Sequence[Domain], part: Part, stretch: Stretch, device: torch.device | str
) -> PartTensors:
    """Stretches the images of a part and puts them on the device, if they fit.

    Args:
        domain: The images and their split; several targets become one.
        part: `train`, `valid` or `test`.
        stretch: The fitted stretch, or `IdentityStretch()` for calibrated values.
        device: Where training runs.

    Raises:
        InputError: If a value is not finite.
    """
    domains = [domain] if isinstance(domain, Domain) else list(domain)
    images, places = domains[0].images, [each.rows(part) for each in domains]
    stretch = IdentityStretch() if images.stretch is not None else stretch
    bands, height, width = images.images.shape[1:]
    room = room_for((sum(map(len, places)), height, width, bands), [])  # channels last
    start = 0
    for each, positions in zip(domains, places, strict=True):
        for first in range(0, len(positions), _CHUNK):
            rows = positions[first : first + _CHUNK]
            stretched = np.moveaxis(stretch(each.images.images[rows]), 1, -1)
            if not np.isfinite(stretched).all():
                raise InputError("some pixels are not finite after the stretch; repair NaN and infinite pixels first")
            room[start : start + len(rows)] = stretched
            start += len(rows)
            release(room)
    taught = [
        each.images.labels[rows] for each, rows in zip(domains, places, strict=True) if each.images.labels is not None
    ]
    labels = torch.from_numpy(np.concatenate(taught)).to(device) if len(taught) == len(domains) else None
    ids = np.concatenate([each.images.ids[rows] for each, rows in zip(domains, places, strict=True)])
    return PartTensors(hold(torch.from_numpy(room).permute(0, 3, 1, 2), device), labels, ids)


def input_range(part: PartTensors, stretch: Stretch) -> tuple[tuple[float, float], ...]:
    """Lowest and highest stretched value of each band."""
    chunks = [stretch(chunk) for chunk in part.images.split(_CHUNK)]
    low = torch.stack([chunk.amin((0, 2, 3)) for chunk in chunks]).amin(0)
    high = torch.stack([chunk.amax((0, 2, 3)) for chunk in chunks]).amax(0)
    return tuple(zip(low.tolist(), high.tolist(), strict=True))


def _path(where: object) -> Path:
    return to_path(where, "one image set", "training takes one source, and one target or a list of them")


def _open(where: Where) -> tuple[ImageSet, Path | None]:
    if isinstance(where, ImageSet):
        return where, None
    path = _path(where)
    return open_images(path), path


def _check_fit(source: ImageSet, target: ImageSet) -> None:
    """Refuses domains that one network cannot take."""
    for what, ours, theirs in (
        ("bands", source.bands, target.bands),
        ("image sizes", source.images.shape[2:], target.images.shape[2:]),
        ("units", source.units, target.units),
        ("stretches", source.stretch, target.stretch),
    ):
        if ours != theirs:
            raise InputError(
                f"source and target have different {what}: {_text(ours)} and {_text(theirs)}; bring the target to the "
                "form of the source"
            )


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
