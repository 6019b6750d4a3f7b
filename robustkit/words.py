"""Text of others as it may be shown: nothing that a terminal obeys, nothing that turns the order of what is read."""

from __future__ import annotations


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
    line = next(iter(str(text).strip().splitlines()), "") or type(text).__name__
    line = shown(line[: most + 1])
    return line if len(line) <= most else f"{line[: most - 3]}..."
