"""What a command line is refused for before anything heavy is imported: files and folders that are not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustkit.cli.names import TAKES
from robustkit.code_gate import names_function, read_code
from robustkit.errors import InputError
from robustkit.files import check_plain, is_unfinished, refuse_shared, refuse_used
from robustkit.words import guess

if TYPE_CHECKING:
    from robustkit.auditing.request import AuditRequest


def check_early(command: click.Command, given: Mapping[str, Any]) -> None:
    """Looks at every file and folder that a command line names.

    Args:
        command: The command.
        given: The values of its parameters, by name.

    Raises:
        InputError: If one is missing, or is of another kind.
    """
    for one in command.params:
        check = _CHECKS.get(f"{command.name} {one.opts[0]}", _CHECKS.get(one.opts[0]))
        if check is None or one.name is None:
            continue
        value = given.get(one.name)
        several = value if isinstance(value, tuple | list) else () if value in (None, "") else (value,)
        for each in several:
            check(str(each))


def near(path: str | os.PathLike[str]) -> str:
    """A guess at the file that was meant, among those beside it, as the end of a sentence; or nothing."""
    path = Path(path)
    try:
        beside = os.listdir(path.parent)
    except OSError:
        return ""
    found = guess(path.name, beside[:10_000])
    return f"; did you mean {path.parent / found}?" if found else ""


def _model(path: str) -> None:
    from robustkit.models.foreign.kinds import kind_of

    if names_function(path):
        _code(path, "--model")
        return
    if not Path(path).exists():
        raise InputError(f"expected a checkpoint file at {path}, but it does not exist{near(path)}")
    kind_of(Path(path))


def _images(path: str) -> None:
    if not Path(path).exists():
        raise InputError(f"no such file or folder: {path} (expected images){near(path)}")


def _there(what: str) -> Callable[[str], None]:
    def check(path: str) -> None:
        if not Path(path).exists():
            raise InputError(f"expected {what} at {path}, but it does not exist{near(path)}")

    return check


def _file(kind: str) -> Callable[[str], None]:
    def check(path: str) -> None:
        try:
            check_plain(path, kind)
        except InputError as error:
            raise InputError(f"{error}{near(path) if not Path(path).exists() else ''}") from error

    return check


def _code(text: str, option: str = "--arch") -> None:
    file = read_code(text, option).file
    if file is not None and not file.is_file():
        raise InputError(f"{option} {text}: there is no file {file}{near(file)}")


def _folder(what: str, *names: str) -> Callable[[str], None]:
    """Checks that a folder has one of some files."""

    def check(path: str) -> None:
        folder = Path(path)
        if not any((folder / name).is_file() for name in names):
            lack = f"there is no {names[0]} in {path}" if folder.is_dir() else f"there is no folder {path}{near(path)}"
            raise InputError(f"expected {what}, but {lack}")

    return check


def _kept(*marks: str) -> Callable[[str], None]:
    """Checks that a folder is new, or holds one of the files by which a command knows its own folder."""

    def check(path: str) -> None:
        folder = Path(path)
        refuse_shared(folder)
        held = list(folder.iterdir()) if folder.is_dir() else []
        begun = bool(held) and all(one.name == "lock" or is_unfinished(one) for one in held)
        if not begun and not any(one.name in marks for one in held):
            refuse_used(folder)

    return check


def _new_file(option: str) -> Callable[[str], None]:
    def check(path: str) -> None:
        if Path(path).exists():
            raise InputError(f"{path} exists and nothing is overwritten; name another with {option}")

    return check


_OF_AUDIT = _folder("the folder of an audit", "audit.toml")
_OF_RUN = _folder("the folder of a run", "manifest.json")
_AUDIT_FILE = _file("an audit file in TOML")

_CHECKS: dict[str, Callable[[str], None]] = {
    "--model": _model,
    "--members": _model,
    "--base": _model,
    "evaluate --model": _there("a checkpoint, or a folder of them,"),
    "--data": _images,
    "--source": _images,
    "--target": _images,
    "--run": _OF_RUN,
    "--base-run": _OF_RUN,
    "--certificates": _OF_RUN,
    "--base-certificates": _OF_RUN,
    "--card": _file("a model card in TOML"),
    "--arch": _code,
    "--baseline": _file("an audit.json"),
    "--catalogue": _file("a table of the objects"),
    "--parsl": _file("a Python file with a Parsl config"),
    "--pilot": _there("an audit"),
    "audit file": _AUDIT_FILE,
    "plan file": _AUDIT_FILE,
    "report run": _OF_AUDIT,
    "compare audits": _OF_AUDIT,
    "merge folders": _OF_RUN,
    **{f"{name} --out": refuse_used for name in ("compare", "evaluate", "simulate")},
    **{
        f"{name} --out": _kept("manifest.json")
        for name in ("attack", "certify", "sweep", "merge", "window", "isomap", "distances")
    },
    **{
        one: _new_file(one.partition(" ")[2])
        for one in ("repair --out", "export --onnx", "export --torchscript", "inspect --write")
    },
    "audit --out": _kept("robustkit.json", "model"),
    "reproduce --out": _kept("study.json"),
}


def check_request(request: AuditRequest) -> None:
    """Looks at what an audit is asked for, wherever it was written, as at the words of a command line.

    Raises:
        InputError: If a file is missing or a name is not known.
    """
    said = {"--search": request.attack.searches, "--values": (request.attack.values,)}
    if not request.findings:
        said["--require"] = request.fail_under
    for option, names in said.items():
        for name in names:
            TAKES[option].convert(name, None, None)
    for path in filter(None, (request.model, request.base)):
        _model(path)
    if request.data:
        _images(request.data)
    if request.baseline:
        _CHECKS["--baseline"](request.baseline)
    if request.catalogue:
        _CHECKS["--catalogue"](request.catalogue)
