"""What the command line says: nothing of it is obeyed by a terminal, whatever files and names it was made of."""

from __future__ import annotations

import click

from robustkit.words import shown


def say(line: object = "", *, err: bool = False) -> None:
    """Prints a line, with control characters and marks of direction written out."""
    click.echo(shown(line), err=err)
