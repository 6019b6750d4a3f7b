"""`--axes`: one letter for each axis of an array of images, for layouts that its shape alone does not settle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustkit.errors import InputError

_LETTERS = "NCHWV"


def check_axes(axes: str | None) -> None:
    """Refuses letters that say nothing, twice, or not enough.

    Raises:
        InputError: If they do.
    """
    if axes is None:
        return
    letters = [letter for letter in axes if not letter.isdecimal()]
    wrong = [letter for letter in letters if letter not in _LETTERS or letters.count(letter) > 1]
    if wrong or not {"H", "W"} <= set(letters):
        raise InputError(
            f"expected --axes as one letter for each axis, H and W among them and each once (N images, C bands, H "
            f"rows, W columns, V visits of which the mean is taken, a digit for that place alone), got {axes!r}"
        )


def fitted(axes: str, shape: Sequence[int], name: str) -> str:
    """The letters, where they fit an array.

    Args:
        axes: As `--axes` says them.
        shape: Of the array.
        name: What to call it in an error.

    Raises:
        InputError: If there are more or fewer letters than axes, or a place is not there.
    """
    if len(axes) != len(shape):
        raise InputError(f"--axes {axes} has {len(axes)} letters, and {name} of shape {tuple(shape)} {len(shape)} axes")
    for letter, size in zip(axes, shape, strict=True):
        if letter.isdecimal() and int(letter) >= size:
            raise InputError(f"--axes {axes} takes place {letter} of an axis that has {size}, counted from 0")
    return axes


def arranged(array: np.ndarray, axes: str) -> np.ndarray:
    """An array as images (N, C, H, W)."""
    array = array[tuple(int(letter) if letter.isdecimal() else slice(None) for letter in axes)]
    left = [letter for letter in axes if not letter.isdecimal()]
    if "V" in left:
        # A mean of counts is no count; float64, because visits may be many.
        array = array.mean(axis=left.index("V"), dtype=np.float64)
        left.remove("V")
    array = array.transpose([left.index(letter) for letter in "NCHW" if letter in left])
    array = array if "C" in left else array.reshape(*array.shape[:-2], 1, *array.shape[-2:])
    return array if "N" in left else array[None]


def in_words(axes: str, shape: Sequence[int]) -> str:
    """What was found of an array's axes, in a sentence."""
    names = {"N": "images", "C": "bands", "H": "rows", "W": "columns", "V": "visits, of which the mean is taken"}
    taken = [
        f"place {letter} of {size}" if letter.isdecimal() and size > 1 else f"{size} {names[letter]}"
        for letter, size in zip(axes, shape, strict=True)
        if not (letter.isdecimal() and size == 1)
    ]
    return f"axes: {axes} of {tuple(shape)}: {', '.join(taken)}"
