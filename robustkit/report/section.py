"""What a report is made of: sections with their numbers, chapters that group them, checks that stand above all."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from robustkit.report.blocks import Drawing
from robustkit.stats import Decision
from robustkit.tables import Writer

Status = Literal["pass", "warn", "fail", "not run"]


@dataclass(frozen=True)
class Cell:
    """A cell of a table that shows more than its text.

    Attributes:
        text: What it says.
        link: Where it leads; empty for nowhere.
        about: What the link is of, for those who do not see the row.
        image: The image whose small picture stands before the text; -1 for none.
    """

    text: str
    link: str = ""
    about: str = ""
    image: int = -1

    def __str__(self) -> str:
        return self.text

    @property
    def plain(self) -> str:
        """What a program reads: the address, or the text."""
        return self.link or self.text


@dataclass(frozen=True)
class Table:
    """Numbers in rows, as they are read out and downloaded.

    Attributes:
        columns: Their headings.
        rows: Cells as text or numbers, or as `Cell`.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def csv(self) -> str:
        """The table as CSV."""
        text = io.StringIO()
        writer = Writer(text)
        writer.writerow(self.columns)
        writer.writerows([one.plain if isinstance(one, Cell) else one for one in row] for row in self.rows)
        return text.getvalue()


_END = re.compile(r"(?:(?<=[\w)\]]{2}[.])|(?<=%[.]))\s+")


def message_of(text: str) -> tuple[str, str]:
    """The first sentence of a caption, and the rest.

    Examples:
        >>> message_of("At 0.1 it loses 5 points. Bars are intervals. So.")
        ('At 0.1 it loses 5 points.', 'Bars are intervals. So.')
        >>> message_of("Right: 87 %. e.g. so.")
        ('Right: 87 %.', 'e.g. so.')
    """
    first, *rest = _END.split(text, maxsplit=1)
    return first, "".join(rest)


class Section(Protocol):
    """One finding: its numbers first, then one drawing of the same numbers, which two painters paint.

    Attributes:
        name: Of its files and its place in the page, unique there; lower case letters, digits and hyphens.
        title: Its heading.
    """

    @property
    def name(self) -> str:
        """Of its files and its place in the page."""
        ...

    @property
    def title(self) -> str:
        """Its heading."""
        ...

    def summary(self) -> str:
        """What is to be seen, with the numbers: the message first, in a sentence; what follows says how to read it."""
        ...

    def table(self) -> Table:
        """The numbers."""
        ...

    def drawing(self) -> Drawing | None:
        """What is painted for the screen and for print; `None` when the table is all there is."""
        ...


@dataclass(frozen=True)
class Chapter:
    """Sections that answer one question.

    Attributes:
        name: Its place in the page; lower case letters, digits and hyphens.
        title: Its heading.
        text: Paragraphs beneath the heading.
        sections: Its sections.
        missing: Why there is nothing to see and how to get it; empty when nothing is missing.
        folded: Names of sections that stay closed until the reader opens them.
    """

    name: str
    title: str
    text: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    missing: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()

    def joined(self, other: Chapter) -> Chapter:
        """This chapter with what another finding has to say in it."""
        joined = {one: getattr(self, one) + getattr(other, one) for one in ("text", "sections", "missing", "folded")}
        return Chapter(self.name, self.title, **joined)


@dataclass(frozen=True)
class Answer:
    """What a page says first.

    Attributes:
        status: The status that gives the box its colour.
        word: The answer in a word or three.
        counts: How many lines of the verdict passed, failed or stayed open.
        sentences: What stands behind it, each a message with its numbers.
        rule: How the word is made.
    """

    status: Status
    word: str
    counts: str
    sentences: tuple[str, ...]
    rule: str


@dataclass(frozen=True)
class Check:
    """One line of the verdict.

    Attributes:
        name: Its name in `audit.json` and the JUnit file.
        claim: What is claimed, in words.
        measured: The number with its interval, as text.
        threshold: What it is held against, as text.
        status: Whether the claim holds: `warn` where the interval lies on both sides.
        evidence: The section to look at, or its chapter.
        advice: What to do where it does not hold; empty where it does.
        word: What is written instead of the status.
        decision: Its numbers; `None` where nothing was decided by numbers.
        available: How many images there are to decide it with.
        lost: Perturbations under which accuracy is lost for certain.
        gained: Perturbations under which it is gained for certain.
        number: The number with its interval alone, as text; empty for a claim without a number.
    """

    name: str
    claim: str
    measured: str
    threshold: str
    status: Status
    evidence: str
    advice: str = ""
    word: str = ""
    decision: Decision | None = None
    available: int = 0
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    number: str = ""

    def spare(self, end: Literal["value", "low", "high"] = "value") -> float:
        """By how much the number holds, in points: above 0 on the side of its margin where the claim is true."""
        one = self.decision
        if one is None:
            return float("nan")
        if not one.most:
            return 100 * (getattr(one, end) - one.margin)
        return 100 * (one.margin - getattr(one, {"value": "value", "low": "high", "high": "low"}[end]))
