"""The one writer of CSV: a cell of text is never a formula of a spreadsheet, and never obeyed by a terminal."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from robustkit.words import shown

# Spreadsheets take what begins like this for a formula, some of them after spaces; numbers may begin with a sign.
_FORMULA = re.compile(r"[\s\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)|-")


def cell(value: Any) -> Any:
    """A value as a cell: of text that begins like a formula, after a `'`, by which spreadsheets take it for text.

    Examples:
        >>> cell("=1+1"), cell("-0.5"), cell("-spiral"), cell(-2)
        ("'=1+1", '-0.5', "'-spiral", -2)
    """
    if not isinstance(value, str):
        return value
    text = shown(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}  # fmt: skip


def latex(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    r"""A table for a paper, to be read with `\input`; it needs the package booktabs.

    Args:
        columns: Headings.
        rows: Cells; a column of numbers is set to the right.

    Examples:
        >>> print(latex(["class", "n"], [["a_b & c", 3]]))
        \begin{tabular}{lr}
        \toprule
        class & n \\
        \midrule
        a\_b \& c & 3 \\
        \bottomrule
        \end{tabular}
    """
    places = range(len(columns))
    right = [bool(rows) and all(_NUMBER.fullmatch(str(row[place]).strip()) for row in rows) for place in places]
    lines = [" & ".join(_tex(value) for value in row) + r" \\" for row in (columns, *rows)]
    begin = f"\\begin{{tabular}}{{{''.join('r' if one else 'l' for one in right)}}}"
    return "\n".join([begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}"])


def _tex(value: Any) -> str:
    return "".join(_TEX.get(letter, letter) for letter in " ".join(shown(value).split()))


class Writer:
    r"""Writes lines of cells as CSV with `\n` at their ends.

    Args:
        file: Where they go; opened without translation of line ends.
    """

    def __init__(self, file: TextIO) -> None:
        self._csv = csv.writer(file, lineterminator="\n")

    def writerow(self, cells: Iterable[Any]) -> None:
        """Writes one line."""
        self._csv.writerow([cell(value) for value in cells])

    def writerows(self, lines: Iterable[Iterable[Any]]) -> None:
        """Writes several lines."""
        for line in lines:
            self.writerow(line)


class NamedWriter(Writer):
    """The same for lines whose cells have names; what a line lacks is empty.

    Args:
        file: Where they go.
        columns: The names, in their order.
    """

    def __init__(self, file: TextIO, columns: Sequence[str]) -> None:
        super().__init__(file)
        self._columns = columns

    def writeheader(self) -> None:
        """Writes the names."""
        super().writerow(self._columns)

    def writerow(self, cells: Mapping[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Writes one line."""
        super().writerow([cells.get(name, "") for name in self._columns])


def digits(value: Any) -> str:
    """A number as a cell, with the nine digits that single precision keeps; empty for nan.

    Examples:
        >>> digits(1 / 3), digits(float("nan"))
        ('0.333333333', '')
    """
    number = float(value)
    return "" if math.isnan(number) else f"{number:.9g}"
