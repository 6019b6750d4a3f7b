"""A first look at the headers of a FITS file: astropy counts to whatever a header says, however long it takes."""

from __future__ import annotations

import math
from typing import IO

from robustkit.errors import InputError
from robustkit.words import shown

_BLOCK, _CARD = 2880, 80
_MOST_BLOCKS = 2000  # of one header: 72,000 lines
_MOST = 999  # axes, and columns: by the standard


def check_headers(stream: IO[bytes], name: str) -> None:
    """Refuses headers of more lines, axes or columns than the standard has; all else is left to astropy.

    Args:
        stream: The file; it is left at its beginning.
        name: What to call it in an error.

    Raises:
        InputError: If a header counts beyond that.
    """
    start, size = 0, stream.seek(0, 2)
    while start < size:
        stream.seek(start)
        cards = _cards(stream, name)
        axes, columns = cards.get("NAXIS", 0), cards.get("TFIELDS", 0)
        if not (0 <= axes <= _MOST and 0 <= columns <= _MOST):
            raise InputError(f"{shown(name)} claims {axes} axes and {columns} columns; FITS has at most {_MOST}")
        sides = [cards.get(f"NAXIS{axis}", 0) for axis in range(1, axes + 1)]
        pixels = math.prod(sides[1:] if len(sides) > 1 and sides[0] == 0 else sides) if sides else 0
        data = abs(cards.get("BITPIX", 8)) // 8 * cards.get("GCOUNT", 1) * (cards.get("PCOUNT", 0) + pixels)
        if not 0 <= data <= size:
            break
        start = stream.tell() + -(-data // _BLOCK) * _BLOCK
    stream.seek(0)


def _cards(stream: IO[bytes], name: str) -> dict[str, int]:
    """The whole numbers of a header, and the stream behind it."""
    found: dict[str, int] = {}
    for _ in range(_MOST_BLOCKS):
        block = stream.read(_BLOCK)
        if len(block) < _BLOCK:
            return found
        for start in range(0, _BLOCK, _CARD):
            card = block[start : start + _CARD]
            key = card[:8].rstrip()
            if key == b"END":
                return found
            if card[8:10] == b"= " and key.startswith((b"NAXIS", b"TFIELDS", b"BITPIX", b"GCOUNT", b"PCOUNT")):
                value = card[10:].partition(b"/")[0].strip()
                if value.removeprefix(b"-").isdigit():
                    found.setdefault(key.decode("ascii", "replace"), int(value))
    raise InputError(f"{shown(name)} has a header of more than {_MOST_BLOCKS * _BLOCK // _CARD:,} lines; it is damaged")
