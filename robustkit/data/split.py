"""Train, valid and test: by object, by class, and the same for every order in which the images come."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from robustkit.data.guard import reading
from robustkit.data.imageset import ImageSet
from robustkit.errors import InputError
from robustkit.files import read_json, write_json
from robustkit.words import no_such

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")
FRACTIONS = (0.7, 0.1, 0.2)
FEWEST = 2  # objects of a class in a part: one cannot be compared with another
KIND = "robustkit-split"
_WORDS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
}


@dataclass(frozen=True)
class Split:
    """Which objects train, validate and test. All images of one object are in one part.

    Attributes:
        train: Object ids, sorted.
        valid: Object ids, sorted; may be empty where a given split has no such part.
        test: Object ids, sorted.
        fractions: The wanted shares of train, valid and test.
        seed: What the division was drawn from.
        origin: `drawn`, or how a given split was taken over, in words.
    """

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    fractions: tuple[float, float, float] = FRACTIONS
    seed: int = 0
    origin: str = "drawn"

    def __post_init__(self) -> None:
        ids = [*self.train, *self.valid, *self.test]
        if len(set(ids)) != len(ids):
            repeated = min(name for name, count in Counter(ids).items() if count > 1)
            raise InputError(f"object {repeated!r} is in more than one part of the split; expected one each")
        for part in PARTS:
            object.__setattr__(self, part, tuple(sorted(self.objects(part))))

    @property
    def sha256(self) -> str:
        """The hash of which objects are in which part; seeds and fractions do not enter."""
        return hashlib.sha256(json.dumps({part: self.objects(part) for part in PARTS}).encode()).hexdigest()

    def objects(self, part: Part) -> tuple[str, ...]:
        """The object ids of a part."""
        if part not in PARTS:
            raise InputError(no_such("part", part, PARTS))
        return getattr(self, part)

    def apply(self, image_set: ImageSet, part: Part) -> ImageSet:
        """The images of a part, in the order of the set.

        The set may show fewer objects than the split lists, or the same at another depth, but none that the split
        lacks.

        Raises:
            InputError: If an object of the set is in no part, or none is in this one.
        """
        known = {name for each in PARTS for name in self.objects(each)}
        objects = image_set.objects
        strange = sorted(set(objects.tolist()) - known)
        if strange:
            raise InputError(
                f"{len(strange)} objects of the image set are in no part of the split, the first is {strange[0]!r}; "
                "it was made for other images"
            )
        wanted = set(self.objects(part))
        positions = [index for index, name in enumerate(objects.tolist()) if name in wanted]
        if not positions:
            raise InputError(f"no image is in the {part} part of the split; its parts are {self.describe()}")
        return image_set.select(positions)

    def describe(self) -> str:
        """One line for the terminal."""
        sizes = ", ".join(f"{len(self.objects(part))} {part}" for part in PARTS)
        return f"{sizes} objects ({self.origin}, seed {self.seed}, sha256 {self.sha256[:12]})"

    def to_json(self) -> dict[str, Any]:
        """The split as JSON values, with its hash; `from_json` reads them."""
        return {"kind": KIND, "sha256": self.sha256} | {
            name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, value: Any, name: object = "the split") -> Self:
        """Rebuilds a split from `to_json`.

        Raises:
            InputError: If a field is missing or the hash does not fit the objects.
        """
        with reading(name, "a robustkit split"):
            if value["kind"] != KIND:
                raise InputError(f"{name} is of kind {value['kind']!r}; expected {KIND!r}")
            train, valid, test = (tuple(map(str, value[part])) for part in PARTS)
            first, second, third = map(float, value["fractions"])
            split = cls(train, valid, test, (first, second, third), int(value["seed"]), str(value["origin"]))
            if split.sha256 != value["sha256"]:
                raise InputError(f"{name} was changed or damaged: its objects do not fit its hash; make it again")
            return split

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the split to a JSON file."""
        write_json(path, self.to_json())
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a split that `save` wrote, and checks its hash.

        Raises:
            InputError: If the file is missing, damaged or changed.
        """
        with reading(path, "a robustkit split"):
            return cls.from_json(read_json(path), path)


def split_images(
    image_set: ImageSet, *, fractions: tuple[float, float, float] = FRACTIONS, seed: int = 0, given: bool = True
) -> Split:
    """Divides the objects of a set, class by class.

    Each object has a number from its id and the seed; within a class the lowest go to train, the next to valid, the
    rest to test. So the order of the images does not matter, nor which other classes there are.

    A split that the source gives is kept. If it has no valid part, one is drawn from its train part, in the proportion
    of the fractions, and its test part stays untouched.

    Args:
        image_set: What to divide; without labels all objects count as one class.
        fractions: The shares of train, valid and test, which add to 1; a share of 0 leaves a part empty.
        seed: What the division is drawn from, at least 0.
        given: Whether to keep a split that the source gives.

    Raises:
        InputError: If a class has fewer than two objects in a part, or one object has images of two classes.
    """
    _check_fractions(fractions)
    taken = given_split(image_set) if given else None
    if taken is None:
        parts = _divide(_objects_by_class(image_set), fractions, seed)
        return Split(*parts, fractions, seed)
    if taken.valid or fractions[1] == 0 or not taken.train:
        return Split(taken.train, taken.valid, taken.test, fractions, seed, taken.origin)
    share = fractions[1] / (fractions[0] + fractions[1])
    trained = set(taken.train)
    by_class = {
        name: [each for each in objects if each in trained] for name, objects in _objects_by_class(image_set).items()
    }
    train, valid, _ = _divide(by_class, (1 - share, share, 0.0), seed)
    origin = f"{taken.origin}; {len(valid)} of its {len(taken.train)} train objects drawn for valid"
    return Split(train, valid, taken.test, fractions, seed, origin)


def given_split(image_set: ImageSet) -> Split | None:
    """The split that the source of the images gives, as it is, or `None`.

    Raises:
        InputError: If it names an unknown part, or has one object in two parts.
    """
    given = image_set.meta.get("split")
    if not isinstance(given, Mapping):
        return None
    parts: dict[Part, set[str]] = {part: set() for part in PARTS}
    for image_id, name in zip(image_set.ids.tolist(), image_set.objects.tolist(), strict=True):
        word = str(given.get(image_id, "")).lower()
        if word not in _WORDS:
            raise InputError(no_such("part", word, _WORDS, where=f" of image {image_id!r}"))
        parts[_WORDS[word]].add(name)
    train, valid, test = (tuple(parts[part]) for part in PARTS)
    total = len(train) + len(valid) + len(test)
    return Split(
        train, valid, test, (len(train) / total, len(valid) / total, len(test) / total), origin="given by the image set"
    )


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9 or fractions[0] == 0:
        raise InputError(f"expected three fractions of train, valid and test that add to 1, got {tuple(fractions)}")


def _objects_by_class(image_set: ImageSet) -> dict[str, list[str]]:
    """The objects of each class; of one class named '' where there are no labels."""
    label_of: dict[str, int] = {}
    labels = np.zeros(len(image_set), dtype=np.int64) if image_set.labels is None else image_set.labels
    for name, label in zip(image_set.objects.tolist(), labels.tolist(), strict=True):
        if label_of.setdefault(name, label) != label:
            raise InputError(f"object {name!r} has images of two classes; give different objects different ids")
    by_class: dict[str, list[str]] = defaultdict(list)
    for name, label in label_of.items():
        by_class["" if image_set.labels is None else image_set.class_names[label]].append(name)
    return by_class


def _divide(
    by_class: Mapping[str, list[str]], fractions: Sequence[float], seed: int
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for class_name, objects in by_class.items():
        counts = _counts(len(objects), fractions)
        for part, count, fraction in zip(PARTS, counts, fractions, strict=True):
            if fraction > 0 and count < FEWEST:
                kind = f"class {class_name!r} has" if class_name else "the image set has"
                raise InputError(
                    f"{kind} {len(objects)} objects, which leaves {count} for {part}; expected at least {FEWEST}, so "
                    "give more images or other fractions"
                )
        drawn = sorted(objects, key=lambda name: _number(name, seed))
        ends = np.cumsum([0, *counts])
        for part, start, stop in zip(parts, ends, ends[1:], strict=False):
            part += drawn[start:stop]
    return tuple(parts[0]), tuple(parts[1]), tuple(parts[2])


def _counts(count: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers that add to `count`, each within one of its share: the largest remainders are rounded up."""
    shares = [fraction * count for fraction in fractions]
    counts = [int(np.floor(share + 1e-9)) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda part: (counts[part] - shares[part], part))
    for part in by_remainder[: count - sum(counts)]:
        counts[part] += 1
    return counts


def _number(name: str, seed: int) -> bytes:
    """The sort key of an object: a hash of its id and the seed, the same on every machine."""
    return hashlib.sha256(f"split\0{seed}\0{name}".encode()).digest()
