"""Turns whatever a library raises on a damaged file into one `InputError` of one sentence."""

from __future__ import annotations

from robustkit.files import reading
from robustkit.words import brief

__all__ = ["brief", "reading"]
