"""The findings in the order of an audit. Steps, page, numbers, tables and messages read this one list."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module

from robustkit.code_gate import import_named
from robustkit.errors import InputError
from robustkit.findings.finding import Finding

# Each is `FINDING` in robustkit/findings/<name>/finding.py. A model is looked at before it is measured, accidents come
# before attacks, and what looks at latents comes after the attack whose flips it places.
FOLDERS = ("preflight", "clean", "pictures", "sweep", "hazard", "attack", "exhibits", "certify", "fragile", "latents",
           "windows", "maps", "distances", "remedy")  # fmt: skip


@cache
def built_in() -> tuple[Finding, ...]:
    """The findings of robustkit, in the order of an audit."""
    return tuple(import_module(f"robustkit.findings.{name}.finding").FINDING for name in FOLDERS)


def findings(own: Sequence[str] = ()) -> list[Finding]:
    """All findings of an audit.

    Args:
        own: Those of the user, as `path/to/file.py:Class` or `package.module:Class`, which are then imported; they come
            last.

    Raises:
        InputError: If one cannot be imported, is not a `Finding`, or has the name of another.
    """
    found = [*built_in(), *(named(text) for text in own)]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two findings are called {name!r}; give yours another name")
    return found


def named(text: str) -> Finding:
    """A finding of the user.

    Args:
        text: `path/to/file.py:Class` or `package.module:Class`.

    Raises:
        InputError: If it cannot be imported, or is not a `Finding`.
    """
    kind = import_named(text, "--finding")
    if not (isinstance(kind, type) and issubclass(kind, Finding)):
        raise InputError(f"expected {text} to be a subclass of robustkit.findings.finding.Finding, got {kind!r}")
    if not getattr(kind, "name", ""):
        raise InputError(f'{text} has no name; write name = "brightness" in the class')
    try:
        return kind()
    except TypeError as error:
        raise InputError(f"{text} cannot be made: {error}") from error
