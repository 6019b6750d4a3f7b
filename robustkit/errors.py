"""The errors that robustkit raises on purpose. Each message says what was expected, what was given and what to do."""

from __future__ import annotations


class RobustkitError(Exception):
    """Base of the errors that robustkit raises on purpose. The command line prints it on one line.

    Attributes:
        exit_code: The exit status of a command that ends with this error.
        printed: What the command line prints instead where the message was printed already.
    """

    exit_code = 1
    printed: str | None = None


# How a note begins that says that numbers may mean something else than one thinks; every command shows these.
WARNING = "warning: "


class InputError(RobustkitError, ValueError):
    """What the user gave cannot be used: a file, a shape, a label, a setting."""

    exit_code = 2


class SecurityError(InputError):
    """Opening the file would run code from it, and the user has not named that code."""

    exit_code = 3


class MissingExtra(InputError, ImportError):
    """An optional package is needed and not installed; the message names the extra that brings it."""


class OutOfMemory(RobustkitError):
    """Memory ran out even with the smallest batch."""


class NoGraph(TypeError):
    """What runs outside of PyTorch was asked for its graph; the message says what it is."""


class RunInterrupted(BaseException):
    """The run was stopped by a signal after saving what it had; it can be resumed.

    Like `KeyboardInterrupt`, it is not an `Exception`: code that tries a faster way and falls back must not take an
    interruption for a failure of that way.
    """

    exit_code = 75


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its kind when it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
