"""Text of others as it may be shown: nothing that a terminal obeys, nothing that turns the order of what is read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from robustkit.errors import InputError

# Other words for names of ours, which spelling alone would take for another name or for none.
_MEANT = {
    "gpu": "cuda", "nvidia": "cuda", "apple": "mps", "metal": "mps",
    "evolution": "de", "differential-evolution": "de",
    "blur": "psf", "seeing": "psf", "fwhm": "psf", "noise": "gaussian", "depth": "exposure", "background": "sky-offset",
    "rubin": "lsst", "decam": "des", "hubble": "hst", "asinh": "arcsinh", "imagenet": "meanstd",
    "val": "valid", "validation": "valid", "training": "train", "testing": "test",
    "a&a": "aa", "aanda": "aa",
    "info": "inspect", "fit": "train", "score": "evaluate",
    "prove": "certify", "verify": "certify", "classify": "predict", "inference": "predict", "rank": "flag",
    "fix": "repair", "generate": "simulate", "map": "isomap", "maps": "isomap", "windows": "window",
    "ece": "calibration_error", "acc": "accuracy",
}  # fmt: skip


def signed(value: float, form: str = ".3f") -> str:
    """A change with its sign, and without one where it is rounded to nothing.

    Examples:
        >>> [signed(value, ".2f") for value in (0.126, -0.3, -0.001)]
        ['+0.13', '-0.30', '0.00']
    """
    text = format(value, f"+{form}")
    return text if any(digit in text for digit in "123456789") else text[1:]


def shown(text: object) -> str:
    r"""A text with every character that is not printed written out, and its line ends and tabs kept.

    Control characters make a terminal obey (a title, a cleared screen, a link), and marks of direction make a name read
    as another one. Letters of any script stay as they are.

    Examples:
        >>> shown("fusionnée\x1b[2J")
        'fusionnée\\x1b[2J'
        >>> shown("gal\u202egpj.exe")
        'gal\\u202egpj.exe'
    """
    return "".join(each if each.isprintable() or each in "\n\t" else _written(each) for each in str(text))


def _written(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def brief(text: object, most: int = 160) -> str:
    """The first line of a text, printable and short."""
    line = next(iter(str(text).strip().splitlines()), "")
    if not line and isinstance(text, BaseException):
        line = type(text).__name__  # an error that says nothing says at least what it is
    line = shown(line[: most + 1])
    return line if len(line) <= most else f"{line[: most - 3]}..."


def no_such(what: str, name: object, known: Iterable[str], *, where: str = "", more: str = "") -> str:
    """The message for a name that is none of those known: a guess at what was meant, and all of them.

    Args:
        what: What it should name, such as `search`.
        name: What was given.
        known: The names there are.
        where: Where it was given, after the name.
        more: What else would do, such as `your own as package.module:Class`.

    Examples:
        >>> no_such("search", "dee", ["auto", "de"])
        "unknown search 'dee'; did you mean 'de'? Known are auto, de"
        >>> no_such("suite", "all", ["lsst", "plain"])
        "unknown suite 'all'; known are lsst, plain"
    """
    known = list(known)
    near = guess(name, known)
    said = f"; did you mean {near!r}? Known" if near else "; known"
    names = [*known, f"or {more}"] if more else known
    return f"unknown {what} {brief(repr(name))}{where}{said} are {', '.join(names)}"


def guess(name: object, known: Iterable[str]) -> str:
    """The known name that was probably meant, or an empty text.

    Examples:
        >>> guess("lst", ["lsst", "plain"]), guess("Exposure", ["exposure"]), guess("corner", ["de", "auto"])
        ('lsst', 'exposure', '')
        >>> guess("gpu", ["cpu", "cuda"]), guess("seeing", ["psf", "shift"])
        ('cuda', 'psf')
    """
    from difflib import get_close_matches

    meant = _MEANT.get(str(name).lower().replace("_", "-"))
    if meant in (known := list(known)):
        return str(meant)
    lowered = {one.lower().replace("_", "-"): one for one in known}
    near = get_close_matches(str(name)[:80].lower().replace("_", "-"), lowered, n=1, cutoff=0.6)
    return lowered[near[0]] if near else ""


def named_type(hint: Any) -> str:
    """A type annotation as a reader of an error needs it: `str or None`."""
    parts = [part for part in get_args(hint) if isinstance(part, type)] if str(hint).count("|") else []
    names = [part.__name__ if isinstance(part, type) else str(part) for part in parts or [hint]]
    shown = [name.replace("collections.abc.", "").replace("typing.", "").replace("NoneType", "None") for name in names]
    return " or ".join(shown)


def to_path(given: object, what: str, instead: str = "") -> Path:
    """The path that an argument in Python is.

    Args:
        given: The argument.
        what: What it must be a path of, such as `a model file`.
        instead: What to do with a value that is no path.

    Raises:
        InputError: If it is none.
    """
    if isinstance(given, str | os.PathLike):
        return Path(given)  # type: ignore[arg-type]
    raise InputError(f"expected the path of {what}, not a {type(given).__name__}{f'; {instead}' if instead else ''}")
