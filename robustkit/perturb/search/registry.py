"""The searches by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from robustkit.errors import InputError
from robustkit.perturb.search.base import SearchSettings
from robustkit.perturb.search.differential_evolution import DifferentialEvolution
from robustkit.perturb.search.random import RandomSearch

SEARCHES: dict[str, Callable[[], SearchSettings]] = {
    "de": DifferentialEvolution,
    "de-best1bin": partial(DifferentialEvolution, form="best1bin"),
    "random": RandomSearch,
}

# What runs side by side when nothing is asked for: the published search, and the baseline that it must beat.
DEFAULT_SEARCHES = ("de", "random")


def make_search(name: str) -> SearchSettings:
    """The settings of a search, as they are by default.

    Raises:
        InputError: If the name is not known.
    """
    if name not in SEARCHES:
        raise InputError(f"unknown search {name!r}; known are {', '.join(SEARCHES)}")
    return SEARCHES[name]()
