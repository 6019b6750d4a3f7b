"""A classifier that is no file: a function in Python from images to scores, or a network that a module holds."""

from __future__ import annotations

import inspect
from pathlib import Path

from torch import nn

from robustkit.code_gate import place_of, read_code, say_runs
from robustkit.errors import InputError
from robustkit.files import sha256_file
from robustkit.models.blackbox import Calls
from robustkit.models.foreign import kinds
from robustkit.models.foreign.architecture import import_named
from robustkit.models.foreign.found import Found

OPTION = "--model"


def open_function(path: Path) -> Found:
    """Imports what a person named in place of a checkpoint, `path/to/file.py:function` or `package.module:function`.

    Raises:
        InputError: If there is no such function, or its code fails.
    """
    code = read_code(str(path), OPTION)
    say_runs(place_of(code, OPTION), OPTION)
    module, _ = import_named(code.source)
    predict = getattr(module, code.name, None)
    if inspect.isclass(predict):
        raise InputError(
            f"{OPTION} {code} is a class; give the file of its weights with {OPTION} and the class with --arch {code}"
        )
    if not callable(predict):
        functions = [name for name, value in vars(module).items() if inspect.isfunction(value)]
        has = f"it has {', '.join(functions[:10])}" if functions else "it has no function"
        raise InputError(f"{code.source} has no function {code.name!r} from images to scores; {has}")
    file = inspect.getsourcefile(module)
    digest = "" if file is None else sha256_file(Path(file))
    if isinstance(predict, nn.Module):
        return Found(predict, kinds.FUNCTION.name, digest, [f"network: {type(predict).__name__}, from the file"])
    note = f"{code.name} takes arrays (N, C, H, W) of float32 and gives scores (N, K); nothing inside it can be seen"
    return Found(Calls(predict), kinds.FUNCTION.name, digest, [note], black_box=True)
