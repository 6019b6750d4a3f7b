"""Values as plotly's JSON has them: numbers, text without markup, colours, pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from robustkit.report.palette import channels

_ARRAY = 120  # numbers; more are written as bytes


def plain(text: object) -> str:
    """Text for plotly, which reads some markup: a name is shown as it is.

    Examples:
        >>> plain("a<b>")
        'a&lt;b&gt;'
    """
    return html.escape(str(text), quote=False).replace("\n", "<br>")


def shade(colour: str, alpha: float) -> str:
    """A colour that lets through what lies beneath.

    Examples:
        >>> shade("#0072B2", 0.2)
        'rgba(0, 114, 178, 0.2)'
    """
    red, green, blue = channels(colour)
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def steps(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A stair through points, each value held until the next point."""
    return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]


def gap(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """How far an end of an interval lies from its value; 0 for a missing end."""
    return np.nan_to_num(np.maximum(high - low, 0.0))


def broken(ends: np.ndarray) -> dict[str, Any]:
    """Ends of pieces as one line with gaps."""
    gaps = np.full((len(ends), 3, ends.shape[2]), np.nan)
    gaps[:, :2] = ends
    line = gaps.reshape(-1, ends.shape[2])
    return {letter: array(line[:, d]) for d, letter in zip(range(ends.shape[2]), "xyz", strict=False)}


def array(values: np.ndarray | Sequence[float]) -> Any:
    """Numbers for plotly: a list, or bytes where there are many."""
    array = np.asarray(values, dtype=np.float64)
    if array.size <= _ARRAY:
        return [[_number(x) for x in row] for row in array] if array.ndim == 2 else [_number(x) for x in array]
    coded = {"dtype": "f4", "bdata": base64.b64encode(array.astype("<f4").tobytes()).decode()}
    return coded if array.ndim == 1 else {**coded, "shape": ", ".join(map(str, array.shape))}


def _number(value: float) -> float | None:
    return float(f"{value:.7g}") if np.isfinite(value) else None


def picture(values: np.ndarray) -> str:
    """A picture (H, W, 3), uint8, as a data: link."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="WEBP", lossless=True, method=6)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def domain(place: int, count: int, gap: float) -> list[float]:
    """Both ends of one of so many equal parts of the whole, with gaps between them."""
    size = (1 - gap * (count - 1)) / count
    return [place * (size + gap), place * (size + gap) + size]


def part_of(heights: Sequence[float], row: int, gap: float) -> list[float]:
    """Bottom and top of a row whose height is a share of all of them."""
    each = [one / sum(heights) * (1 - gap * (len(heights) - 1)) for one in heights]
    top = 1 - sum(each[:row]) - gap * row
    return [max(top - each[row], 0.0), top]
