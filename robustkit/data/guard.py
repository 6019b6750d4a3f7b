"""Turns whatever a library raises on a damaged file into one `InputError` of one sentence."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from robustkit.errors import InputError, RobustkitError


@contextmanager
def reading(name: object, kind: str) -> Generator[None]:
    """Guards the lines in which a library parses an untrusted file.

    Args:
        name: The file, for the message.
        kind: What it should be, with its article, such as `"a PNG or JPEG picture"`.

    Raises:
        InputError: In place of anything but robustkit's own errors.
    """
    try:
        yield
    except RobustkitError:
        raise
    except Exception as error:  # parsers raise every kind of error on random bytes
        if isinstance(error, OSError) and error.strerror:  # the system speaks, not a parser
            raise InputError(f"cannot read {name} as {kind}: {error.strerror}") from error
        raise InputError(
            f"{name} is not readable as {kind} ({brief(error)}); it is damaged or of another kind"
        ) from error


def brief(error: object) -> str:
    """The first line of a library's message, printable and short."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line if len(line) <= 160 else line[:157] + "..."
