"""Settings as dataclass fields that say how the command line offers them, so that an option is written once."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

_KEY = "option"


@dataclass(frozen=True)
class Option:
    """How the command line offers a field.

    Attributes:
        help: What it does, in a line.
        flag: The option, such as `--all`, or several spellings of it; by default the field's name.
        shown: The default in words, where the value itself says little.
        click: Further arguments of `click.option`.
        aliases: Options that stand for one value of this one: option, value and help of each.
    """

    help: str
    flag: str = ""
    shown: str = ""
    click: dict[str, Any] = field(default_factory=dict[str, Any])
    aliases: tuple[tuple[str, str, str], ...] = ()


def option(default: Any, help: str, **said: Any) -> Any:
    """A dataclass field with a default that the command line offers.

    Args:
        default: Its default.
        help: What it does, in a line.
        **said: The other fields of `Option`.
    """
    return field(default=default, metadata={_KEY: Option(help, **said)})


def options_of(settings: type[Any]) -> dict[str, tuple[Any, Option]]:
    """The fields of a settings dataclass that the command line offers: by name, the default and the option."""
    return {one.name: (one.default, one.metadata[_KEY]) for one in fields(settings) if _KEY in one.metadata}
