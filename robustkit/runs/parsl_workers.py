"""Workers of Parsl as an executor."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robustkit.code_gate import say_runs
from robustkit.errors import InputError, first_line
from robustkit.extras import require


@contextmanager
def parsl_workers(path: Path) -> Generator[Executor]:
    """Starts Parsl as a Python file says, which is run.

    Args:
        path: Defines `config`, a `parsl.config.Config`.

    Raises:
        InputError: If the file cannot be run or defines no such thing.
        MissingExtra: If Parsl is not installed.
    """
    config = read_config(path)
    concurrent: Any = require("parsl.concurrent", extra="parsl", purpose="work through Parsl")
    # Parsl starts programs of its own, which lie beside Python also where no virtual environment was activated.
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), before])
    try:
        with concurrent.ParslPoolExecutor(config) as executor:
            yield executor
    finally:
        os.environ["PATH"] = before


def read_config(path: Path) -> Any:
    """The `config` of a Python file, which is run; raises as `parsl_workers` does."""
    parsl: Any = require("parsl", extra="parsl", purpose="work through Parsl")
    if not path.is_file():
        raise InputError(f"expected a Python file with a Parsl config at {path}, but it does not exist")
    say_runs(path.resolve(), "--parsl")
    try:
        config = runpy.run_path(str(path)).get("config")
    except Exception as error:
        raise InputError(f"{path} cannot be run ({type(error).__name__}: {first_line(error)}); mend it") from error
    if not isinstance(config, parsl.Config):
        raise InputError(f"{path} defines no `config`, a parsl.config.Config; see docs/howto/run-on-a-cluster.md")
    return config
