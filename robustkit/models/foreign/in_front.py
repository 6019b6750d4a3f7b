"""Which front end is put before a network: what the file says, what the user says, and what happens if both do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from robustkit.errors import InputError
from robustkit.models.fronts.base import FrontEnd
from robustkit.models.fronts.registry import front_from_json, make_front, split_names

# What is said of a front end: its name, or its name and constants.
Said = str | dict[str, Any]


def choose_front(
    asked: Said | None, found: Said | None, *, file: object, shape: Sequence[int] | None
) -> tuple[dict[str, Any], FrontEnd] | None:
    """The front end as JSON values and as it runs; `None` for none.

    Args:
        asked: What the user said with `--front`.
        found: What the file or its card says.
        file: Where that is, for messages.
        shape: (C, H, W) of the images, where it is known.

    Raises:
        InputError: If the two differ, the name is not known, or the images are too small.
        SecurityError: If the file names code that the user did not name.
    """
    mine, its = (None if said is None else _as_json(said) for said in (asked, found))
    if mine is None and its is None:
        return None
    if mine is not None and its is not None and _without_folders(mine["name"]) != _without_folders(its["name"]):
        raise InputError(
            f"{file} has the front end {its['name']!r} and --front says {mine['name']!r}; leave --front out, or put "
            "another before it with `robustkit repair`"
        )
    if its is not None:
        # Where the file of its code lies is the word of the person: it may have been written in another folder.
        named = None if mine is None else mine["name"]
        front = front_from_json({**its, "name": named or its["name"]}, file=file, named=named)
    else:
        assert mine is not None
        front, its = make_front(mine["name"], mine.get("constants")), mine
    if shape is not None:
        front.check(shape)
    return {"name": its["name"], "constants": its.get("constants") or {}}, front


def _without_folders(name: str) -> list[str]:
    """The parts of a name of a front end, code in files by the names of the files alone."""
    return [part if ".py:" not in part else os.path.basename(part) for part in split_names(name)]


def _as_json(said: Said) -> dict[str, Any]:
    return {"name": said} if isinstance(said, str) else dict(said)
