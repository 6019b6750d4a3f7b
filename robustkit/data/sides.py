"""Which images train and which are adapted to: what may be named together, said before anything heavy is imported."""

from __future__ import annotations

from robustkit.errors import InputError


def check_sides(data: object, source: object, target: object) -> None:
    """Refuses names that do not say one source.

    Raises:
        InputError: If both `data` and `source` are given, or neither, or `data` with a target.
    """
    if (data is None) == (source is None) or (data is not None and target is not None):
        raise InputError("expected either --data, or --source with or without --target")
