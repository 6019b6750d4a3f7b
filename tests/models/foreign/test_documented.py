import re
from pathlib import Path

import click

ROOT = Path(__file__).parents[3]


def test_every_option_of_the_page_exists():
    from robustkit.cli import group

    page = (ROOT / "docs" / "howto" / "audit-your-model.md").read_text()
    context = click.Context(group)
    commands = [group.get_command(context, name) for name in ("inspect", "attack", "audit", "window")]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z][a-z-]+", page)) <= known
