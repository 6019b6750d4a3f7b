"""Runs or checks a block of a page by what it is: commands, Python, a file of its own, or what a command printed."""

from __future__ import annotations

import ast
import difflib
import json
import re
import runpy
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

from robustkit.auditing.request import read_request
from robustkit.models.foreign.options import read_card
from tests.docs.blocks import LANGUAGES, Block, lines
from tests.docs.shell import Shell, parse

OUTPUT = "output"  # the title of what a command printed


class Reader:
    """Someone who follows a page from its first block to its last, in one folder and one Python session.

    Attributes:
        shell: Runs the commands.
        names: What the Python blocks of the page have defined.
        said: What the last block of commands printed.
    """

    def __init__(self, shell: Shell, capture: Any) -> None:
        self.shell = shell
        self.capture = capture
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.said = ""

    def follow(self, block: Block) -> None:
        """Does what the block says. A block of no kind that is known here fails."""
        assert block.language in LANGUAGES, f"{block}: say what the block is; known are {', '.join(sorted(LANGUAGES))}"
        if block.title and block.title != OUTPUT:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.text)
        getattr(self, block.language)(block)

    def sh(self, block: Block) -> None:
        """Each command line is run, or looked up where it needs a machine that is not here."""
        self.said = "".join(self.shell.run(words) for words in lines(block.text))

    def bash(self, block: Block) -> None:
        """A script for another machine: its syntax, and every command of ours in it."""
        assert block.title, f"{block}: a script needs title=..., so that a reader knows its name"
        subprocess.run(["bash", "-n", block.title], check=True)
        plain = re.sub(r"\$\{?\w+\}?", "1", block.text)
        found = [words[words.index("robustkit") + 1 :] for words in lines(plain) if "robustkit" in words]
        assert found, f"{block} runs nothing of ours"
        for words in found:
            parse(words)

    def ini(self, block: Block) -> None:
        """A submit file of HTCondor: its arguments are a command of ours."""
        (arguments,) = re.findall(r"^arguments\s*=\s*(.*)$", block.text, re.MULTILINE)
        parse(re.sub(r"\$(INT)?\(\w+\)", "1", arguments).split())

    def python(self, block: Block) -> None:
        """It is run; a file of its own is run as one where everything that it imports is installed."""
        code = compile(tiny_python(block.text), str(block), "exec")
        if not block.title:
            with mock.patch("concurrent.futures.ProcessPoolExecutor", lambda count, context: ThreadPoolExecutor(count)):
                exec(code, self.names)
        elif all(find_spec(name) for name in imported(block.text)):
            said = runpy.run_path(block.title)
            assert said["__file__"] == block.title

    def toml(self, block: Block) -> None:
        """An audit or a model card, by the reader that a command uses."""
        assert block.title.endswith(".toml"), f"{block}: a TOML block needs title=..., ending in .toml"
        if block.title.endswith("audit.toml"):
            read_request(block.title)
        elif block.title.endswith("pyproject.toml"):
            tomllib.loads(block.text)
        else:
            read_card(Path(block.title), named=True)

    def yaml(self, block: Block) -> None:
        """A workflow: it is YAML, and every command of ours in it is known."""
        import yaml

        found = [words for words in _scripts(yaml.safe_load(block.text)) if words[0] == "robustkit"]
        assert found, f"{block} runs nothing of ours"
        for words in found:
            parse(words[1:])

    def json(self, block: Block) -> None:
        """It is JSON."""
        json.loads(block.text)

    def text(self, block: Block) -> None:
        """What a command printed looks like what it prints now; a drawing in letters holds no command."""
        if block.title == OUTPUT:
            missing = unlike(block.text, self.said + self.capture())
            assert not missing, f"{block}: nothing like this was printed: {missing}"
        else:
            commands = [
                line for line in block.text.splitlines() if re.match(r"\s*(\$|robustkit|pip|make|python) ", line)
            ]
            assert not commands, f"{block}: {commands[0]!r} is a command; write it in a block of sh"


def imported(code: str) -> set[str]:
    """The packages that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def tiny_python(code: str) -> str:
    """Code of a page at the size of a test."""
    code = re.sub(r"AttackRequest\(n=\d+", "AttackRequest(n=6, take_all=True, budget=60, group=2", code)
    code = re.sub(
        r"rk\.attack\(\"(\S+)\", n=\d+, budget=\d+", r'rk.attack("\1", n=6, take_all=True, budget=60, group=2', code
    )
    return re.sub(r"epochs=\d+", "epochs=3", code)


def unlike(shown: str, said: str) -> list[str]:
    """The lines of a page that no line of an output resembles, numbers apart; `...` stands for what was left out."""
    printed = [_shape(line) for line in said.splitlines()]
    wanted = [line for line in shown.splitlines() if line.strip(" .")]
    return [line for line in wanted if not difflib.get_close_matches(_shape(line), printed, n=1, cutoff=0.7)]


def _shape(line: str) -> str:
    """A line whose numbers, and the spaces that align them, say no more than that they are there."""
    return " ".join(re.sub(r"[-+]?\d[\d,.]*(e[-+]?\d+)?", "#", line).split())


def _scripts(value: Any) -> list[list[str]]:
    """The command lines in a workflow, wherever they stand."""
    if isinstance(value, dict):
        return [words for one in value.values() for words in _scripts(one)]
    if isinstance(value, list):
        return [words for one in value for words in _scripts(one)]
    return lines(value) if isinstance(value, str) else []
