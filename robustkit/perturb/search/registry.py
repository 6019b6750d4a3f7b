"""The searches by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from robustkit.code_gate import import_named
from robustkit.errors import InputError
from robustkit.perturb.search.auto import Auto
from robustkit.perturb.search.base import SearchSettings
from robustkit.perturb.search.best_first import BestFirst
from robustkit.perturb.search.chains import Chains
from robustkit.perturb.search.complete import Complete
from robustkit.perturb.search.differential_evolution import DifferentialEvolution
from robustkit.perturb.search.gradient import Gradient
from robustkit.perturb.search.names import OWN
from robustkit.perturb.search.random import RandomSearch
from robustkit.perturb.search.universal import Universal
from robustkit.words import no_such

SEARCHES: dict[str, Callable[[], SearchSettings]] = {
    "auto": Auto,
    "de": DifferentialEvolution,
    "de-best1bin": partial(DifferentialEvolution, form="best1bin"),
    "best-first": BestFirst,
    "gradient": Gradient,
    "universal": Universal,
    "chains": Chains,
    "random": RandomSearch,
    "complete": Complete,
}

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
