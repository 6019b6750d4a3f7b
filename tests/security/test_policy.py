"""SECURITY.md says who may name what; the table must be whole, and its words those of the command line."""

import re
from pathlib import Path

import click

from robustkit.cli import group

PAGE = Path(__file__).parents[2] / "SECURITY.md"


def rows():
    table = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_table_has_no_empty_cell():
    assert len(rows()) > 10
    for row in rows():
        assert len(row) == 4
        assert all(row), row


def test_every_option_of_the_page_exists():
    context = click.Context(group)
    commands = [group.get_command(context, name) for name in group.list_commands(context)]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.read_text())) <= known | {"--seconds"}
