"""A chain as LLVM code: one function that takes each candidate through every stage within a few kilobytes of memory.

Vectors run over channels, which are innermost everywhere. The loops over the window's columns and the kernel's are
unrolled, so that the sums of one row of outputs stay in registers while the input channels go by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robustkit.engine.chain import Axis
from robustkit.engine.kernel_builder import INT, POINTER, Builder, Value
from robustkit.engine.kernel_code import FunctionCode, KernelCode, StageCode

# The pointers that the function is given, in this order; after them those of each stage.
ARGUMENTS = ("images", "image", "slot", "row", "column", "value", "result", "head_clean", "head_weight", "scratch")
STAGE_ARGUMENTS = ("before", "weight", "affine")


def emit(code: KernelCode) -> str:
    """The module as text; its function is `run(start, stop, pointers)`, for candidates start to stop."""
    b = Builder("run", [INT, INT, POINTER])
    start, stop, table = b.arguments
    names = [*ARGUMENTS]
    for number in range(len(code.stages)):
        names += [f"{name}{number}" for name in STAGE_ARGUMENTS]
    pointers = {name: b.pointer(table, i) for i, name in enumerate(names)}
    with b.loop(start, stop) as candidate:
        _candidate(b, code, pointers, candidate)
    return b.module()


def _candidate(b: Builder, code: KernelCode, pointers: Mapping[str, Value], n: Value) -> None:
    image, slot, y, x = (b.integer(pointers[name], n) for name in ("image", "slot", "row", "column"))
    plane = code.height * code.width
    pixel = b.sum(b.times(image, code.bands * plane), b.times(y, code.width), x)
    change = pointers["scratch"]
    tall, wide = code.box
    value = b.at(pointers["value"], b.times(n, tall * wide * code.bands))
    with b.loop(0, tall) as down, b.loop(0, wide) as across:
        cell = b.times(b.sum(b.times(down, wide), across), code.bands)
        place = b.sum(pixel, b.times(down, code.width), across)
        for band in range(code.bands):
            new = b.number(value, b.sum(cell, band))
            old = b.number(pointers["images"], b.sum(place, band * plane))
            b.put(b.ops.fsub(new, old), b.at(change, b.sum(cell, band)))
    free = b.at(change, code.pixel)
    cell_y, cell_x = y, x
    for number, stage in enumerate(code.stages):
        own = {name: pointers[f"{name}{number}"] for name in STAGE_ARGUMENTS}
        writer = _Stage(b, stage, own, free)
        cell_y, cell_x = writer.run(slot, y, x, change)
        y, x = b.minus(cell_y, stage.y.margin), b.minus(cell_x, stage.x.margin)
        change, free = writer.result, b.at(writer.result, stage.cells)
    place = b.sum(b.times(cell_y, code.stages[-1].x.total), cell_x)
    if code.outputs is None:
        _hand_over(b, code.stages[-1], b.at(pointers["result"], b.times(n, code.stages[-1].change)), change)
    else:
        _head(b, code.stages[-1], code.outputs, pointers, n, slot, place, change)


class _Stage:
    """Writes one stage.

    Args:
        b: Builds instructions.
        stage: The stage.
        pointers: The stage's own arguments.
        scratch: Free memory: the frame, what the stage makes of the clean frame, and the change of its output.
    """

    def __init__(self, b: Builder, stage: StageCode, pointers: Mapping[str, Value], scratch: Value) -> None:
        self.b, self.stage, self.pointers = b, stage, pointers
        self.lanes = stage.lanes
        self.frame = scratch
        self.clean = b.at(scratch, stage.frame)
        self.result = b.at(self.clean, stage.cells)

    def run(self, slot: Value, y: Value, x: Value, change: Value) -> tuple[Value, Value]:
        """Takes a change that begins at (y, x) through the stage; returns its first cell, counted with the margin."""
        b, at = self.b, self.stage
        cell_y, inside_y = self._first_cell(y, at.y)
        cell_x, inside_x = self._first_cell(x, at.x)
        row = b.sum(b.times(slot, at.y.total * at.y.pool), b.times(cell_y, at.y.pool))
        self._fill_frame(b.sum(b.times(row, at.x.total * at.x.pool), b.times(cell_x, at.x.pool)))
        origin = b.sum(b.times(inside_y, at.x.frame), inside_x)
        self._convolve(change, b.at(self.frame, b.times(origin, at.channels)))
        self._subtract_clean()
        return cell_y, cell_x

    def _first_cell(self, position: Value, axis: Axis) -> tuple[Value, Value]:
        """The first cell of the next window, counted with the margin, and how far inside it the change begins."""
        b = self.b
        shifted = b.sum(position, axis.shift + axis.margin * axis.pool)
        cell = b.over(shifted, axis.pool)
        return cell, b.minus(shifted, b.times(cell, axis.pool))

    def _fill_frame(self, place: Value) -> None:
        """Copies the clean window into the frame, by rows and columns, and notes what the stage makes of it."""
        b, at, c = self.b, self.stage, self.stage.channels
        source = b.at(self.pointers["before"], b.times(place, c))
        with b.loop(0, at.y.cells) as py, b.loop(0, at.x.cells) as px, b.loop(0, c, self.lanes) as channel:
            values: list[Value] = []
            sources = self._positions(source, at.x.total * at.x.pool, py, px, channel)
            for place, target in zip(sources, self._positions(self.frame, at.x.frame, py, px, channel), strict=True):
                values.append(b.vector(place, self.lanes))
                b.put(values[-1], target)
            b.put(self._finish(values, channel), b.at(self.clean, self._cell(py, px, channel)))

    def _subtract_clean(self) -> None:
        """The change of the stage's output: what it makes of the frame, less what it made of the clean one."""
        b, at = self.b, self.stage
        with b.loop(0, at.y.cells) as py, b.loop(0, at.x.cells) as px, b.loop(0, at.channels, self.lanes) as channel:
            frame = self._positions(self.frame, at.x.frame, py, px, channel)
            values = [b.vector(source, self.lanes) for source in frame]
            cell = self._cell(py, px, channel)
            clean = b.vector(b.at(self.clean, cell), self.lanes)
            b.put(b.ops.fsub(self._finish(values, channel), clean), b.at(self.result, cell))

    def _cell(self, py: Value, px: Value, channel: Value) -> Value:
        b, at = self.b, self.stage
        return b.sum(b.times(b.sum(b.times(py, at.x.cells), px), at.channels), channel)

    def _positions(self, base: Value, width: int, py: Value, px: Value, channel: Value) -> list[Value]:
        """Addresses of the positions of one pooling cell, in a map of rows of `width` positions."""
        b, at = self.b, self.stage
        corner = b.sum(b.times(py, at.y.pool * width), b.times(px, at.x.pool))
        first = b.at(base, b.sum(b.times(corner, at.channels), channel))
        steps = [i * width + j for i in range(at.y.pool) for j in range(at.x.pool)]
        return [b.at(first, step * at.channels) for step in steps]

    def _finish(self, values: Sequence[Value], channel: Value) -> Value:
        """What follows the convolution, on one vector from each position of a pooling cell."""
        b = self.b
        values = [self._apply(self.stage.before, value, channel) for value in values]
        total = values[0]
        for value in values[1:]:
            total = b.ops.fadd(total, value) if self.stage.pool == "mean" else b.either(total, ">", value)
        if self.stage.pool == "mean":
            total = b.ops.fmul(total, b.constant(1.0 / len(values), self.lanes))
        return self._apply(self.stage.after, total, channel)

    def _apply(self, functions: Sequence[FunctionCode], x: Value, channel: Value) -> Value:
        b, lanes = self.b, self.lanes
        for kind, *settings in functions:
            if kind == "affine":
                scale = b.at(self.pointers["affine"], b.sum(channel, settings[0] * self.stage.channels))
                shift = b.at(scale, self.stage.channels)
                x = b.fma(x, b.vector(scale, lanes), b.vector(shift, lanes))
            elif kind == "leaky":
                x = b.either(x, ">", b.ops.fmul(x, b.constant(settings[0], lanes)))
            else:
                low, high = settings
                x = b.either(x, ">", b.constant(low, lanes))
                x = x if high == float("inf") else b.either(x, "<", b.constant(high, lanes))
        return x

    def _convolve(self, change: Value, target: Value) -> None:
        """Adds the change times the kernel, which lies turned round: input i and tap k meet in output i + k."""
        b, y, x, c, c_in = self.b, self.stage.y, self.stage.x, self.stage.channels, self.stage.channels_in
        block = self.stage.block
        with b.loop(0, c, block) as channel, b.loop(0, y.changed) as ty:
            row = b.at(target, b.sum(b.times(ty, x.frame * c), channel))
            taps = b.at(self.pointers["weight"], b.times(channel, y.kernel * x.kernel * c_in))
            first = b.either(b.minus(ty, y.kernel - 1), ">", 0)
            stop = b.either(b.sum(ty, 1), "<", y.reach)
            for columns, times in self.stage.tiles:
                with b.loop(0, times * len(columns), len(columns)) as along:
                    vectors = range(block // self.lanes)
                    begin = b.at(row, b.times(along, c))
                    places = {(t, v): b.at(begin, t * c + v * self.lanes) for t in columns for v in vectors}
                    sums = {key: b.variable(b.vector(place, self.lanes)) for key, place in places.items()}
                    with b.loop(first, stop) as iy, b.loop(0, c_in) as ci:
                        cell = b.sum(b.times(iy, x.reach), along)
                        values = b.at(change, b.sum(b.times(cell, c_in), ci))
                        tap = b.sum(b.times(b.minus(ty, iy), c_in), ci)
                        self._multiply(columns, values, b.at(taps, b.times(tap, x.kernel * block)), sums)
                    for key, place in places.items():
                        b.put(b.get(sums[key], self.lanes), place)

    def _multiply(self, columns: range, values: Value, taps: Value, sums: Mapping[tuple[int, int], Value]) -> None:
        """One row of one input channel times one row of the kernel, for a block of channels."""
        b, x, lanes, block = self.b, self.stage.x, self.lanes, self.stage.block
        met = range(max(0, columns.start - x.kernel + 1), min(columns.stop, x.reach))
        inputs = {i: b.spread(b.number(values, i * self.stage.channels_in), lanes) for i in met}
        for kx in range(x.kernel):
            reached = [t for t in columns if 0 <= t - kx < x.reach]
            for v in range(block // lanes if reached else 0):
                tap = b.vector(b.at(taps, kx * block + v * lanes), lanes)
                for t in reached:
                    b.set(sums[t, v], b.fma(inputs[t - kx], tap, b.get(sums[t, v], lanes)))


def _hand_over(b: Builder, last: StageCode, result: Value, change: Value) -> None:
    """Gives out the change of the last map, for a head that is left to others."""
    with b.loop(0, last.change, last.lanes) as i:
        b.put(b.vector(b.at(change, i), last.lanes), b.at(result, i))


def _head(
    b: Builder,
    last: StageCode,
    outputs: int,
    pointers: Mapping[str, Value],
    n: Value,
    slot: Value,
    place: Value,
    change: Value,
) -> None:
    """Adds the change of the last map times the columns of the affine map that it meets, from cell `place` on."""
    lanes = last.lanes
    run = last.x.cells * last.channels  # a row of cells, in one piece on both sides
    weight = b.at(pointers["head_weight"], b.times(place, last.channels))
    clean = b.at(pointers["head_clean"], b.times(slot, outputs))
    result = b.at(pointers["result"], b.times(n, outputs))
    together = max(k for k in (4, 3, 2, 1) if outputs % k == 0)
    with b.loop(0, outputs, together) as first:
        sums = [b.variable(b.constant(0.0, lanes)) for _ in range(together)]
        with b.loop(0, last.y.cells) as py, b.loop(0, run, lanes) as i:
            value = b.vector(b.at(change, b.sum(b.times(py, run), i)), lanes)
            for k, total in enumerate(sums):
                row = b.sum(b.times(b.sum(first, k), last.y.total), py)
                column = b.at(weight, b.sum(b.times(row, last.x.total * last.channels), i))
                b.set(total, b.fma(value, b.vector(column, lanes), b.get(total, lanes)))
        for k, total in enumerate(sums):
            output = b.sum(first, k)
            b.put(b.add_up(b.get(total, lanes), b.number(clean, output)), b.at(result, output))
