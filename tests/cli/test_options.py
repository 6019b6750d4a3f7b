"""Options that take several numbers."""

import click
import pytest
from click.testing import CliRunner

from robustkit.cli.options import Command, Numbers


@click.command(cls=Command)
@click.option("--levels", cls=Numbers, default=(7,))
@click.option("--years", "-y", cls=Numbers)
@click.option("--name", default="none")
@click.argument("path", default="-")
def echo(levels, years, name, path):
    """Says what came."""
    click.echo(f"{list(levels)} {list(years)} {name} {path}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "[7.0] [] none -"),
        (["--levels", "1", "0.5", "0.2"], "[1.0, 0.5, 0.2] [] none -"),
        (["--levels", "1", "--years", "10", "1"], "[1.0] [10.0, 1.0] none -"),
        (["-y", "10", "1", "--name", "5"], "[7.0] [10.0, 1.0] 5 -"),
        (["--levels", "1", "--levels", "2"], "[1.0, 2.0] [] none -"),
        (["--levels=1", "2", "3"], "[1.0, 2.0, 3.0] [] none -"),
        (["--levels", "-1", "1e-3"], "[-1.0, 0.001] [] none -"),
        (["--levels", "1", "2", "file"], "[1.0, 2.0] [] none file"),
        (["file", "--levels", "1", "2"], "[1.0, 2.0] [] none file"),
        (["--levels", "1", "--", "2"], "[1.0] [] none 2"),
    ],
)
def test_several_numbers_follow_one_name(arguments, expected):
    result = CliRunner().invoke(echo, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.strip() == expected


def test_what_is_no_number_is_refused():
    result = CliRunner().invoke(echo, ["--levels", "many"])
    assert result.exit_code == 2
    assert "'many' is not a valid float" in result.output


def test_help_shows_that_there_may_be_several():
    assert "--levels NUMBER..." in CliRunner().invoke(echo, ["--help"]).output
