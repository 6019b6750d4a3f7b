"""The last lines of a command: what was found, where it is, and what one does next."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from robustkit.cli.options import REPEATED
from robustkit.cli.saying import say

if TYPE_CHECKING:
    from robustkit.auditing.report import Report


def say_for(form: str) -> Callable[..., None]:
    """Where progress is said: on standard error where standard output is one JSON object."""
    return partial(say, err=True) if form == "json" else say


def say_next(command: str, *words: object, model: object = None, omit: str = "", to: str) -> None:
    """Says a command that one gives next.

    Args:
        command: Its name.
        words: What follows.
        model: The checkpoint; what was said about it, and where its images are, is repeated.
        omit: An option that is not repeated, because the checkpoint holds it now.
        to: What it is for.
    """
    about = () if model is None else ("--model", model, *_said_about_model(omit))
    line = shlex.join(str(word) for word in (command, *about, *words))
    say(f"next: robustkit {line}  ({to})")


def _said_about_model(omit: str) -> list[object]:
    """The options about a model and its images, as they were typed to this command."""
    context = click.get_current_context()
    members: list[object] = []
    said: list[object] = []
    known = {one.name: one for one in context.command.params}
    for name, value in context.params.items():  # in the order in which they were typed, which decides for steps
        one = known[name]
        if one.opts[0] == omit:
            continue
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE or one.opts[0] not in REPEATED:
            continue
        if name == "members":
            members = list(value)  # which stand behind --model
        elif value is True:
            said.append(one.opts[0])
        else:
            said += [one.opts[0], *(value if isinstance(value, tuple) else (value,))]
    return [*members, *said]


def end_audit(report: Report, form: str) -> None:
    """Says gates and what comes next, and ends with status 1 where a gate does not hold."""
    from robustkit.auditing.ci import gates_said, tell_build

    folder = report.page.parent
    if form == "text":
        say(gates_said(report.gates))
        if any(check.status == "warn" for check in report.checks):
            say_next("plan", "--pilot", folder, to="how many images would settle what is undecided")
        else:
            say_next("report", folder, "--baseline", folder / "audit.json", to="a gate on change, in a later audit")
    else:
        # GitLab colours its log, which is no terminal; the text was made harmless where it was put together.
        step_summary = os.environ.get("GITHUB_STEP_SUMMARY", "")
        tell_build(report, form, step_summary=step_summary, write=partial(click.echo, color=True))
    if not report.passed:
        sys.exit(1)
