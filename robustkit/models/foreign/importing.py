"""Code that a user names is imported with helper files of its own, whatever else the process has imported."""

from __future__ import annotations

import builtins
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

_numbers = itertools.count(1)


class Home(importlib.abc.MetaPathFinder):
    """The folder beside which a network's code lies, with the modules that were imported from there for it.

    Two networks may each have a `layers.py`. While code of one runs its imports, also later and inside of a
    function, its own modules take the place of others of these names; then the others stand there again.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.modules: dict[str, ModuleType] = {}
        self._local, self._depth = _importable(self.folder), 0
        # Functions take their builtins from their module, so an import inside of one comes here as well.
        self.builtins = {**vars(builtins), "__import__": self._import}

    def import_file(self, path: Path) -> ModuleType:
        """Imports one file of the folder under a name of its own."""
        name = f"robustkit_arch_{path.stem}_{next(_numbers)}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        module.__dict__["__builtins__"] = self.builtins
        sys.modules[name] = module  # dataclasses look themselves up there
        with self.inside():
            spec.loader.exec_module(module)
        return module

    def import_module(self, name: str) -> ModuleType:
        """Imports a module or package, of the folder if it is there."""
        with self.inside():
            return importlib.import_module(name)

    @contextmanager
    def inside(self) -> Generator[None]:
        """The process as it is for this code: its folder first, and its own modules."""
        if self._depth:
            yield
            return
        others = {name: sys.modules.pop(name) for name in list(sys.modules) if self._is_local(name)}
        sys.modules.update(self.modules)
        sys.meta_path.insert(0, self)
        sys.path.insert(0, str(self.folder))
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            sys.path.remove(str(self.folder))
            sys.meta_path.remove(self)
            mine = [name for name in sys.modules if self._is_local(name)]
            self.modules = {name: sys.modules.pop(name) for name in mine}
            sys.modules.update(others)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A module of the folder, whose later imports come here too; `None` for all others."""
        if not self._is_local(fullname):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, [str(self.folder)] if path is None else path)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path, self)
        return spec

    def _is_local(self, name: str) -> bool:
        return name.partition(".")[0] in self._local

    def _import(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if name and not self._is_local(name):  # without a name, it is relative
            return builtins.__import__(name, *args, **kwargs)
        with self.inside():
            return builtins.__import__(name, *args, **kwargs)


def _importable(folder: Path) -> set[str]:
    """Names of the modules and packages in a folder; what everything here is built on is never taken from there."""
    files = {path.stem for path in folder.glob("*.py")}
    packages = {path.name for path in folder.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    return {name for name in files | packages if name.isidentifier()} - {"robustkit", "torch", "numpy"}


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module of a folder so that its own imports look there first."""

    def __init__(self, fullname: str, path: str, home: Home) -> None:
        super().__init__(fullname, path)
        self.home = home

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self.home.builtins
        super().exec_module(module)
