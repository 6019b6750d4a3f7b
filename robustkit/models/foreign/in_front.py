"""Which front end is put before a network: what the file says, what the user says, and what happens if both do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robustkit.errors import InputError
from robustkit.models.fronts.base import FrontEnd
from robustkit.models.fronts.registry import front_from_json, make_front

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
    if mine is not None and its is not None and mine["name"] != its["name"]:
        raise InputError(
            f"{file} has the front end {its['name']!r} and --front says {mine['name']!r}; leave --front out, or put "
            "another before it with `robustkit repair`"
        )
    if its is not None:
        front = front_from_json(its, file=file, named=None if mine is None else mine["name"])
    else:
        assert mine is not None
        front, its = make_front(mine["name"], mine.get("constants")), mine
    if shape is not None:
        front.check(shape)
    return {"name": its["name"], "constants": its.get("constants") or {}}, front


def _as_json(said: Said) -> dict[str, Any]:
    return {"name": said} if isinstance(said, str) else dict(said)
