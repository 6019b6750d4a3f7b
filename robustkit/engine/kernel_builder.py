"""One LLVM function by llvmlite's IR builder: vectors of float32, whole numbers for positions, counted loops."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from robustkit.extras import require

INT, POINTER = "int", "pointer"

# A value that an instruction made; llvmlite has no types.
Value = Any
# A position, which may be known beforehand.
Whole = Value | int


class Builder:
    """Writes the instructions of one function that returns nothing.

    Args:
        name: The function's name.
        kinds: Types of its arguments, `INT` or `POINTER`.

    Attributes:
        arguments: The function's arguments.
        ops: llvmlite's builder, for what needs no word of its own: `fadd`, `fsub`, `fmul`.

    Raises:
        MissingExtra: If llvmlite is not installed.
    """

    def __init__(self, name: str, kinds: Sequence[str]) -> None:
        self._ir = ir = require("llvmlite.ir", extra="fast", purpose="compile the fast kernel")
        self._int, self._float, self._pointer = ir.IntType(64), ir.FloatType(), ir.PointerType()
        self._module = ir.Module()
        given = [self._int if kind == INT else self._pointer for kind in kinds]
        self._function = ir.Function(self._module, ir.FunctionType(ir.VoidType(), given), name)
        self.arguments: list[Value] = list(self._function.args)
        # Variables are made on entry, where LLVM turns them into registers.
        self._entry = ir.IRBuilder(self._function.append_basic_block("entry"))
        self.ops = ir.IRBuilder(self._function.append_basic_block("start"))

    def module(self) -> str:
        """The function as a whole module; nothing can be written after it."""
        self._entry.branch(self._function.basic_blocks[1])
        self.ops.ret_void()
        return str(self._module)

    def _whole(self, value: Whole) -> Value:
        return self._int(value) if isinstance(value, int) else value

    def _vector(self, lanes: int) -> Any:
        return self._ir.VectorType(self._float, lanes)

    # Positions

    def sum(self, first: Whole, *rest: Whole) -> Value:
        """The sum of positions."""
        total = self._whole(first)
        for term in rest:
            total = self.ops.add(total, self._whole(term))
        return total

    def minus(self, a: Value, b: Whole) -> Value:
        """The difference of two positions."""
        return self.ops.sub(a, self._whole(b))

    def times(self, a: Whole, b: Whole) -> Value:
        """The product of two positions."""
        return self.ops.mul(self._whole(a), self._whole(b))

    def over(self, a: Value, b: int) -> Value:
        """A position, never negative, divided by a whole number and rounded down."""
        return self.ops.udiv(a, self._whole(b))

    def either(self, a: Value, comparison: str, b: Whole) -> Value:
        """`a` where it is `>` or `<` than b, else b: of positions, or lane by lane."""
        b = self._whole(b)
        compare = self.ops.icmp_signed if a.type == self._int else self.ops.fcmp_ordered
        return self.ops.select(compare(comparison, a, b), a, b)

    # Memory

    def at(self, base: Value, index: Whole) -> Value:
        """The address of float32 number `index` after `base`."""
        return self.ops.gep(base, [self._whole(index)], source_etype=self._float)

    def pointer(self, base: Value, index: int) -> Value:
        """Pointer number `index` of a table."""
        return self.ops.load(self.ops.gep(base, [self._whole(index)], source_etype=self._pointer), typ=self._pointer)

    def integer(self, base: Value, index: Whole) -> Value:
        """Number `index` of int64 numbers."""
        return self.ops.load(self.ops.gep(base, [self._whole(index)], source_etype=self._int), typ=self._int)

    def number(self, base: Value, index: Whole) -> Value:
        """Number `index` of float32 numbers."""
        return self.ops.load(self.at(base, index), align=4, typ=self._float)

    def vector(self, address: Value, lanes: int) -> Value:
        """A vector read from an address."""
        return self.ops.load(address, align=4, typ=self._vector(lanes))

    def put(self, value: Value, address: Value) -> None:
        """Writes a number or a vector to an address."""
        self.ops.store(value, address, align=4)

    # Variables

    def variable(self, value: Value) -> Value:
        """A variable that begins with a vector."""
        place = self._entry.alloca(value.type)
        self.set(place, value)
        return place

    def get(self, variable: Value, lanes: int) -> Value:
        """The vector that a variable holds."""
        return self.ops.load(variable, typ=self._vector(lanes))

    def set(self, variable: Value, value: Value) -> None:
        """Changes a variable."""
        self.ops.store(value, variable)

    # Vectors

    def constant(self, number: float, lanes: int) -> Value:
        """A vector of the same number, rounded to float32, in every lane."""
        return self._vector(lanes)([number] * lanes)

    def spread(self, number: Value, lanes: int) -> Value:
        """A vector of the same number in every lane."""
        ir, kind = self._ir, self._vector(lanes)
        one = self.ops.insert_element(kind(ir.Undefined), number, ir.IntType(32)(0))
        mask = ir.VectorType(ir.IntType(32), lanes)([0] * lanes)
        return self.ops.shuffle_vector(one, kind(ir.Undefined), mask)

    def fma(self, a: Value, x: Value, total: Value) -> Value:
        """The sum of a * x and a total, rounded once where the processor can."""
        return self._call(f"llvm.fmuladd.v{a.type.count}f32", a.type, a, x, total)

    def add_up(self, vector: Value, start: Value) -> Value:
        """A number plus the sum of a vector's lanes, in any order."""
        name = f"llvm.vector.reduce.fadd.v{vector.type.count}f32"
        return self._call(name, self._float, start, vector, fastmath=("reassoc",))

    def _call(self, name: str, kind: Any, *arguments: Value, fastmath: Sequence[str] = ()) -> Value:
        function = self._module.globals.get(name)
        if function is None:
            taken = [value.type for value in arguments]
            function = self._ir.Function(self._module, self._ir.FunctionType(kind, taken), name)
        return self.ops.call(function, arguments, fastmath=fastmath)

    # Loops

    @contextmanager
    def loop(self, start: Whole, stop: Whole, step: int = 1) -> Generator[Value]:
        """`for index in range(start, stop, step)` as a `with` block."""
        before, b = self.ops.block, self.ops
        head, body, done = (self._function.append_basic_block(name) for name in ("head", "body", "done"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(self._int)
        index.add_incoming(self._whole(start), before)
        b.cbranch(b.icmp_signed("<", index, self._whole(stop)), body, done)
        b.position_at_end(body)
        yield index
        index.add_incoming(self.sum(index, step), b.block)
        b.branch(head)
        b.position_at_end(done)
