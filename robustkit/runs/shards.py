"""Shards: which units of a run a task of a job array works on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from robustkit.errors import InputError
from robustkit.words import brief


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of a run: every so many of its units.

    Attributes:
        index: Which part, from 1.
        of: How many parts there are.
    """

    index: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `3/64`.

        Raises:
            InputError: If it is no such text, or the part is none of those.

        Examples:
            >>> Shard.parse("3/64").of
            64
        """
        found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
        if found is None:
            raise InputError(f"expected a shard as 3/64, the third of 64, got {brief(text)!r}")
        index, of = int(found[1]), int(found[2])
        if not 1 <= index <= of:
            raise InputError(f"shard {text} does not exist; shards of {of} run from 1/{of} to {of}/{of}")
        return cls(index, of)

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def units(self, total: int) -> range:
        """The units of this shard among all, numbered from 0.

        Raises:
            InputError: If there are fewer units than shards, so that some would be empty.
        """
        if self.of > total:
            raise InputError(
                f"the run has {total} groups of images, too few for {self.of} shards; ask for at most {total}, or for "
                "smaller groups with --group"
            )
        return range(self.index - 1, total, self.of)


def units_of(shard: Shard | str | None, total: int) -> range:
    """The units of a shard, given as it is or as text, or all units without a shard.

    Args:
        shard: A shard such as `3/64`; `None` for the whole run.
        total: How many units the run has.
    """
    if shard is None:
        return range(total)
    return (Shard.parse(shard) if isinstance(shard, str) else shard).units(total)
