"""How many bad pixels a training run tries for each image."""

from __future__ import annotations

from robustkit.errors import InputError

_MOST_TRIES = 64


def tries_of(text: str) -> int:
    """How many pixels `--pixels` tries for an image: 1 for `random`, K for `worst:K`.

    Raises:
        InputError: If it is neither.
    """
    kind, colon, number = text.partition(":")
    if text == "random":
        return 1
    if kind == "worst" and colon and number.isdecimal() and 2 <= int(number[:4]) <= _MOST_TRIES:
        return int(number)
    raise InputError(f"expected pixels as random or worst:K with K from 2 to {_MOST_TRIES}, got {text!r}")
