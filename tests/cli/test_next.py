"""The last lines of commands: colour on a terminal alone, and a next command that runs as it stands."""

import shlex

import click
import pytest

from robustkit.cli import group
from robustkit.cli.ending import say_next
from robustkit.cli.saying import say
from tests.docs.shell import parse


@pytest.fixture
def following(capsys, monkeypatch):
    """The next command that is said after one with these words about a model."""

    def after(words):
        command = group.get_command(click.Context(group), "inspect")
        assert command is not None
        with command.make_context("inspect", shlex.split(words)):
            say_next("audit", "--quick", model="a b.pt", to="an answer")
        line = capsys.readouterr().out
        assert line.startswith("next: robustkit audit --model 'a b.pt' ")
        return shlex.split(line.removeprefix("next: robustkit ").partition("  (")[0])

    return after


@pytest.mark.parametrize(
    "words",
    [
        "-m x.pt",
        "-m x.pt -d images --arch net.py:Net --classes a,b",
        "-m x.pt -d 'my images' --mean 0.1 0.2 --std 1 1 --invert",
        "-m x.pt --input-size 64 32 --resize 8 8 --bounds 0 1 --question 'smooth,featured; bar,no-bar'",
        "-m x.pt y.pt z.pt --combine votes",
    ],
)
def test_what_was_said_about_a_model_is_said_again(following, words):
    again = following(words)
    assert again[-1] == "--quick"
    first, second = (parse(["inspect", *line]).params for line in (shlex.split(words), again[1:-1]))
    assert first | {"model": None} == second | {"model": None}
    assert [*first] == [*second]  # steps are taken in the order typed


def test_statuses_have_colours_on_a_terminal_alone(capsys, monkeypatch):
    styled = click.style("FAILED", fg="red", bold=True)
    say("FAILED: a")
    assert capsys.readouterr().out == "FAILED: a\n"  # a pipe
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda stream=None, color=None: False)
    say("FAILED: a\npassed: b, FAILED inside")
    assert capsys.readouterr().out.startswith(f"{styled}: a\n")
    monkeypatch.setenv("NO_COLOR", "1")
    say("FAILED: a")
    assert capsys.readouterr().out == "FAILED: a\n"
