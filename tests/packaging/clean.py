"""An environment that holds what a wheel asks for and nothing else, made in seconds.

Installing torch again takes a minute, so what the wheel declares is linked from the environment of the tests, by
following the requirements of its metadata. pip then installs the wheel with no index: it fails where a requirement is
not met.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and a folder outside of any checkout to run it in."""

    folder: Path
    home: Path

    def run(self, command: str, *arguments: object, status: int = 0) -> str:
        """Runs a program of the environment and returns what it said."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ROBUSTKIT"))}
        done = subprocess.run(
            [self.folder / "bin" / command, *map(str, arguments)],
            cwd=self.home,
            env=clean,
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, f"{command} {arguments} gave {done.returncode}:\n{said}"
        return said


def make_environment(folder: Path, wheel: Path) -> Environment:
    """Makes an environment with a wheel and what it requires.

    Args:
        folder: An empty folder.
        wheel: The wheel; its requirements must be installed where this runs.
    """
    # pip of this Python installs into the other, which needs none of its own.
    venv.create(folder / "environment", with_pip=False, symlinks=True)
    environment = Environment(folder / "environment", folder / "home")
    environment.home.mkdir()
    there = next((environment.folder / "lib").glob("python*/site-packages"))
    for name in _required(wheel):
        distribution = importlib.metadata.distribution(name)
        # Two distributions can share a folder, as those of a namespace do; `..` leads to their programs.
        for entry in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (there / entry).exists():
                (there / entry).symlink_to(str(distribution.locate_file(entry)))
    pip = [sys.executable, "-m", "pip", "--python", str(environment.folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", "--no-index", str(wheel)], check=True)
    return environment


def _required(wheel: Path) -> set[str]:
    """The distributions that a wheel needs where no extra is asked for, and those that they need."""
    found: set[str] = set()
    (metadata,) = importlib.metadata.distributions(path=[str(wheel)])
    waiting = list(metadata.requires or ())
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += importlib.metadata.requires(name) or ()
    return found
