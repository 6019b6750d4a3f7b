"""No option of a command takes the place of another, unless both are spellings of one choice."""

import click
import pytest

from robustkit.cli import COMMANDS, group


@pytest.mark.parametrize("name", COMMANDS)
def test_two_options_of_a_command_go_to_different_places(name):
    command = group.get_command(click.Context(group), name)
    places = {}
    for option in command.params:
        places.setdefault(option.name, []).append(option)
    for place, options in places.items():
        others = [option for option in options if not getattr(option, "is_flag", False)]
        assert len(others) <= 1, f"{name}: {[option.opts for option in options]} all go to {place!r}"
