"""What the walk along a line reads: the table of layers, the window of a line; and the spans that it leaves."""
# Numba infers the types.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import os
from typing import Any

import numpy as np

from robustkit.extras import require

numba: Any = require("numba", extra="fast", purpose="follow a pixel through every value")

# Columns of the table of layers.
KIND, TALL, WIDE, PAD_Y, PAD_X, BEFORE, CHANNELS, POOL_Y, POOL_X, MAP_X, OUT_Y, OUT_X = range(12)
WEIGHT, CLEAN, KNOTS, PIECES, POSITIONS, UNITS, CONVEX = range(12, 19)
COLUMNS = 19
CONV, MEAN, DENSE = range(3)

_keeps = os.access(os.path.dirname(__file__), os.W_OK) or "NUMBA_CACHE_DIR" in os.environ
jit: Any = numba.njit(nogil=True, error_model="numpy", cache=_keeps, fastmath={"contract", "nsz"})
# An array is seven numbers to pass on, so that calls of small functions cost more than these do.
# Times are never NaN, which lets their smallest be found in vectors.
earliest: Any = numba.njit(error_model="numpy", fastmath={"contract", "nsz", "nnan"})
inside: Any = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, forceinline=True)


@inside
def bent(knots, slopes, row, pieces, x):
    """A piecewise affine function, minus its value at its first knot.

    Args:
        knots: Where its slope changes, in ascending order.
        slopes: Its slope before each knot.
        row: Where this function begins in both.
        pieces: How many pieces it has.
        x: Where to evaluate it.
    """
    if pieces == 1 or knots[row] == np.inf:
        return slopes[row] * x
    made, at = slopes[row] * min(x - knots[row], 0.0), knots[row]
    for i in range(1, pieces):
        if x <= at:
            break
        stop = min(x, knots[row + i])
        made += slopes[row + i] * (stop - at)
        at = stop
    return made


@inside
def place_of(spec, y, x, place):
    """Notes which cells of each layer a pixel reaches.

    Args:
        spec: The table of layers, shape (S, COLUMNS).
        y: The pixel's row.
        x: Its column.
        place: Takes first row, first column, rows and columns, shape (S, 4).

    Returns:
        Whether it reaches any of the last map; what a pool drops at a border reaches none.
    """
    top, bottom, left, right = y, y, x, x
    whole = True
    for k in range(len(spec)):
        if spec[k, KIND] == DENSE:
            top = bottom = left = right = 0
        elif spec[k, KIND] == MEAN:
            top, bottom = top // spec[k, TALL], bottom // spec[k, TALL]
            left, right = left // spec[k, WIDE], right // spec[k, WIDE]
        else:
            top = max(0, top + spec[k, PAD_Y] - spec[k, TALL] + 1) // spec[k, POOL_Y]
            left = max(0, left + spec[k, PAD_X] - spec[k, WIDE] + 1) // spec[k, POOL_X]
            bottom = (bottom + spec[k, PAD_Y]) // spec[k, POOL_Y]
            right = (right + spec[k, PAD_X]) // spec[k, POOL_X]
        bottom, right = min(bottom, spec[k, OUT_Y] - 1), min(right, spec[k, OUT_X] - 1)
        place[k, 0], place[k, 1], place[k, 2], place[k, 3] = top, left, bottom - top + 1, right - left + 1
        whole = whole and bottom >= top and right >= left
    return whole


@inside
def load(spec, a, b, k, clean, place):
    """Puts the clean values of a layer where the walk begins.

    Args:
        spec: The table of layers, shape (S, COLUMNS).
        a: Takes the values of the positions.
        b: Takes their slopes, which are 0.
        k: The layer.
        clean: Clean inputs of all units of the image.
        place: See `place_of`.
    """
    channels, base = spec[k, CHANNELS], spec[k, POSITIONS]
    tall, n = place[k, 2] * spec[k, POOL_Y], place[k, 3] * spec[k, POOL_X] * channels
    top, left = place[k, 0] * spec[k, POOL_Y], place[k, 1] * spec[k, POOL_X]
    for row in range(tall):
        source = spec[k, CLEAN] + ((top + row) * spec[k, MAP_X] + left) * channels
        for j in range(n):
            a[base + row * n + j] = clean[source + j]
            b[base + row * n + j] = 0.0


@inside
def ahead(a, b, base, classes, label, start, stop, spans, n, peaks, number):
    """Adds the stretches between two breakpoints where another class is ahead.

    The largest of affine functions is convex, so that the label stays ahead on one stretch at most.

    Args:
        a: Values of all positions, continued back to the start of the line.
        b: Their slopes.
        base: Where the logits are.
        classes: K.
        label: The class that is to stay.
        start: The distance of the breakpoint before.
        stop: That of the next.
        spans: The stretches found so far, shape (room, 2).
        n: How many they are.
        peaks: The largest margin of each line so far, and its distance, shape (L, 2).
        number: Which line it is.

    Returns:
        How many spans there are now, or -1 if there is no room for one more.
    """
    low, high, always = start, stop, False
    for k in range(classes):
        if k == label:
            continue
        value, rise = a[base + k] - a[base + label], b[base + k] - b[base + label]
        one, other = value + rise * start, value + rise * stop
        if one > peaks[number, 0]:
            peaks[number, 0], peaks[number, 1] = one, start
        if other > peaks[number, 0]:
            peaks[number, 0], peaks[number, 1] = other, stop
        if one <= 0.0 and other <= 0.0:
            continue
        if one > 0.0 and other > 0.0:
            always = True
        elif one > 0.0:
            low = max(low, min(stop, -value / rise))
        else:
            high = min(high, max(start, -value / rise))
    if always or low > high:
        low, high = stop, stop
    for part in range(2):
        one, other = (start, low) if part == 0 else (high, stop)
        if other > one:
            if n > 0 and spans[n - 1, 1] == one:
                spans[n - 1, 1] = other
            elif n == len(spans):
                return -1
            else:
                spans[n, 0], spans[n, 1] = one, other
                n += 1
    return n
