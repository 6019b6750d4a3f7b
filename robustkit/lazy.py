"""Names that load nothing: those of a package and those of a registry are imported when they are first used."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["Registry", "lazy_names", "torch"]

T = TypeVar("T")


def lazy_names(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose names are those of its `if TYPE_CHECKING:` block.

    So type checkers and readers see plain imports, and there is no second list to keep.

    Args:
        package: Its `__name__`.
        file: Its `__file__`.
    """
    with open(file, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom) and node.module]
    homes = {alias.name: str(node.module) for node in imports for alias in node.names}

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: sorted({*homes, *vars(sys.modules[package])})


class Registry(Mapping[str, T]):
    """Names and what they stand for, which is imported when it is first asked for: reading names costs nothing.

    Args:
        home: The package in which all of it lies.
        places: Where it lies there, `module:NAME` by name, in the order in which it is shown.
    """

    def __init__(self, home: str, places: Mapping[str, str]) -> None:
        self._home, self._places = home, dict(places)

    def __getitem__(self, name: str) -> T:
        module, _, attribute = self._places[name].partition(":")
        return getattr(import_module(f"{self._home}.{module}"), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places


class _Module:
    """A module that is imported when something of it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


# For code that computes with tensors but whose names, units and records are wanted where nothing is computed, as by
# who draws a page.
if TYPE_CHECKING:
    import torch
else:
    torch = _Module("torch")
