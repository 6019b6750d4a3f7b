"""One palette of classes for figures, legends and captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from matplotlib.colors import to_rgb

from robustkit.errors import InputError

# Of light to dark, so that they stay apart in grey: P. Tol's high-contrast and medium-contrast schemes, which are told
# apart with any colour vision (SRON/EPS/TN/09-002, issue 3.2).
_TWO = ("#DDAA33", "#004488")
_THREE = ("#DDAA33", "#BB5566", "#004488")
_SIX = ("#EECC66", "#EE99AA", "#6699CC", "#997700", "#994455", "#004488")
# The published figures: spiral, elliptical, merger.
_PAPER = ("#ffa600", "#bc5090", "#003f5c")

PALETTES = ("safe", "paper")


@dataclass(frozen=True)
class Palette:
    """A colour for each class.

    Attributes:
        name: `safe` or `paper`.
        colours: Of the K classes, in their order.
        class_names: The K classes.
    """

    name: str
    colours: tuple[str, ...]
    class_names: tuple[str, ...]

    def ink(self, label: int) -> str:
        """Black or white: which of them can be read on the colour of a class."""
        return "black" if lightness(self.colours[label]) > 0.5 else "white"


def make_palette(class_names: Sequence[str], name: str = "safe") -> Palette:
    """The palette of some classes.

    Args:
        class_names: The K classes; above six colours come again.
        name: `safe`, told apart in grey and with any colour vision, or `paper`, those of the published figures.

    Raises:
        InputError: If the name is unknown, or the paper has no colour for so many classes.

    Examples:
        >>> make_palette(["spiral", "elliptical", "merger"], "paper").colours
        ('#ffa600', '#bc5090', '#003f5c')
    """
    if name not in PALETTES:
        raise InputError(f"unknown colours {name!r}; known are {', '.join(PALETTES)}")
    count = len(class_names)
    if name == "paper" and count > len(_PAPER):
        raise InputError(f"the paper has {len(_PAPER)} colours and there are {count} classes; use the colours safe")
    chosen = _PAPER if name == "paper" else _TWO if count <= 2 else _THREE if count == 3 else _SIX
    return Palette(name, tuple(islice(cycle(chosen), count)), tuple(class_names))


def lightness(colour: str) -> float:
    """How light a colour is in grey, in [0, 1].

    Examples:
        >>> lightness("white")
        1.0
    """
    red, green, blue = to_rgb(colour)
    return round(0.299 * red + 0.587 * green + 0.114 * blue, 6)
