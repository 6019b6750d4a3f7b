"""The blocks of code in the pages that a user reads, and the commands in their sentences."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^\1``` *$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"sh", "bash", "python", "toml", "yaml", "ini", "json", "text"}


@dataclass(frozen=True)
class Block:
    """One block: where it begins, what its fence says, and what is in it."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every page that a user reads, as its path in the repository."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = read(page)
    found = []
    for match in FENCE.finditer(text):
        language, _, rest = match["info"].strip().partition(" ")
        title = re.fullmatch(r'title="([^"]+)"', rest.strip())
        assert bool(title) == bool(rest.strip()), (
            f"{page}: after the language stands title=... or nothing, not {rest!r}"
        )
        line = text.count("\n", 0, match.start()) + 1
        inner = re.sub(rf"^{match[1]}", "", match["text"], flags=re.MULTILINE)
        found.append(Block(page, line, language, title[1] if title else "", inner))
    return found


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", read(page))


def inline(page: str) -> list[str]:
    """What stands between single backticks in the sentences of a page."""
    return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(page))]


def lines(shell: str) -> list[list[str]]:
    """The commands of a shell block, as their words; continued lines are joined and remarks left out."""
    joined = shell.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]
