"""Bounds of the margin along a stretch of a pixel's line, compiled by numba: most of a line need not be walked.

On a stretch each number is held between two affine functions of the distance, given by their values at its two ends: a
middle and a radius at either. A linear layer takes the middles through its weights and the radii through their sizes. A
rising convex function of the largest of some numbers lies below the chord of the upper ones, and above the chord of the
lower ones minus the most that these sag (Wong & Kolter 2018, arXiv:1711.00851; Singh et al. 2018, NeurIPS "DeepZ"). On
a stretch without length the bounds are the margin itself.
"""
# Numba infers the types.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import numpy as np

from robustkit.engine.line_table import (
    BEFORE,
    CHANNELS,
    CLEAN,
    CONVEX,
    DENSE,
    KIND,
    KNOTS,
    MAP_X,
    MEAN,
    OUT_X,
    OUT_Y,
    PAD_X,
    PAD_Y,
    PIECES,
    POOL_X,
    POOL_Y,
    POSITIONS,
    TALL,
    WEIGHT,
    WIDE,
    bent,
    inside,
    jit,
    place_of,
)  # fmt: skip

# What is left of a line: stretches that flip all along, and those that must be walked.
FLIPS, OPEN = range(2)
# Numbers beyond this might, in a layer or two, be too large for sums.
_LARGEST = 1e100
# Into how many parts a stretch is cut at most.
_MOST_PARTS = 8
# Indices that are never negative are not looked at for wrapping round, which lets loops run in vectors.
_WHOLE = np.uint64


@jit
def rest(spec, knots, slopes, clean):
    """What every unit of an image gives out before anything changes, of all layers, those of a layer by row.

    Args:
        spec: The table of layers.
        knots: Where the functions of the units bend.
        slopes: The slopes of their pieces.
        clean: Clean inputs of all units.

    Returns:
        The values, and where those of each layer begin.
    """
    starts = np.zeros(len(spec) + 1, np.int64)
    for k in range(len(spec)):
        starts[k + 1] = starts[k] + spec[k, OUT_Y] * spec[k, OUT_X] * spec[k, CHANNELS]
    made = np.empty(starts[-1])
    for k in range(len(spec)):
        channels, wide = spec[k, CHANNELS], spec[k, MAP_X] * spec[k, CHANNELS]
        for y in range(spec[k, OUT_Y]):
            for x in range(spec[k, OUT_X]):
                corner = spec[k, CLEAN] + y * spec[k, POOL_Y] * wide + x * spec[k, POOL_X] * channels
                for c in range(channels):
                    largest = -np.inf
                    for i in range(spec[k, POOL_Y]):
                        for j in range(spec[k, POOL_X]):
                            largest = max(largest, clean[corner + i * wide + j * channels + c])
                    row = spec[k, KNOTS] + c * spec[k, PIECES]
                    made[starts[k] + (y * spec[k, OUT_X] + x) * channels + c] = bent(
                        knots, slopes, row, spec[k, PIECES], largest
                    )
    return made, starts


@inside
def _spread(values, at, weight, tap, n, some):
    """Adds changes of four inputs, of each a middle and a radius at both ends, to n positions.

    Four at a time, because reading and writing the positions costs more than the sums do.
    """
    size, u = np.uint64(len(values) // 4), np.uint64(at)
    a, b, c, d = np.uint64(tap[0]), np.uint64(tap[1]), np.uint64(tap[2]), np.uint64(tap[3])
    a1, b1, c1, d1 = some[0, 0], some[1, 0], some[2, 0], some[3, 0]
    a2, b2, c2, d2 = some[0, 1], some[1, 1], some[2, 1], some[3, 1]
    a3, b3, c3, d3 = some[0, 2], some[1, 2], some[2, 2], some[3, 2]
    a4, b4, c4, d4 = some[0, 3], some[1, 3], some[2, 3], some[3, 3]
    for j in range(np.uint64(n)):
        e, f, g, h = weight[a + j], weight[b + j], weight[c + j], weight[d + j]
        values[u + j] += a1 * e + b1 * f + c1 * g + d1 * h
        values[size + u + j] += a2 * e + b2 * f + c2 * g + d2 * h
        e, f, g, h = abs(e), abs(f), abs(g), abs(h)
        values[size + size + u + j] += a3 * e + b3 * f + c3 * g + d3 * h
        values[size + size + size + u + j] += a4 * e + b4 * f + c4 * g + d4 * h


@inside
def _take(spec, k, weight, values, place, changes, count):
    """Takes changes of the input of a layer to its positions; those of one place lie together."""
    channels, base, kernel_y, kernel_x = spec[k, CHANNELS], spec[k, POSITIONS], spec[k, TALL], spec[k, WIDE]
    pool_y, pool_x = spec[k, POOL_Y], spec[k, POOL_X]
    top, left = place[k, 0] * pool_y, place[k, 1] * pool_x
    tall, wide = place[k, 2] * pool_y, place[k, 3] * pool_x
    if spec[k, KIND] == MEAN:
        share, size = kernel_y * kernel_x, len(values) // 4
        for i in range(count):
            row, column = int(changes[i, 0]) // kernel_y - top, int(changes[i, 1]) // kernel_x - left
            if 0 <= row < tall and 0 <= column < wide:
                at = base + (row * wide + column) * channels + int(changes[i, 2])
                for j in range(4):
                    values[j * size + at] += changes[i, 3 + j] / share
        return
    some, tap, source, i = np.empty((4, 4)), np.empty(4, np.int64), np.empty(4, np.int64), 0
    while i < count:
        y, x, together = int(changes[i, 0]), int(changes[i, 1]), 0
        for j in range(4):
            mine = i + j < count and changes[i + j, 0] == y and changes[i + j, 1] == x and j == together
            together += 1 if mine else 0
            source[j] = int(changes[i + j, 2]) if mine else source[0]
            for m in range(4):
                some[j, m] = changes[i + j, 3 + m] if mine else 0.0
        i += together
        if spec[k, KIND] == DENSE:
            for j in range(4):
                tap[j] = spec[k, WEIGHT] + ((y * kernel_x + x) * spec[k, BEFORE] + source[j]) * channels
            _spread(values, base, weight, tap, channels, some)
            continue
        over_y, over_x = y + spec[k, PAD_Y] - top, x + spec[k, PAD_X] - left
        begin = over_x - kernel_x + 1
        low_x, high_x = max(0, begin), min(wide - 1, over_x)
        if low_x > high_x:
            continue
        for row in range(max(0, over_y - kernel_y + 1), min(tall - 1, over_y) + 1):
            for j in range(4):
                first = (source[j] * kernel_y + over_y - row) * kernel_x + low_x - begin
                tap[j] = spec[k, WEIGHT] + first * channels
            _spread(values, base + (row * wide + low_x) * channels, weight, tap, (high_x - low_x + 1) * channels, some)


@inside
def _more(a, b):
    """The larger of two numbers; unlike `max` it says nothing of NaN, so that it is found in vectors."""
    return a if a > b else b


@inside
def _less(a, b):
    """The smaller of two numbers, likewise."""
    return a if a < b else b


@inside
def _units(spec, k, knots, slopes, values, still, begin, place, told, room):
    """Bounds what the units of a layer give out, minus what they give out at rest.

    Returns:
        How many may differ; -1 where numbers grow so large that nothing is known.
    """
    channels, pieces, wide = _WHOLE(spec[k, CHANNELS]), spec[k, PIECES], place[k, 3]
    positions, size, n, known = spec[k, POOL_Y] * spec[k, POOL_X], _WHOLE(len(values) // 4), 0, True
    line = wide * spec[k, POOL_X] * spec[k, CHANNELS]
    for c in range(channels):
        row = spec[k, KNOTS] + c * pieces
        bends = pieces > 1 and knots[row] < np.inf
        room[4, c], room[5, c] = knots[row] if bends else 0.0, slopes[row]
        room[6, c] = slopes[row + 1] if bends else slopes[row]
    for cy in range(place[k, 2]):
        for cx in range(wide):
            corner = spec[k, POSITIONS] + cy * spec[k, POOL_Y] * line + cx * spec[k, POOL_X] * spec[k, CHANNELS]
            unit = _WHOLE(begin + ((place[k, 0] + cy) * spec[k, OUT_X] + place[k, 1] + cx) * spec[k, CHANNELS])
            for c in range(channels):
                room[0, c] = room[1, c] = room[2, c] = room[3, c] = -np.inf
                room[7, c] = np.inf
            for i in range(positions):
                at = _WHOLE(corner + (i // spec[k, POOL_X]) * line + (i % spec[k, POOL_X]) * spec[k, CHANNELS])
                for c in range(channels):
                    one, other = values[at + c], values[size + at + c]
                    first, second = values[2 * size + at + c], values[3 * size + at + c]
                    room[0, c] = _more(room[0, c], one + first)
                    room[1, c] = _more(room[1, c], other + second)
                    room[2, c] = _more(room[2, c], one - first)
                    room[3, c] = _more(room[3, c], other - second)
            if spec[k, CONVEX] == 0:
                _range(spec, k, knots, slopes, values, corner, line, room)
            else:
                for c in range(channels):
                    for j in range(4):
                        x = room[j, c] - room[4, c]
                        room[j, c] = _more(room[5, c] * x, room[6, c] * x)
                for i in range(positions):
                    at = _WHOLE(corner + (i // spec[k, POOL_X]) * line + (i % spec[k, POOL_X]) * spec[k, CHANNELS])
                    for c in range(channels):
                        one = values[at + c] - values[2 * size + at + c] - room[4, c]
                        other = values[size + at + c] - values[3 * size + at + c] - room[4, c]
                        flat = _more(room[2, c] - room[5, c] * one, room[3, c] - room[5, c] * other)
                        steep = _more(room[2, c] - room[6, c] * one, room[3, c] - room[6, c] * other)
                        room[7, c] = _less(room[7, c], _less(flat, steep))
                for c in range(channels):
                    room[2, c] -= room[7, c]
                    room[3, c] -= room[7, c]
            for c in range(channels):
                one, other = 0.5 * (room[0, c] + room[2, c]), 0.5 * (room[1, c] + room[3, c])
                room[0, c], room[1, c] = 0.5 * (room[0, c] - room[2, c]), 0.5 * (room[1, c] - room[3, c])
                room[2, c], room[3, c] = one - still[unit + c], other - still[unit + c]
            for c in range(channels):
                one, other, first, second = room[2, c], room[3, c], room[0, c], room[1, c]
                if one != 0.0 or other != 0.0 or first != 0.0 or second != 0.0:
                    told[n, 0], told[n, 1], told[n, 2] = place[k, 0] + cy, place[k, 1] + cx, c
                    told[n, 3], told[n, 4], told[n, 5], told[n, 6] = one, other, first, second
                    known = known and abs(one) + abs(other) + first + second < _LARGEST
                    n += 1
    return n if known else -1


@inside
def _range(spec, k, knots, slopes, values, corner, line, room):
    """Bounds functions of which nothing but the range is known: over the largest of a unit's positions."""
    pieces, size = spec[k, PIECES], len(values) // 4
    for c in range(spec[k, CHANNELS]):
        low, high = np.inf, -np.inf
        under, over, row = -np.inf, max(room[0, c], room[1, c]), spec[k, KNOTS] + c * pieces
        for i in range(spec[k, POOL_Y] * spec[k, POOL_X]):
            at = corner + (i // spec[k, POOL_X]) * line + (i % spec[k, POOL_X]) * spec[k, CHANNELS] + c
            lower = min(values[at] - values[2 * size + at], values[size + at] - values[3 * size + at])
            under = max(under, lower)
        for i in range(pieces + 1):
            x = under if i == 0 else over if i == pieces else knots[row + i - 1]
            if under <= x <= over:
                made = bent(knots, slopes, row, pieces, x)
                low, high = min(low, made), max(high, made)
        room[0, c] = room[1, c] = high
        room[2, c] = room[3, c] = low


@inside
def _bound(
    spec, weight, knots, slopes, clean, still, starts, place, values, changes, told, room, y, x, way, start, stop
):
    """The most that any class can be ahead of the label on a stretch, and by how much one class is ahead all along."""
    count, size, last = 0, len(values) // 4, len(spec) - 1
    for band in range(len(way)):
        if way[band] != 0.0:
            changes[count, 0], changes[count, 1], changes[count, 2] = y, x, band
            changes[count, 3], changes[count, 4] = way[band] * start, way[band] * stop
            changes[count, 5] = changes[count, 6] = 0.0
            count += 1
    for k in range(last + 1):
        channels, base = spec[k, CHANNELS], spec[k, POSITIONS]
        n = place[k, 3] * spec[k, POOL_X] * channels
        top, left = place[k, 0] * spec[k, POOL_Y], place[k, 1] * spec[k, POOL_X]
        for row in range(place[k, 2] * spec[k, POOL_Y]):
            source, at = spec[k, CLEAN] + ((top + row) * spec[k, MAP_X] + left) * channels, base + row * n
            for j in range(n):
                values[at + j] = values[size + at + j] = clean[source + j]
                values[2 * size + at + j] = values[3 * size + at + j] = 0.0
        _take(spec, k, weight, values, place, changes, count)
        if k < last:
            count = _units(spec, k, knots, slopes, values, still, starts[k], place, told, room)
            if count < 0:
                return np.inf, -np.inf
            changes, told = told, changes
    most, least, base = -np.inf, -np.inf, spec[last, POSITIONS]
    for k in range(spec[last, CHANNELS]):
        one, other = values[base + k], values[size + base + k]
        first, second = values[2 * size + base + k], values[3 * size + base + k]
        if np.isnan(one + first + other + second):  # too large for numbers: nothing is known
            return np.inf, -np.inf
        most = max(most, max(one + first, other + second))
        least = max(least, min(one - first, other - second))
    return most, least


@jit
def sift(
    spec, weight, knots, slopes, clean, still, starts, sizes, lines, ways, ends, ceiling, shortest, tops, left, kinds
):  # fmt: skip
    """Takes from each line what needs no walk.

    Args:
        spec: The table of layers.
        weight: All weights; those of the last layer minus those of the label, which has none.
        knots: Where the functions of the units bend.
        slopes: The slopes of their pieces.
        clean: Clean inputs of the units; the last minus the label's, which is minus infinity.
        still: What the units give out at rest, and
        starts: where those of each layer begin; see `rest`.
        sizes: How many positions and units a line needs.
        lines: Row and column of each line, shape (L, 2).
        ways: By how much each band changes at distance 1, shape (L, C).
        ends: The distance at the end, shape (L,).
        ceiling: A stretch on which the margin stays below needs no walk. NaN asks for the margins at the ends alone.
        shortest: The share of a line that is not halved again.
        tops: Takes the margin at the end of each line, shape (L,), where `ceiling` is NaN.
        left: Takes the line, start and stop of each stretch that flips or is open, shape (room, 3).
        kinds: Takes which of the two it is, shape (room,).

    Returns:
        At how many lines it ended because there was no room for more, and how many stretches there are.
    """
    most_changes = max(sizes[1], ways.shape[1]) + 1
    changes, told = np.empty((most_changes, 7)), np.empty((most_changes, 7))
    values, place = np.empty(4 * sizes[0]), np.empty((len(spec), 4), np.int64)
    room, total = np.empty((8, spec[:, CHANNELS].max())), 0
    waiting = np.empty((64, 2))
    for number in range(len(lines)):
        y, x, way, end, mine = lines[number, 0], lines[number, 1], ways[number], ends[number], total
        reached = place_of(spec, y, x, place)
        if np.isnan(ceiling):
            if reached:
                tops[number], _ = _bound(
                    spec, weight, knots, slopes, clean, still, starts, place, values, changes, told, room, y, x, way,
                    end, end,
                )  # fmt: skip
            else:
                tops[number] = clean[spec[len(spec) - 1, CLEAN] :].max()
            continue
        if not reached:  # nothing changes along it
            if clean[spec[len(spec) - 1, CLEAN] :].max() <= ceiling:
                continue
            if total == len(left):
                return number, mine
            left[total, 0], left[total, 1], left[total, 2], kinds[total] = number, 0.0, end, OPEN
            total += 1
            continue
        waiting[0, 0], waiting[0, 1], n = 0.0, end, 1
        while n > 0:
            n -= 1
            start, stop = waiting[n, 0], waiting[n, 1]
            most, least = _bound(
                spec, weight, knots, slopes, clean, still, starts, place, values, changes, told, room, y, x, way, start,
                stop,
            )  # fmt: skip
            if most <= ceiling:
                continue
            kind = FLIPS if least > 0.0 else OPEN
            if kind == OPEN and stop - start > shortest * end and n + _MOST_PARTS <= len(waiting):
                # Bounds shrink about as the stretch does: into so many parts that they may do.
                middle, parts = 0.5 * (most + least), 2
                apart = abs(middle - ceiling) if middle < ceiling else max(middle, 0.0)
                while parts < _MOST_PARTS and parts * apart < 0.5 * (most - least):
                    parts *= 2
                while parts > 2 and stop - start < 0.5 * parts * shortest * end:
                    parts //= 2
                for i in range(parts):
                    at = parts - 1 - i  # the first is taken from the top
                    waiting[n + i, 0] = start + (stop - start) * at / parts
                    waiting[n + i, 1] = stop if at == parts - 1 else start + (stop - start) * (at + 1) / parts
                n += parts
                continue
            if total > mine and left[total - 1, 2] == start and kinds[total - 1] == kind:
                left[total - 1, 2] = stop
            elif total == len(left):
                return number, mine
            else:
                left[total, 0], left[total, 1], left[total, 2], kinds[total] = number, start, stop, kind
                total += 1
    return len(lines), total
