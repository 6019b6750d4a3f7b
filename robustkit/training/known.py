"""The classes of a few target images, from a table: what a survey has labelled so far."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from robustkit.data import Split
from robustkit.data.bounds import bounded_memory, stored_bytes
from robustkit.data.readers.catalogue import table_columns
from robustkit.data.readers.naming import IDS, LABELS
from robustkit.errors import InputError
from robustkit.files import sha256_file
from robustkit.training.domains import Domain
from robustkit.words import no_such, shown

_log = logging.getLogger("robustkit.training")
_COLUMNS = {"ids": IDS, "classes": LABELS}


@dataclass(frozen=True)
class KnownLabels:
    """Target objects whose classes are known.

    Attributes:
        path: The table.
        classes: Names of classes by object id.
        sha256: Hash of the table.
    """

    path: Path
    classes: dict[str, str]
    sha256: str

    def labels(self, ids: np.ndarray, class_names: tuple[str, ...]) -> np.ndarray:
        """The classes of images, shape (N,), int64; -1 where they are not known.

        Args:
            ids: Image ids, shape (N,).
            class_names: The K classes that the labels count.

        Raises:
            InputError: If the table has another class.
        """
        for label in dict.fromkeys(self.classes.values()):
            if label not in class_names:
                raise InputError(no_such("class", label, class_names, where=f" in {self.path}"))
        places = {name: class_names.index(label) for name, label in self.classes.items()}
        return np.array([places.get(str(one).partition("#")[0], -1) for one in ids], dtype=np.int64)


def read_known(path: str | os.PathLike[str]) -> KnownLabels:
    """Reads the classes of target objects.

    Args:
        path: A .csv or .tsv table with a column of ids and one of classes, by name; other columns are left alone.

    Raises:
        InputError: If it is no such table, or gives an object two classes.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such file: {path} (expected --target-labels as a .csv table of ids and classes)")
    with bounded_memory(stored_bytes(path), path):
        columns = table_columns(path)
    found = {}
    for what, usual in _COLUMNS.items():
        name = next((one for one in usual if one in columns), None)
        if name is None:
            raise InputError(
                f"{path} has no column of {what} among {', '.join(map(shown, list(columns)[:12]))}; expected the "
                f"columns id and class"
            )
        found[what] = columns[name]
    classes: dict[str, str] = {}
    for one, label in zip(found["ids"], found["classes"], strict=True):
        name = one.partition("#")[0]
        if classes.setdefault(name, label) != label:
            raise InputError(f"{path} gives {shown(name)} two classes; expected one each")
    return KnownLabels(path, classes, sha256_file(path))


@dataclass(frozen=True, eq=False)
class KnownTargets:
    """The training images of the targets whose classes are known.

    Attributes:
        domains: With labels, those images alone; one for each target that has some.
        sha256: Hash of the table.
    """

    domains: tuple[Domain, ...]
    sha256: str


def known_targets(targets: Sequence[Domain], known: KnownLabels, class_names: tuple[str, ...]) -> KnownTargets:
    """The images of targets that a table knows the classes of.

    Args:
        targets: The targets, split.
        known: The table.
        class_names: The classes of the source.

    Raises:
        InputError: If none of its objects is among the training images.
    """
    found: list[Domain] = []
    there: set[str] = set()
    for target in targets:
        images, labels = target.images, known.labels(target.images.ids, class_names)
        there |= set(images.objects[labels >= 0].tolist())
        rows = np.intersect1d(np.flatnonzero(labels >= 0), target.rows("train"))
        if len(rows):
            chosen = replace(images.select(rows), labels=labels[rows], class_names=class_names)
            split = Split(tuple(sorted(set(chosen.objects.tolist()))), (), ())
            found.append(Domain(chosen, target.path, split))
    if not found:
        raise InputError(
            f"none of the {len(known.classes)} objects of {known.path}, such as {shown(next(iter(known.classes)))}, is "
            f"a training image of the target, whose ids are such as {shown(str(targets[0].images.ids[0]))}"
        )
    used = {name for domain in found for name in domain.split.train}
    if len(used) < len(known.classes):
        aside = len(there - used)
        _log.warning(
            "%d of the %d objects of %s are learned from: %d are in the validation or test part, because the source "
            "shows them there, and %d are not in the target",
            len(used), len(known.classes), known.path, aside, len(known.classes) - len(there),
        )  # fmt: skip
    return KnownTargets(tuple(found), known.sha256)
