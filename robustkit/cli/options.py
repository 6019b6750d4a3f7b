"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import click


class Numbers(click.Option):
    """An option that takes one or more numbers: `--years 10 1`. Its command must be a `Command`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs = {"type": float, "multiple": True, "metavar": "NUMBER..."} | kwargs
        super().__init__(*args, **kwargs)


class Command(click.Command):
    """A command that knows options of several values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeats the name of a `Numbers` option before each further number, and parses that."""
        names = {name for option in self.params if isinstance(option, Numbers) for name in option.opts}
        return super().parse_args(ctx, _repeated(args, names))


def _repeated(args: list[str], names: set[str]) -> list[str]:
    """`--years 10 1` as `--years 10 --years 1`."""
    out: list[str] = []
    name, values = "", 0  # the option that is being read, and how many values it has
    for position, arg in enumerate(args):
        if arg == "--":
            return out + args[position:]
        if name and _is_number(arg):
            out += [name, arg] if values else [arg]
            values += 1
            continue
        option, equals, _ = arg.partition("=")
        name, values = (option, len(equals)) if option in names else ("", 0)
        out.append(arg)
    return out


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
