"""The walk along a pixel's line, compiled by numba: from breakpoint to breakpoint of a piecewise affine network.

What changes while a pixel moves is held as affine functions a + b t of the distance t from the clean value, in float64.
A unit (the positions that a pool takes the largest of, and the piecewise affine function after it) knows when it next
changes its slope. The earliest of these is the next breakpoint, and only what hears of it is computed again.
"""
# Numba infers the types.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import numpy as np

from robustkit.engine.line_table import (
    BEFORE,
    CHANNELS,
    DENSE,
    KIND,
    KNOTS,
    MEAN,
    OUT_X,
    PAD_X,
    PAD_Y,
    PIECES,
    POOL_X,
    POOL_Y,
    POSITIONS,
    TALL,
    UNITS,
    WEIGHT,
    WIDE,
    ahead,
    bent,
    earliest,
    inside,
    jit,
    load,
    place_of,
)  # fmt: skip

# How the walk along a line ended.
WHOLE, TOO_MANY, NO_ROOM = range(3)

# What a unit does next besides: its function goes to the piece below or above. Else that position becomes the largest.
_DOWN, _UP = -2.0, -1.0
# Channels that are looked at together, and the rows of the room for them. Whole numbers without a sign are never read
# from the end of an array, which keeps loops over neighbouring numbers simple enough for vectors.
_WIDTH = 64
_WHOLE = np.uint64
_RISE, _MARK, _LEAST, _WHEN, _WHAT = (np.uint64(i * _WIDTH) for i in range(1, 6))


@inside
def _look(spec, k, a, b, active, gain, high, low, flat, times, how, shifts, unit, corner, channels, now, room):
    """Notes for the units of one cell when each next changes its slope, and how; their slopes stay in `room`.

    Loops run over channels without branches, so that they become vectors. Arrays are passed one by one: a view of a row
    costs more than what is done with it.

    Args:
        spec: The table of layers.
        k: The layer.
        a: Values of all positions, continued back to the start of the line.
        b: Their slopes.
        active: The position of each unit that is the largest.
        gain: The slope of its function there.
        high: Where that piece ends above; infinity if it does not.
        low: Where it ends below.
        flat: 1 where it is a flat bottom, else 0.
        times: Takes when each unit next changes its slope.
        how: Takes how.
        shifts: From the first position of a unit to each, by layer, shape (S, P).
        unit: The first of the units.
        corner: Its first position.
        channels: How many units, at most `_WIDTH`.
        now: The distance walked.
        room: Room for six rows of `_WIDTH` numbers.
    """
    u, p, n = _WHOLE(unit), _WHOLE(corner), _WHOLE(channels)
    positions = spec[k, POOL_Y] * spec[k, POOL_X]
    for c in range(n):
        room[c] = a[p + c]
        room[_RISE + c] = b[p + c]
    for i in range(1, positions):
        at = p + _WHOLE(shifts[k, i])
        for c in range(n):
            mine = active[u + c] == i
            room[c] = a[at + c] if mine else room[c]
            room[_RISE + c] = b[at + c] if mine else room[_RISE + c]
    for c in range(n):
        value, rise, bottom = room[c], room[_RISE + c], flat[u + c] > 0.0
        above, below = (high[u + c] - value) / rise, (low[u + c] - value) / rise
        above = above if rise > 0.0 else np.inf
        below = below if rise < 0.0 else np.inf
        best = above if above < below else below
        room[_WHEN + c] = np.inf if bottom else best
        room[_WHAT + c] = _UP if above < below else _DOWN
        # On the flat bottom it does not matter which position is the largest, only which leaves first.
        room[_MARK + c] = high[u + c] if bottom else value
        room[_LEAST + c] = 0.0 if bottom else rise
    for i in range(positions):
        at = p + _WHOLE(shifts[k, i])
        for c in range(n):
            faster = b[at + c] - room[_LEAST + c]
            when = (room[_MARK + c] - a[at + c]) / faster
            when = when if faster > 0.0 else np.inf
            sooner = when < room[_WHEN + c]
            room[_WHEN + c] = when if sooner else room[_WHEN + c]
            room[_WHAT + c] = i if sooner else room[_WHAT + c]
    for c in range(n):
        times[u + c] = room[_WHEN + c] if room[_WHEN + c] > now else now
        how[u + c] = room[_WHAT + c]
        room[_RISE + c] *= gain[u + c]


@inside
def _settle(spec, k, knots, slopes, gain, high, low, flat, piece, me, channel, own):
    """Puts a unit on a piece of its function."""
    pieces = spec[k, PIECES]
    row = spec[k, KNOTS] + channel * pieces
    piece[me], gain[me] = own, slopes[row + own]
    high[me] = knots[row + own] if own + 1 < pieces else np.inf
    low[me] = knots[row + own - 1] if own > 0 else -np.inf
    flat[me] = 1.0 if own == 0 and pieces > 1 and slopes[row] == 0.0 else 0.0


@inside
def _awake(
    spec, k, knots, slopes, a, b, active, gain, high, low, flat, piece, given, shifts, me, channel, corner, now
):  # fmt: skip
    """Notes which position of a unit is the largest just after the start, and which piece of its function it is on.

    Returns:
        What the unit gives out at the start, minus what it gives out at its first knot.
    """
    largest, value, rise = 0, a[corner] + b[corner] * now, b[corner]
    for i in range(1, spec[k, POOL_Y] * spec[k, POOL_X]):
        at = corner + shifts[k, i]
        other = a[at] + b[at] * now
        if other > value or (other == value and b[at] > rise):
            largest, value, rise = i, other, b[at]
    row, own = spec[k, KNOTS] + channel * spec[k, PIECES], 0
    while own + 1 < spec[k, PIECES] and (value > knots[row + own] or (value == knots[row + own] and rise > 0.0)):
        own += 1
    active[me], given[me] = largest, 0.0
    _settle(spec, k, knots, slopes, gain, high, low, flat, piece, me, channel, own)
    return bent(knots, slopes, row, spec[k, PIECES], value)


@inside
def _add(a, b, at, weight, source, n, change, step, now):
    """Adds n weights times a change of slope, and a step of the value, that begin now."""
    back, first, tap = step - change * now, _WHOLE(at), _WHOLE(source)
    for j in range(_WHOLE(n)):
        b[first + j] += change * weight[tap + j]
        a[first + j] += back * weight[tap + j]


@inside
def _push(spec, k, weight, a, b, place, y, x, channel, change, step, now, box):
    """Tells a layer that from `now` on its input rises by `change` more, after a step; widens the box that hears."""
    channels, base, kernel_y, kernel_x = spec[k, CHANNELS], spec[k, POSITIONS], spec[k, TALL], spec[k, WIDE]
    if spec[k, KIND] == DENSE:
        source = spec[k, WEIGHT] + ((y * kernel_x + x) * spec[k, BEFORE] + channel) * channels
        _add(a, b, base, weight, source, channels, change, step, now)
        box[0] = box[2] = 0
        box[1] = box[3] = 1
        return
    pool_y, pool_x = spec[k, POOL_Y], spec[k, POOL_X]
    top, left = place[k, 0] * pool_y, place[k, 1] * pool_x
    tall, wide = place[k, 2] * pool_y, place[k, 3] * pool_x
    if spec[k, KIND] == MEAN:
        row, column = y // kernel_y - top, x // kernel_x - left
        if row < 0 or column < 0 or row >= tall or column >= wide:
            return
        at = base + (row * wide + column) * channels + channel
        b[at] += change / (kernel_y * kernel_x)
        a[at] += (step - change * now) / (kernel_y * kernel_x)
        low_y, high_y, low_x, high_x = row, row, column, column
    else:
        over_y, over_x = y + spec[k, PAD_Y] - top, x + spec[k, PAD_X] - left
        low_y, high_y = max(0, over_y - kernel_y + 1), min(tall - 1, over_y)
        first = over_x - kernel_x + 1
        low_x, high_x = max(0, first), min(wide - 1, over_x)
        if low_y > high_y or low_x > high_x:
            return
        for row in range(low_y, high_y + 1):
            # Taps lie turned round across, so that neighbouring outputs meet neighbouring weights.
            tap = ((channel * kernel_y + over_y - row) * kernel_x + low_x - first) * channels
            at = base + (row * wide + low_x) * channels
            _add(a, b, at, weight, spec[k, WEIGHT] + tap, (high_x - low_x + 1) * channels, change, step, now)
    box[0], box[1] = min(box[0], low_y // pool_y), max(box[1], high_y // pool_y + 1)
    box[2], box[3] = min(box[2], low_x // pool_x), max(box[3], high_x // pool_x + 1)


@jit
def _hear(
    spec, k, weight, knots, slopes, a, b, active, gain, high, low, flat, times, how, piece, given, shifts, place,
    changes, count, told, now, begins, still, room, box,
):  # fmt: skip
    """Takes changes of slopes of a layer's input through the layer.

    Its arguments are those of `_look`, and besides: `knots` and `slopes` of all functions; `piece`, on which each unit
    is, and `given`, the slope of what it gives out; `place`, the cells that the line reaches, by layer; the `count`
    changes, a row, a column, a channel, by how much the slope changes and a step of the value each; `told`, which takes
    those of the output likewise; `begins`, whether every unit still has to look at where it is, and only then are there
    steps; `still`, what units give out at rest, and where those of this layer begin; `box`, room for four numbers.

    Returns:
        How many changes of the output there are.
    """
    box[0], box[1], box[2], box[3] = 1 << 40, 0, 1 << 40, 0
    for i in range(count):
        y, x, channel = int(changes[i, 0]), int(changes[i, 1]), int(changes[i, 2])
        _push(spec, k, weight, a, b, place, y, x, channel, changes[i, 3], changes[i, 4], now, box)
    if begins:
        box[0], box[1], box[2], box[3] = 0, place[k, 2], 0, place[k, 3]
    channels, wide = spec[k, CHANNELS], place[k, 3]
    line, n = wide * spec[k, POOL_X] * channels, 0
    for cy in range(box[0], box[1]):
        for cx in range(box[2], box[3]):
            first = spec[k, POSITIONS] + cy * spec[k, POOL_Y] * line + cx * spec[k, POOL_X] * channels
            unit = spec[k, UNITS] + (cy * wide + cx) * channels
            for start in range(0, channels, _WIDTH):
                some = min(_WIDTH, channels - start)
                for c in range(some):
                    room[6 * _WIDTH + c] = 0.0
                if begins:
                    rest = still[1] + ((place[k, 0] + cy) * spec[k, OUT_X] + place[k, 1] + cx) * channels + start
                    for c in range(some):
                        own = _awake(
                            spec, k, knots, slopes, a, b, active, gain, high, low, flat, piece, given, shifts,
                            unit + start + c, start + c, first + start + c, now,
                        )  # fmt: skip
                        room[6 * _WIDTH + c] = own - still[0][rest + c]
                _look(
                    spec, k, a, b, active, gain, high, low, flat, times, how, shifts, unit + start, first + start, some,
                    now, room,
                )  # fmt: skip
                for c in range(some):
                    slope, me, step = room[_WIDTH + c], unit + start + c, room[6 * _WIDTH + c]
                    if slope != given[me] or step != 0.0:
                        told[n, 0], told[n, 1], told[n, 2] = place[k, 0] + cy, place[k, 1] + cx, start + c
                        told[n, 3], told[n, 4] = slope - given[me], step
                        given[me] = slope
                        n += 1
    return n


@jit
def _turn(
    spec, k, knots, slopes, a, b, active, gain, high, low, flat, times, how, piece, given, shifts, place, me, told, now,
    room,
):  # fmt: skip
    """Does what a unit has to do now; see `_hear`.

    Returns:
        1 if the slope of what it gives out changed, and 0 if not.
    """
    channels, line = spec[k, CHANNELS], place[k, 3] * spec[k, POOL_X] * spec[k, CHANNELS]
    cell, c = (me - spec[k, UNITS]) // channels, (me - spec[k, UNITS]) % channels
    cy, cx = cell // place[k, 3], cell % place[k, 3]
    corner = spec[k, POSITIONS] + cy * spec[k, POOL_Y] * line + cx * spec[k, POOL_X] * channels + c
    own = int(piece[me])
    if how[me] == _UP:
        _settle(spec, k, knots, slopes, gain, high, low, flat, piece, me, c, own + 1)
    elif how[me] == _DOWN:
        _settle(spec, k, knots, slopes, gain, high, low, flat, piece, me, c, own - 1)
    else:
        active[me] = how[me]
        if flat[me] > 0.0:
            _settle(spec, k, knots, slopes, gain, high, low, flat, piece, me, c, 1)
    _look(spec, k, a, b, active, gain, high, low, flat, times, how, shifts, me, corner, 1, now, room)
    slope = room[_WIDTH]
    if slope == given[me]:
        return 0
    told[0, 0], told[0, 1], told[0, 2], told[0, 3] = place[k, 0] + cy, place[k, 1] + cx, c, slope - given[me]
    told[0, 4] = 0.0
    given[me] = slope
    return 1


@earliest
def _earliest(times, start, stop):
    """The smallest of some times."""
    found = np.inf
    for u in range(_WHOLE(start), _WHOLE(stop)):
        found = times[u] if times[u] < found else found
    return found


@jit
def walk(
    spec, weight, knots, slopes, clean, still, begins, sizes, lines, ways, starts, ends, label, most, spans, found,
    pieces, status, peaks,
):  # fmt: skip
    """Walks stretches of lines of one image.

    Args:
        spec: The table of layers, shape (S, COLUMNS).
        weight: All weights.
        knots: Where the functions of the units bend, all of them.
        slopes: The slopes of their pieces.
        clean: Clean inputs of the units, all of them.
        still: What the units give out at rest, and
        begins: where those of each layer begin; see `robustkit.engine.line_bounds.rest`.
        sizes: How many positions and units a line needs.
        lines: Row and column of each line, shape (L, 2).
        ways: By how much each band changes at distance 1, shape (L, C).
        starts: The distance at the start of each stretch, shape (L,).
        ends: That at its end, shape (L,).
        label: The class that is to stay.
        most: The most breakpoints of a line.
        spans: Takes the stretches of distance where another class is ahead, those of a line after those of the one
            before, shape (room, 2).
        found: Takes how many of them each line has, shape (L,).
        pieces: Takes how many breakpoints each line had, shape (L,).
        status: Takes how the walk along each line ended, shape (L,).
        peaks: Takes the largest margin of each line and its distance, shape (L, 2).

    Returns:
        At how many lines it ended because there was no room for more.
    """
    layers, last = len(spec), len(spec) - 1
    a, b, many = np.zeros(sizes[0]), np.zeros(sizes[0]), sizes[1] + _WIDTH
    active, gain, high, low, flat = np.zeros(many), np.zeros(many), np.zeros(many), np.zeros(many), np.zeros(many)
    times, how, piece, given = np.zeros(many), np.zeros(many), np.zeros(many), np.zeros(many)
    place, box = np.empty((layers, 4), np.int64), np.empty(4, np.int64)
    room, most_changes = np.zeros(7 * _WIDTH), max(sizes[1], ways.shape[1]) + 1
    changes, told = np.empty((most_changes, 5)), np.empty((most_changes, 5))
    shifts = np.zeros((layers, (spec[:, POOL_Y] * spec[:, POOL_X]).max()), np.int64)
    first, base, classes, total = np.empty(layers), spec[last, POSITIONS], spec[last, CHANNELS], 0
    for number in range(len(lines)):
        y, x, begin, end = lines[number, 0], lines[number, 1], starts[number], ends[number]
        reached = place_of(spec, y, x, place)
        count = 0
        for band in range(ways.shape[1]):
            if ways[number, band] != 0.0:
                changes[count, 0], changes[count, 1], changes[count, 2] = y, x, band
                changes[count, 3], changes[count, 4] = ways[number, band], ways[number, band] * begin
                count += 1
        for k in range(layers if reached else 0):
            line = place[k, 3] * spec[k, POOL_X] * spec[k, CHANNELS]
            for i in range(spec[k, POOL_Y] * spec[k, POOL_X]):
                shifts[k, i] = (i // spec[k, POOL_X]) * line + (i % spec[k, POOL_X]) * spec[k, CHANNELS]
            load(spec, a, b, k, clean, place)
            count = _hear(
                spec, k, weight, knots, slopes, a, b, active, gain, high, low, flat, times, how, piece, given, shifts,
                place, changes, count, told, begin, True, (still, begins[k]), room, box,
            )  # fmt: skip
            changes, told = told, changes
        if not reached:
            load(spec, a, b, last, clean, place)
        mine, n, now, events, status[number] = spans[total:], 0, begin, 0, WHOLE
        peaks[number, 0], peaks[number, 1] = -np.inf, begin
        stale = 0  # the first layer whose earliest breakpoint is not known
        while True:
            k, when = -1, end
            for j in range(last if reached else 0):
                if j >= stale:
                    stop = spec[j, UNITS] + place[j, 2] * place[j, 3] * spec[j, CHANNELS]
                    first[j] = _earliest(times, spec[j, UNITS], stop)
                if first[j] < when:
                    k, when = j, first[j]
            n = ahead(a, b, base, classes, label, now, when, mine, n, peaks, number)
            if n < 0 or events == most:
                status[number] = NO_ROOM if n < 0 else TOO_MANY
                break
            if k < 0:
                break
            me = spec[k, UNITS]
            while times[me] != when:
                me += 1
            now, events, stale = when, events + 1, k
            count = _turn(
                spec, k, knots, slopes, a, b, active, gain, high, low, flat, times, how, piece, given, shifts, place,
                me, changes, now, room,
            )  # fmt: skip
            while count > 0 and k < last:
                k += 1
                count = _hear(
                    spec, k, weight, knots, slopes, a, b, active, gain, high, low, flat, times, how, piece, given,
                    shifts, place, changes, count, told, now, False, (still, begins[k]), room, box,
                )  # fmt: skip
                changes, told = told, changes
        if n < 0:
            return number
        found[number], pieces[number] = n, events
        total += n
    return len(lines)
