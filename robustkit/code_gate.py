"""The one gate for code: what names code, who said it, and the only place that imports on someone's word.

A person on a command line, or in Python, may name any code. A file may name only what robustkit and a fixed list of
installed packages provide, and nothing is imported on its behalf. SECURITY.md has the table.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import re
import sys
from collections.abc import Collection, Container, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from robustkit.errors import InputError, RobustkitError, SecurityError
from robustkit.words import brief, no_such, shown

# Packages whose networks are chosen by a plain name, from a table of their own: a file may name those too.
LIBRARIES = ("robustkit", "timm", "torchvision", "zoobot")
_IN_LIBRARY = re.compile(rf"({'|'.join(LIBRARIES)}):([A-Za-z0-9_.]+)", re.ASCII)
_IN_FILE = re.compile(r"([^\x00-\x1f]+\.py):([^\W\d]\w*)")
_IN_MODULE = re.compile(r"((?:[^\W\d]\w*\.)*[^\W\d]\w*):([^\W\d]\w*)")

_said: set[str] = set()
# The file whose word is being followed, and what a person named beside it; `None` where a person alone speaks.
_word: ContextVar[tuple[object, frozenset[str]] | None] = ContextVar("word", default=None)


@dataclass(frozen=True)
class Code:
    """What a text names.

    Attributes:
        source: A name in `LIBRARIES`, the path of a Python file, or a module.
        name: What is taken from there.
        kind: `library`, `file` or `module`.
    """

    source: str
    name: str
    kind: str

    @property
    def file(self) -> Path | None:
        """The file, where it is one."""
        return Path(self.source) if self.kind == "file" else None

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"


def read_code(text: str, option: str) -> Code:
    """What `library:name`, `path/to/file.py:Class` or `package.module:factory` names; nothing is imported.

    Args:
        text: The text, which must be one of these from its first character to its last.
        option: With which a person says it, for the message.

    Raises:
        InputError: If it is none of them.

    Examples:
        >>> read_code("timm:resnet18", "--arch").kind, read_code("a/timm:net.py:Net", "--arch").source
        ('library', 'a/timm:net.py')
    """
    if found := _IN_LIBRARY.fullmatch(text):
        return Code(found[1], found[2], "library")
    if text.partition(":")[0] in LIBRARIES:
        raise InputError(
            f"expected a plain name of a model after {text.partition(':')[0]}:, got {brief(text)!r}; nothing is "
            "downloaded"
        )
    for kind, pattern in (("file", _IN_FILE), ("module", _IN_MODULE)):
        if found := pattern.fullmatch(text):
            return Code(found[1], found[2], kind)
    raise InputError(
        f"expected {option} as path/to/file.py:Class, package.module:factory or robustkit:ConvNet, got {brief(text)!r}"
    )


def refuse_code(text: object, *, file: object, option: str, provided: Container[str] = ()) -> None:
    """Refuses what a file says unless it names only what robustkit or a package of the fixed list provides.

    Args:
        text: What the file says.
        file: Where it says it, for the message.
        option: With which a person says it.
        provided: Names of robustkit's own that may stand there too.

    Raises:
        SecurityError: If it names anything else.
    """
    if isinstance(text, str) and (text in provided or _IN_LIBRARY.fullmatch(text)):
        return
    said = brief(text)
    raise SecurityError(
        f"{file} names code to run, {said}, and a file never chooses code; read that code, and if you trust it, name "
        f"it yourself with {option}"
    )


def code_from_root(text: str) -> str:
    """A name of code, with options after a comma or without, with its file from the root; any other text as it is."""
    return os.path.abspath(text) if _IN_FILE.fullmatch(text.partition(",")[0]) else text


def names_function(model: str | os.PathLike[str]) -> bool:
    """Whether a model is no file, but code that a person names: `path/to/file.py:function` or `package.module:name`."""
    text = os.fspath(model)
    if ":" not in os.path.basename(text) or os.path.exists(text):
        return False
    try:
        return read_code(text, "--model").kind != "library"
    except InputError:
        return False


def refuse_function_of_file(model: object, *, file: object, option: str = "--model") -> None:
    """Refuses a model that a file names where it is code and no checkpoint.

    Raises:
        SecurityError: If it is.
    """
    if isinstance(model, str) and names_function(model):
        refuse_code(model, file=file, option=option)


def refuse_names(
    names: Sequence[object], known: Collection[str], *, what: str, own: str, file: object, option: str,
    allowed: Sequence[str] = (),
) -> None:  # fmt: skip
    """Refuses plug-ins that a file names unless they are robustkit's own, or a person named them too.

    Args:
        names: What the file says; options may follow a comma.
        known: Names of robustkit's own.
        what: What they name, such as `search`.
        own: How a person names one of his own.
        file: Where it says it, for the message.
        option: With which a person says it.
        allowed: What the person named, with options or without.

    Raises:
        InputError: If one is a misspelt name.
        SecurityError: If one is neither.
    """
    mine = {name.partition(",")[0] for name in allowed}
    for name in names:
        kind = name.partition(",")[0] if isinstance(name, str) else name
        if isinstance(kind, str) and ":" not in kind and kind not in {*known, *mine}:
            raise InputError(f"{file}: {no_such(what, kind, known, more=own)}")
        refuse_code(kind, file=file, option=f"{option} {brief(kind)}", provided={*known, *mine})


@contextmanager
def word_of_file(file: object, named: Iterable[str] = ()) -> Generator[None]:
    """While the block runs, code is imported only where a person named it too; the rest is the word of a file.

    For what rebuilds a request, or opens a model again, from what a file tells: whichever of its fields names code,
    and whatever reads that field, ends at `place_of`.

    Args:
        file: Where it is told, for the message.
        named: What the person named; options may follow a comma, and parts of a front end stand between plus signs.
    """
    mine = {part for text in named for part in (text, text.partition(",")[0], *text.split("+"))}
    token = _word.set((file, frozenset(map(_from_root, mine))))
    try:
        yield
    finally:
        _word.reset(token)


def _from_root(text: str) -> str:
    """A text that names code, with the path of its file from the root: the same file may be said in two ways."""
    found = _IN_FILE.fullmatch(text)
    return f"{os.path.abspath(found[1])}:{found[2]}" if found else text


def import_code(code: Code, option: str) -> ModuleType:
    """Imports what a person named, and says so on standard error before anything of it runs.

    Args:
        code: A file or a module; libraries are not imported by this way.
        option: With which it was named.

    Raises:
        InputError: If it is not there, or cannot be imported.
    """
    assert code.kind in ("file", "module")
    path = Path(code.source)
    with _found_first(str(path.parent.resolve()) if code.kind == "file" else os.getcwd()):
        try:
            say_runs(place_of(code, option), option)
            return _from_file(path) if code.kind == "file" else importlib.import_module(code.source)
        except RobustkitError:
            raise
        except (Exception, SystemExit) as error:  # the user's own code
            raise InputError(
                f"{code.source} cannot be imported ({type(error).__name__}: {brief(error)}); install what it needs, "
                "and put code that runs by itself under if __name__ == '__main__'"
            ) from error


def import_named(text: str, option: str) -> Any:
    """What a person named as `path/to/file.py:Class` or `package.module:Class`, imported.

    Args:
        text: What was named.
        option: With which it was named.

    Raises:
        InputError: If it is not named so, is not there, or cannot be imported.
    """
    code = read_code(text, option)
    if code.kind == "library":
        raise InputError(f"{option} takes your own code as path/to/file.py:Class or package.module:Class, got {text!r}")
    try:
        return getattr(import_code(code, option), code.name)
    except AttributeError:
        raise InputError(f"{code.source} has no {code.name}; name a class of it with {option}") from None


def look_away() -> None:
    """Makes this process, and those that it starts, look for no code and no settings in the folder that one stands in.

    For the command line: whoever works in Python has that folder on the path anyway. A worker process is a `python -c`,
    which looks for all of Python's own modules there first. Matplotlib and numba read a file of settings there, with
    which one names the classes, and the folder of pickles, that are loaded.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    if not any(isinstance(one, _Elsewhere) for one in sys.meta_path):
        sys.meta_path.insert(0, _Elsewhere())


class _Elsewhere(importlib.abc.MetaPathFinder):
    """Stands in the root folder while a library is imported that reads its settings where one stands."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Finds the library as ever, with a loader that goes elsewhere first."""
        if fullname not in ("matplotlib", "numba"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            plain = spec.loader.exec_module

            def apart(module: ModuleType) -> None:
                with _standing_in(os.sep):
                    plain(module)
                if fullname == "numba":  # which reads them again whenever it compiles
                    sys.modules["numba.core.config"].__dict__["_config_fname"] = os.devnull

            spec.loader.exec_module = apart
        return spec


@contextmanager
def _standing_in(folder: str) -> Generator[None]:
    try:
        here = os.open(os.curdir, os.O_RDONLY)
    except OSError:  # it is gone, or may not be read; then nothing in it is read either
        yield
        return
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(here)
        os.close(here)


def say_runs(what: object, option: str) -> None:
    """Says on standard error which code is about to run because a person named it; once, and not in workers."""
    line = f"robustkit: running {shown(what)}, as {option} says"
    if line not in _said and multiprocessing.parent_process() is None:
        _said.add(line)
        print(line, file=sys.stderr, flush=True)


def place_of(code: Code, option: str) -> str:
    """Where code that is about to run lies, for `say_runs`; of a package its root, as looking further would run it.

    Raises:
        InputError: If it is nowhere.
        SecurityError: If a file alone named it; see `word_of_file`.
    """
    if (word := _word.get()) is not None and _from_root(str(code)) not in word[1]:
        refuse_code(str(code), file=word[0], option=f"{option} {brief(code)}")
    if code.kind == "file":
        if not Path(code.source).is_file():
            raise InputError(f"there is no file {code.source}; name the file that holds {code.name} with {option}")
        return f"{code.name} of {Path(code.source).resolve()}"
    top = code.source.partition(".")[0]
    known = sys.modules.get(top)
    with _found_first(os.getcwd()):
        spec = importlib.util.find_spec(top) if known is None else known.__spec__
    if spec is None and known is None:
        raise InputError(f"there is no module {top} in this folder or where Python looks; install it")
    origin = None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or ()), None)
    return f"{code} from {origin or 'this interpreter'}"


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"robustkit_arch_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@contextmanager
def _found_first(folder: str) -> Generator[None]:
    """Such code imports its neighbours; nothing else of robustkit imports from there."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
