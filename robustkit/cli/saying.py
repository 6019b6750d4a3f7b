"""What the command line says: nothing of it is obeyed by a terminal, whatever files and names it was made of."""

from __future__ import annotations

import errno
import os
import re
import sys
from contextlib import suppress

import click

from robustkit.words import shown

# The words that lines of a verdict, of a preflight and of gates begin with, and their colours on a terminal.
_COLOURS = {
    **dict.fromkeys(("pass", "passed", "ok", "Yes"), "green"),
    **dict.fromkeys(("fail", "FAILED", "refusal", "Not yet"), "red"),
    **dict.fromkeys(("undecided", "warn", "warning", "Cannot be said"), "yellow"),
    **dict.fromkeys(("not run", "next"), "cyan"),
}
_UNSAID = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE, errno.EIO)
unsaid: list[str] = []  # why some of what was said was lost
_BEGINS = re.compile(rf"^({'|'.join(sorted(_COLOURS, key=len, reverse=True))})(?=[:, ]|$)", re.MULTILINE)


def say(line: object = "", *, err: bool = False) -> None:
    """Prints a line, with control characters and marks of direction written out, and statuses in colour on a terminal.

    Pipes and files get no colour, nor does anybody who sets NO_COLOR.
    """
    text = shown(line)
    if not os.environ.get("NO_COLOR"):
        text = _BEGINS.sub(lambda found: click.style(found[0], fg=_COLOURS[found[0]], bold=True), text)
    try:
        click.echo(text, err=err)  # which takes the colours away again where there is no terminal
    except OSError as error:
        stop_saying(error, err=err)


def stop_saying(error: OSError, *, err: bool = False) -> None:
    """Says no more where nothing can be said: a log on a full disk, or a reader that is gone, stops no work.

    Raises:
        OSError: The error, if it is about a file and not about what is said.
    """
    if error.filename is not None or error.errno not in _UNSAID:
        raise error
    if error.errno != errno.EPIPE:  # whoever reads `| head` has what he wanted
        unsaid.append(error.strerror or "")
    stream = sys.stderr if err else sys.stdout
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())  # what is still buffered goes there too
