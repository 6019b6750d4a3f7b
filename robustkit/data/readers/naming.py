"""Which of several named arrays holds the images, the labels and the rest: as stated, by shape, by common names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robustkit.data.npyfile import NUMBERS, TEXT
from robustkit.data.readers.found import Options
from robustkit.errors import InputError

LABELS = ("labels", "label", "y", "Y", "targets", "target", "ans", "classes", "class")
IDS = ("ids", "id", "names", "name", "filenames", "filename", "objid", "object_id", "objects")
CLASS_NAMES = ("class_names", "label_names", "classes")
SPLIT = ("split", "splits", "part")

_MOST_AXES = 6
_TWINS = (("images", "labels"), ("image", "label"), ("X", "y"), ("X", "Y"), ("x", "y"), ("imgs", "labels"))


@dataclass(frozen=True)
class Member:
    """An array inside a file: its shape (N, ...) and the type of its values."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Its size in memory."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Choice:
    """The names of the arrays that hold the images and what belongs to them; `None` where there is nothing."""

    images: str
    labels: str | None
    ids: str | None
    class_names: str | None
    split: str | None


def twins(name: str) -> Iterator[str]:
    """The names under which the labels of images of this name usually go: X_train -> y_train, images -> labels."""
    words = re.split(r"([_.\-/ ]+)", name)
    for images, labels in _TWINS:
        if images in words:
            yield "".join(labels if word == images else word for word in words)


def choose(members: Mapping[str, Member], options: Options, name: str, notes: list[str]) -> Choice:
    """Chooses among the arrays of a file.

    Args:
        members: The arrays by name.
        options: `images`, `labels` and `ids` name an array and go first.
        name: The file, for errors.
        notes: Receives what was chosen.

    Raises:
        InputError: If a named array is not there, or several could hold the images or the labels.
    """
    images = _choose_images(members, options, name)
    shape, dtype = members[images].shape, members[images].dtype
    notes.append(f"images: the array {images!r}, {shape} {dtype.name}")
    count = _images_in(shape, members, options)
    columns = {key: member for key, member in members.items() if key != images and member.shape[:1] == (count,)}
    labels = _choose_labels(columns, members, images, options.labels, name)
    if len(shape) >= 4:
        taken = {"labels": labels, "ids": options.ids} | ({"labels": ""} if options.labels is not None else {})
        _refuse_other_lengths(members, columns, count, taken, name)
    ids = _named(options.ids, members, name) if options.ids else _first(IDS, columns, "USiu", {1})
    split = _first(SPLIT, columns, TEXT, {1})
    class_names = _first([key for key in CLASS_NAMES if key != labels], members, TEXT, {1})
    for what, key in (("labels", labels), ("ids", ids), ("class names", class_names), ("split", split)):
        if key is not None:
            notes.append(f"{what}: the array {key!r}")
    if labels is None and options.labels is None:
        notes.append(f"labels: none found among {', '.join(sorted(members))}")
    return Choice(images, labels, ids, class_names, split)


def _choose_images(members: Mapping[str, Member], options: Options, name: str) -> str:
    if options.images is not None:
        return _named(options.images, members, name)
    able = [key for key, member in members.items() if _can_be_images(member, options.axes)]
    able = able or [key for key, member in members.items() if _can_be_images(member, None)]
    if len(able) == 1:
        return able[0]
    if "images" in able:
        return "images"
    listed = ", ".join(f"{key} {member.shape} {member.dtype}" for key, member in sorted(members.items())) or "nothing"
    several = f"several arrays could be the images ({', '.join(sorted(able))}); name one with --images"
    raise InputError(
        f"{name}: {several}"
        if able
        else f"{name} holds no array of images; it holds {listed}; name one with "
        "--images, and what its axes are with --axes"
    )


def _can_be_images(member: Member, axes: str | None) -> bool:
    """Whether an array has as many axes as images have, or as are named; some are left out where they say nothing."""
    fits = len(member.shape) == len(axes) if axes else 3 <= len(member.shape) <= _MOST_AXES
    return member.dtype.kind in NUMBERS and fits and 0 not in member.shape


def _images_in(shape: tuple[int, ...], members: Mapping[str, Member], options: Options) -> int:
    """How many images an array of a shape holds, as far as stated axes or labels beside it say."""
    if options.axes and "N" in options.axes and len(options.axes) == len(shape):
        return shape[options.axes.index("N")]
    if options.channels is None and options.axes is None:
        labels = [members[key].shape[0] for key in LABELS if key in members and len(members[key].shape) == 1]
        if shape[-1] in labels and shape[0] not in labels:  # as MATLAB writes them
            return shape[-1]
    return shape[0]


def _choose_labels(
    columns: Mapping[str, Member],
    members: Mapping[str, Member],
    images: str,
    stated: str | np.ndarray | None,
    name: str,
) -> str | None:
    if isinstance(stated, str):
        return _named(stated, members, name) if stated in members else None
    if stated is not None:
        return None
    twin = [key for key in twins(images) if key in columns]
    usual = twin or [key for key in LABELS if key in columns and len(columns[key].shape) <= 2]
    if len(usual) > 1:
        raise InputError(f"{name}: {' and '.join(map(repr, usual))} could be the labels; name one with --labels")
    return usual[0] if usual else None


def _refuse_other_lengths(
    members: Mapping[str, Member], columns: Mapping[str, Member], count: int, taken: Mapping[str, str | None], name: str
) -> None:
    """Refuses labels, ids or a split under plain names that are not as many as the images: they would be left out."""
    for what, usual in (
        ("labels", ("labels", "label", "y", "targets")),
        ("ids", ("ids",)),
        ("split", ("split", "splits")),
    ):
        if taken.get(what) is not None or any(key in columns for key in usual):
            continue
        for key in usual:
            if key in members and len(members[key].shape) == 1 and members[key].shape[0] > 1:
                other = ", or name another with --labels" if what == "labels" else ""
                raise InputError(
                    f"{name} holds {count} images and {members[key].shape[0]} values in {key!r}; expected one for each "
                    f"image, so mend or rename that array{other}"
                )


def _named(stated: str, members: Mapping[str, Member], name: str) -> str:
    if stated not in members:
        raise InputError(f"{name} has no array {stated!r}; it has {', '.join(sorted(members)) or 'none'}")
    return stated


def _first(usual: Sequence[str], members: Mapping[str, Member], kinds: str, dimensions: set[int]) -> str | None:
    for key in usual:
        if key in members and members[key].dtype.kind in kinds and len(members[key].shape) in dimensions:
            return key
    return None
