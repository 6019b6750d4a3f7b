"""The searches by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from robustkit.code_gate import import_named, refuse_names
from robustkit.errors import InputError
from robustkit.lazy import Registry
from robustkit.words import no_such

if TYPE_CHECKING:
    from robustkit.perturb.search.base import SearchSettings

SEARCHES: Registry[Callable[[], SearchSettings]] = Registry(
    "robustkit.perturb.search",
    {
        "auto": "auto:Auto",
        "de": "differential_evolution:DifferentialEvolution",
        "de-best1bin": "differential_evolution:best1bin",
        "best-first": "best_first:BestFirst",
        "gradient": "gradient:Gradient",
        "universal": "universal:Universal",
        "chains": "chains:Chains",
        "random": "random:RandomSearch",
        "complete": "complete:Complete",
    },
)
OWN = "your own as path/to/file.py:Class"
# Refuses what a file names and no person does; see `robustkit.code_gate.refuse_names`.
refuse_searches = partial(refuse_names, known=SEARCHES, what="search", own=OWN, option="--search")

# The default searches: the published algorithm (the published attack is `--preset paper`), what finds almost every
# flip, and the baseline of both.
DEFAULT_SEARCHES = ("de", "auto", "random")


def make_search(name: str) -> SearchSettings:
    """The default settings of a search.

    Args:
        name: A name in `SEARCHES`, or your own class of settings as `path/to/file.py:Class` or `package.module:Class`,
            which is then imported.

    Raises:
        InputError: If the name is unknown, or the class holds no settings of a search.
    """
    if name in SEARCHES:
        return SEARCHES[name]()
    if ":" not in name:
        raise InputError(no_such("search", name, SEARCHES, more=OWN))
    kind = import_named(name, "--search")
    missing = [part for part in ("name", "start", "to_json") if not hasattr(kind, part)]
    if missing:
        raise InputError(f"{name} does not define {', '.join(missing)}; see robustkit.perturb.search.base")
    try:
        return kind()
    except TypeError as error:
        raise InputError(f"{name} cannot be made without arguments: {error}; give its fields defaults") from error
