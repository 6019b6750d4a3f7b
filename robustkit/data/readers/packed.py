"""Values that an array's attributes say to scale or to leave out: `scale_factor`, `add_offset` and fill values.

Source: CF Metadata Conventions 1.11, sections 2.5.1 (missing data) and 8.1 (packed data).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustkit.errors import InputError

FILLS = ("_FillValue", "missing_value")
ATTRIBUTES = (*FILLS, "scale_factor", "add_offset")


@dataclass(frozen=True)
class Packing:
    """How stored values become values.

    Attributes:
        undefined: Stored values that stand for a pixel without a value.
        scale: What a stored value is multiplied by, before `offset` is added.
        offset: What is added.
    """

    undefined: tuple[float, ...] = ()
    scale: float = 1.0
    offset: float = 0.0

    def unpack(self, stored: np.ndarray) -> np.ndarray:
        """The values, of the same shape, float64 where they are scaled; undefined ones are NaN."""
        values = stored
        if (self.scale, self.offset) != (1, 0):
            values = stored.astype(np.float64) * self.scale + self.offset
        # A fill value is of the type of the data, so 1e20 means the float32 next to it.
        fills = np.array(self.undefined).astype(stored.dtype if stored.dtype.kind == "f" else np.float64)
        hole = np.isin(stored, fills) if len(fills) else np.zeros(1, dtype=bool)
        return np.where(hole, np.nan, values) if hole.any() else values


def packing_of(attributes: Mapping[str, Any], name: str, notes: list[str]) -> Packing:
    """What the attributes of an array of images say about its values.

    Args:
        attributes: Those of `ATTRIBUTES` that it has.
        name: What to call the array in a note or an error.
        notes: Receives what will be done.

    Raises:
        InputError: If one of them is no number, or the scale is 0.
    """
    numbers = {key: _numbers(attributes[key], key, name) for key in ATTRIBUTES if key in attributes}
    undefined = {number for key in FILLS for number in numbers.get(key, []) if not np.isnan(number)}
    scale, offset = (numbers.get(key, [usual]) for key, usual in (("scale_factor", 1.0), ("add_offset", 0.0)))
    if not (len(scale) == len(offset) == 1 and np.isfinite([*scale, *offset]).all() and scale[0] != 0):
        raise InputError(
            f"{name} has scale_factor {scale} and add_offset {offset}; expected one finite number each, and a scale "
            "that is not 0"
        )
    if undefined:
        shown = ", ".join(f"{number:g}" for number in sorted(undefined))
        notes.append(f"values: {shown} stands for an undefined pixel, as an attribute of {name} says, and became NaN")
    if (scale[0], offset[0]) != (1, 0):
        notes.append(f"values: times {scale[0]:g} plus {offset[0]:g}, as the attributes of {name} say")
    return Packing(tuple(sorted(undefined)), scale[0], offset[0])


def _numbers(value: Any, key: str, name: str) -> list[float]:
    try:
        if key in FILLS and isinstance(value, str) and len(value) == 12:  # 8 bytes in base64, as xarray writes to Zarr
            value = struct.unpack("<d", base64.b64decode(value, validate=True))
        return np.asarray(value, dtype=np.float64).ravel().tolist()
    except (TypeError, ValueError, struct.error) as error:
        raise InputError(f"{name} has the attribute {key} {str(value)[:40]!r}; expected a number") from error
