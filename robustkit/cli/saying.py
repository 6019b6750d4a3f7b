"""What the command line says: nothing of it is obeyed by a terminal, whatever files and names it was made of."""

from __future__ import annotations

import os
import re

import click

from robustkit.words import shown

# The words that lines of a verdict, of a preflight and of gates begin with, and their colours on a terminal.
_COLOURS = {
    **dict.fromkeys(("pass", "passed", "ok", "Yes"), "green"),
    **dict.fromkeys(("fail", "FAILED", "refusal", "Not yet"), "red"),
    **dict.fromkeys(("undecided", "warn", "warning", "Cannot be said"), "yellow"),
    **dict.fromkeys(("not run", "next"), "cyan"),
}
_BEGINS = re.compile(rf"^({'|'.join(sorted(_COLOURS, key=len, reverse=True))})(?=[:, ]|$)", re.MULTILINE)


def say(line: object = "", *, err: bool = False) -> None:
    """Prints a line, with control characters and marks of direction written out, and statuses in colour on a terminal.

    Pipes and files get no colour, nor does anybody who sets NO_COLOR.
    """
    text = shown(line)
    if not os.environ.get("NO_COLOR"):
        text = _BEGINS.sub(lambda found: click.style(found[0], fg=_COLOURS[found[0]], bold=True), text)
    click.echo(text, err=err)  # which takes the colours away again where there is no terminal
