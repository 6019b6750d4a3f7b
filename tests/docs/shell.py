"""Runs the commands of a page: those of robustkit at tiny size, others checked as what they are."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import click

from robustkit.cli import COMMANDS, group
from tests.docs.blocks import ROOT
from tests.docs.world import SIZE, run

# What is put in place of what a command says, so that it takes moments: option -> value.
TINY = {
    "simulate": {"--n": "60", "--size": str(SIZE), "--workers": "1"},
    "train": {"--epochs": "6", "--seeds": "2"},
    "search": {"--epochs": "2", "--trials": "2"},
    "attack": {"--n": "12", "--budget": "60", "--part": "all", "--group": "4"},
    "certify": {"--n": "3", "--conformal": "0.5"},
    "hazard": {"--n": "4", "--events": "2"},
    "sweep": {"--n": "4"},
    "audit": {"--n": "8"},
    "reproduce": {"--scale": "tiny"},
}
# What is said besides.
ALSO = {
    "simulate": ["--size", "--workers"],
    "attack": ["--n", "--budget", "--all", "--part", "--group"],
    "certify": ["--n", "--all"],
    "hazard": ["--n", "--all", "--events"],
    "sweep": ["--n", "--all"],
    "audit": ["--n", "--all", "--quick"],
}
# Options whose command needs machines that are not here, or starts processes that each load PyTorch; it is parsed
# instead.
# Such commands are run by tests/auditing/test_executors.py and test_clusters.py.
ELSEWHERE = {"--dask", "--device", "--parsl", "--workers"}
# Commands that take minutes at any size, and have tests of their own.
LONG = {"reproduce"}
# The build of PyTorch without CUDA, as pytorch.org says it.
TORCH = ["torch", "--index-url", "https://download.pytorch.org/whl/cpu"]
# Programs that are not ours, whose commands cannot be checked beyond their name.
NOT_OURS = {"cd", "git", "python3", "."}


def parse(words: list[str]) -> click.Context:
    """Looks every option of a `robustkit` command up, and runs nothing.

    Raises:
        AssertionError: If there is no such command.
        click.UsageError: If there is no such option, or its value is none.
    """
    name, *rest = words
    assert name in COMMANDS, f"there is no command `robustkit {name}`"
    command = group.get_command(click.Context(group), name)
    assert command is not None
    return command.make_context(name, rest)


def tiny(words: list[str]) -> list[str]:
    """A command at the size of a test."""
    name, *rest = words
    out: list[str] = []
    values = TINY.get(name, {})
    for position, word in enumerate(rest):
        out.append(values.get(rest[position - 1], word) if position else word)
    efforts = {"--quick", "--full"} & set(out)
    for option in ALSO.get(name, []):
        if option not in out and not (option == "--quick" and efforts):
            out += [option, values[option]] if option in values else [option]
    return [name, *out]


class Shell:
    """The folder of a reader, and what was said there.

    Attributes:
        folder: Where commands run; the current folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: dict[str, Callable[[list[str]], str]] = {
            "robustkit": self.robustkit,
            "make": self.make,
            "pip": self.pip,
            "sh": self.script,
            "python": self.python,
            "dask": self.dask,
            "torchrun": self.torchrun,
            "cp": self.copy,
        }

    def run(self, words: list[str]) -> str:
        """Runs or checks one command line, and returns what it said."""
        while re.match(r"[A-Z_]+=", words[0]):  # a variable for this one command
            words = words[1:]
        program, *rest = words
        if program in self.programs:
            return self.programs[program](rest)
        assert program in NOT_OURS, f"nothing here knows how to check the program {program!r}"
        return ""

    def robustkit(self, words: list[str]) -> str:
        """Runs a command of ours; its globs are those of a shell."""
        words = [name for word in words for name in (sorted(glob.glob(word)) if "*" in word else [word])]
        parse(words)
        if ELSEWHERE & set(words) or words[0] in LONG:
            return ""
        words = tiny(words)
        if "--out" in words and (out := Path(words[words.index("--out") + 1])).is_symlink():
            out.unlink()  # what the world gave makes way for what the page makes of the same name
        return run(*words, gated=words[0] in ("audit", "report"))  # gates may also stand in an audit.toml

    def copy(self, words: list[str]) -> str:
        """Copies a folder."""
        assert words[0] == "-r"
        shutil.copytree(words[1], words[2])
        return ""

    def make(self, words: list[str]) -> str:
        """Each target is one of the Makefile."""
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words) <= set(targets), f"the Makefile has no target {words}"
        return ""

    def pip(self, words: list[str]) -> str:
        """Each extra that is installed is one of ours; PyTorch may come first."""
        assert words[0] == "install"
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        if words[1:] == TORCH:
            return ""
        for word in words[1:]:
            name, _, extras = word.partition("[")
            assert name in ("robustkit", ".", "-e", "--editable"), f"{word!r} is not installed by any page"
            assert set(filter(None, extras.rstrip("]").split(","))) <= set(known), f"unknown extra in {word!r}"
        return ""

    def script(self, words: list[str]) -> str:
        """A script of the repository: what it would run is run."""
        path = ROOT / words[0] if (ROOT / words[0]).exists() else ROOT / "examples" / "06_ci_gate" / words[0]
        environment = os.environ | {"ROBUSTKIT": "printf %s\\n robustkit"}
        said = subprocess.run(
            ["sh", str(path), *words[1:]], env=environment, capture_output=True, text=True, check=True
        )
        program, *rest = said.stdout.splitlines()
        assert program == "robustkit"
        return self.robustkit(rest)

    def python(self, words: list[str]) -> str:
        """A script or module of the repository exists, and knows its options; scripts have tests of their own."""
        path = ROOT / (words[1].replace(".", "/") + ".py" if words[0] == "-m" else words[0])
        assert path.is_file(), f"there is no {path}"
        source = path.read_text()
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option}"' in source, f"{path.name} knows no option {option}"
        return ""

    def torchrun(self, words: list[str]) -> str:
        """What it starts is a command of ours; tests/training/test_processes.py runs one."""
        assert words[words.index("-m") + 1] == "robustkit"
        parse(words[words.index("-m") + 2 :])
        return ""

    def dask(self, words: list[str]) -> str:
        """The commands of Dask know their options, where it is installed."""
        try:
            from distributed.cli import dask_scheduler, dask_worker
        except ImportError:
            return ""
        command = {"scheduler": dask_scheduler, "worker": dask_worker}[words[0]].main
        command.make_context(words[0], words[1:])
        return ""
