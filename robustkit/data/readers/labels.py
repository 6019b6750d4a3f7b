"""Labels and ids, from the forms in which they are found to integers from 0 and unique names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robustkit.data.npyfile import NUMBERS, TEXT, map_npy
from robustkit.data.readers.found import Found, Options
from robustkit.data.readers.provenance import file_hash
from robustkit.errors import WARNING, InputError

# How tables write that a label is not there, without capital letters.
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "<na>", "nat", "-", "--", "?", "#n/a", "missing"})
_NUMBER = re.compile(r"[+-]?\d{1,15}(\.0*)?")
LONGEST = 4096  # characters of a name
_DIGITS = re.compile(r"[0-9]{1,15}")
MOST_UNNAMED = 10_000  # a label above this is more likely not a label


def resolve_labels(
    values: np.ndarray | None,
    stated: Sequence[str] | None,
    found: Sequence[str] | None,
    count: int,
    notes: list[str],
    *,
    classes: int | None = None,
    accepted: Sequence[str] = (),
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Labels as int64 in [0, K) and the K class names.

    Args:
        values: Integers, whole floats, one-hot rows or names; `None` if there are none.
        stated: The class names that the user gave.
        found: The class names that the source gives; the user's go first.
        count: Number of images.
        notes: Receives what was chosen.
        classes: K, where it was said and the classes have no names.
        accepted: Names that are classes although tables write them for no label.

    Raises:
        InputError: If the labels fit neither the images nor the class names.
    """
    names = tuple(stated or found or ())
    if values is None:
        return None, names
    if values.ndim not in (1, 2) or len(values) != count:
        raise InputError(f"{count} images but labels of shape {values.shape}; expected one label per image")
    if values.ndim == 2:
        values = _from_one_hot(values, names, notes)
    if values.dtype.kind in "iu" and accepted and int(values.max()) >= len(accepted):
        named = values.astype(str)
        values = named if set(named) <= set(accepted) else values  # classes that are called by numbers, such as 3 and 5
    if values.dtype.kind in "US":
        return _from_names(text(values), names, notes, classes, accepted)
    return _from_integers(_whole(values, notes), names, notes, classes)


def _from_integers(
    labels: np.ndarray, names: tuple[str, ...], notes: list[str], classes: int | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise InputError(f"the lowest label is {low}; expected integers from 0, so leave out images without a class")
    if low >= 1 and high == (len(names) or classes):  # counted from 0, no class would have the highest number
        names = names or tuple(map(str, range(1, high + 1)))
        pairs = _few([f"{number} is {name}" for number, name in enumerate(names, 1)])
        notes.append(f"{WARNING}labels run from {low} to {high}, so they count {high} classes from 1: {pairs}")
        labels, low, high = labels - 1, low - 1, high - 1
    elif low == 1 and not names and classes is None:
        raise InputError(
            f"labels run from 1 to {high}, which looks like counting from 1; say how many classes there are, --classes "
            f"{high}, or {high + 1} if none shows class 0, or name them in the order of the outputs"
        )
    if classes is not None and not names:
        if high >= classes:
            raise InputError(
                f"labels run from {low} to {high} and --classes says {classes}; expected 0 to {classes - 1}"
            )
        names = tuple(map(str, range(classes)))
    if names and high >= len(names):
        raise InputError(f"labels run from {low} to {high} but {len(names)} classes are named: {', '.join(names)}")
    if not names and high >= MOST_UNNAMED:
        raise InputError(f"labels run up to {high} and no class is named; give --classes, or name the right labels")
    if not names:
        names = tuple(str(number) for number in range(high + 1))
        notes.append(f"class names: not found, so the classes are called {_few(names)}; give --classes")
    absent = [name for name, n in zip(names, np.bincount(labels, minlength=len(names)), strict=True) if n == 0]
    if absent:
        notes.append(f"labels: no images of class {_few(absent)}")
    return labels, names


def _from_one_hot(values: np.ndarray, names: Sequence[str], notes: list[str]) -> np.ndarray:
    classes = values.shape[1]
    if classes == 1:
        return values[:, 0]
    if values.dtype.kind not in "fiub" or not (np.isin(values, (0, 1)).all() and (values.sum(1) == 1).all()):
        raise InputError(
            f"labels of shape {values.shape} are not one-hot, where each row has a single 1; give one class per image"
        )
    if names and len(names) != classes:
        raise InputError(f"the one-hot labels have {classes} classes but {len(names)} are named: {', '.join(names)}")
    notes.append(f"labels: one-hot {values.shape}, turned into integers")
    return values.argmax(1)


def _from_names(
    values: np.ndarray,
    names: tuple[str, ...],
    notes: list[str],
    classes: int | None = None,
    accepted: Sequence[str] = (),
) -> tuple[np.ndarray, tuple[str, ...]]:
    present = Counter(values.tolist())
    missing = [value for value in present if value.casefold() in _MISSING and value not in (*names, *accepted)]
    if missing:
        count = sum(present[value] for value in missing)
        shown = ", ".join(repr(value) for value in missing)
        raise InputError(
            f"{count} of {len(values)} labels are empty or say that they are unknown ({shown}); leave out images "
            "without a class, or name all classes with --classes if it is one"
        )
    if not names and all(_NUMBER.fullmatch(value) for value in present):
        values = np.array([str(int(float(value))) for value in values.tolist()])
        notes.append("labels: numbers stored as text, turned into integers") if set(values) != set(present) else None
        present = Counter(values.tolist())
        low = min(map(int, present))
        if low < 0 and "0" in present:  # classes counted from 0 and a mark; -1 and 1 alone are two classes
            raise InputError(
                f"the lowest label is {low} ({present[str(low)]} of {len(values)}); expected integers from 0, so leave "
                "out images without a class, or name all classes with --classes if it is one"
            )
    integers = all(_DIGITS.fullmatch(value) for value in present)
    if integers and not names and classes is not None and not set(present) <= set(accepted):
        return _from_integers(values.astype(np.int64), names, notes, classes)
    if names and integers and not set(present) <= set(names):
        return _from_integers(values.astype(np.int64), names, notes)
    if not names:
        names = tuple(sorted(present, key=int if integers else None))
        notes.append(f"class names: {_few(names)}, in sorted order, from the labels")
    numbers = {value for value in present if _NUMBER.fullmatch(value)}
    if numbers and len(numbers) < len(present):
        mixed = f"{_few(sorted(numbers))} among {_few(sorted(set(present) - numbers))}"
        notes.append(f"{WARNING}labels: classes that are numbers, {mixed}; leave out images whose class is not known")
    unknown = sorted(set(present) - set(names))
    if unknown:
        raise InputError(f"labels have the class {_few(unknown)}, which is not among {', '.join(names)}")
    absent = [name for name in names if name not in present]
    if absent:
        notes.append(f"labels: no images of class {_few(absent)}")
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[value] for value in values.tolist()], dtype=np.int64), tuple(names)


def _whole(values: np.ndarray, notes: list[str]) -> np.ndarray:
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and (values == np.floor(values)).all()):
            raise InputError(
                f"labels are {values.dtype} and not whole numbers; expected one class per image, from 0, or say "
                "--tolerance for a network that predicts such numbers"
            )
        notes.append(f"labels: whole numbers stored as {values.dtype}, turned into integers")
    elif values.dtype.kind not in "iub":
        raise InputError(f"labels are {values.dtype}; expected integers from 0, one-hot rows, or names")
    return values.astype(np.int64)


def resolve_numbers(found: Found, count: int) -> np.ndarray:
    """Labels that are numbers, shape (N,), float64.

    Raises:
        InputError: If there are none, or one is no finite number.
    """
    values = found.labels
    if values is not None and found.class_names and values.dtype.kind in "iu":
        values = np.asarray(found.class_names)[values]  # folders are named
    if values is None or values.shape != (count,):
        shape = "no labels" if values is None else f"labels of shape {values.shape}"
        raise InputError(f"--tolerance needs a number for each of {count} images, and there are {shape}; see --labels")
    try:
        numbers = (text(values) if values.dtype.kind in "SUO" else values).astype(np.float64)
    except ValueError:
        numbers = np.full(1, np.nan)
    if not np.isfinite(numbers).all():
        raise InputError("--tolerance needs labels that are finite numbers, and these are names; see --labels")
    return numbers


def stated_labels(options: Options, notes: list[str], provenance: dict[str, str]) -> np.ndarray | None:
    """The labels that the user gave, as an array or as the path of a .npy file; `None` if none were given.

    Raises:
        InputError: If the file is missing, damaged, or has more than two axes.
    """
    if options.labels is None or isinstance(options.labels, np.ndarray):
        return options.labels
    return read_label_file(Path(options.labels), notes, provenance)


def read_label_file(path: Path, notes: list[str], provenance: dict[str, str]) -> np.ndarray:
    """The labels in a .npy file, as they are.

    Raises:
        InputError: If the file is missing, damaged, or has more than two axes.
    """
    if path.suffix != ".npy":
        raise InputError(f"expected labels in a .npy file or as an array of the same file as the images, got {path}")
    labels = np.array(map_npy(path, kinds=NUMBERS + TEXT))
    if labels.ndim not in (1, 2):
        raise InputError(f"{path} holds an array of shape {labels.shape}; expected labels of shape (N,) or (N, K)")
    provenance[path.name] = file_hash(path)
    notes.append(f"labels: from {path.name}, {labels.shape} {labels.dtype.name}")
    return labels


def resolve_ids(values: np.ndarray | None, count: int, notes: list[str]) -> np.ndarray:
    """Unique ids, shape (N,), str; row numbers where the source has none.

    Raises:
        InputError: If there is not exactly one id per image.
    """
    if values is None:
        notes.append("ids: not found, so images are named by their row, starting at 000000")
        return np.array([f"{row:06d}" for row in range(count)], dtype=str)
    if values.shape != (count,) or values.dtype.kind not in "USiu":
        raise InputError(f"{count} images but ids of shape {values.shape}, {values.dtype}; expected one name per image")
    ids = text(values)
    repeated = sorted(name for name, n in Counter(ids.tolist()).items() if n > 1)
    if repeated:
        shared = set(repeated)
        ids = np.array([f"{name}@{row}" if name in shared else name for row, name in enumerate(ids.tolist())])
        notes.append(f"ids: {len(repeated)} names occur more than once, so their row was added ({_few(repeated)})")
    if len(np.unique(ids)) != count:
        raise InputError("ids are not unique even with the row added to them; give other ids")
    if any("#" in name for name in ids.tolist()):
        notes.append("ids: what follows '#' marks another image of the same object, and a split keeps both together")
    return ids


def text(values: np.ndarray) -> np.ndarray:
    """Strings, UTF-8 bytes or integers as an array of str.

    Raises:
        InputError: If bytes are not UTF-8, or a name is longer than any path.
    """
    if values.dtype.itemsize > LONGEST * (4 if values.dtype.kind == "U" else 1):
        raise InputError(f"names run to {values.dtype.itemsize:,} bytes; expected at most {LONGEST:,} characters each")
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"names are not UTF-8 text ({error}); store them as strings") from error
    return values.astype(str)


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
