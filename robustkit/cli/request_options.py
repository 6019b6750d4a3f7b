"""Options of a command made from the fields of its request, so that an option is written once, where it is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from click.core import ParameterSource

from robustkit.cli.options import Numbers
from robustkit.options import Option, options_of


def request_options(request: type[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds an option for each field of a request that has one; the command gets the finished request as `request`.

    So what a request refuses is refused before the command imports anything heavy.

    Args:
        request: A dataclass whose fields were made by `robustkit.options.option`.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def called(**values: Any) -> Any:
            # The size of a group is a field too, and is offered with the options of workers.
            asked = {name: values.pop(name) for name in (*options_of(request), "group") if name in values}
            if "take_all" in asked and not asked["take_all"] and is_default("n"):
                asked["take_all"] = True  # who did not say how many images there are to be is not refused for fewer
            return command(request=request(**asked), **values)

        made: Callable[..., Any] = called
        for name, (default, one) in reversed(options_of(request).items()):
            for option in reversed(_options(name, default, one)):
                made = option(made)
        return made

    return add


def is_default(name: str) -> bool:
    """Whether a parameter of the command that runs was not given."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.DEFAULT


def _options(name: str, default: Any, one: Option) -> list[Callable[..., Any]]:
    flag = one.flag or "--" + name.replace("_", "-")
    how: dict[str, Any] = dict(one.click)
    if how.pop("numbers", False):
        how["cls"] = Numbers
    shown = f"  [default: {one.shown}]" if one.shown else ""
    if default is dataclasses.MISSING or default is None or default == ():
        pass  # what is not given is None, or ()
    elif isinstance(default, bool):
        how |= {"is_flag": True, "default": default}
    else:
        how |= {"default": default, "show_default": not one.shown}
    found = [click.option(*flag.split(), name, help=one.help + shown, **how)]
    found += [click.option(alias, name, flag_value=value, help=help) for alias, value, help in one.aliases]
    return found
