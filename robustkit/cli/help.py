"""`robustkit help`."""

from __future__ import annotations

import click

from robustkit.cli.options import Command
from robustkit.cli.saying import say


@click.command(name="help", cls=Command)
@click.argument("name", required=False, metavar="[COMMAND]")
@click.pass_context
def command(ctx: click.Context, name: str | None) -> None:
    """Shows the commands, or what COMMAND takes: the same as `robustkit COMMAND --help`."""
    from robustkit.cli import group

    assert ctx.parent is not None  # this is a command of the group
    if name is None:
        say(ctx.parent.get_help())
        return
    _, found, _ = group.resolve_command(ctx.parent, [name])
    assert found is not None  # or the line above has said what was meant
    with click.Context(found, info_name=name, parent=ctx.parent) as its:
        say(found.get_help(its))
