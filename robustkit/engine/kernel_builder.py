"""Writes one LLVM function as text: numbers and vectors of float32, whole numbers for positions, counted loops."""

from __future__ import annotations

import struct
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

INT, FLOAT, POINTER = "i64", "float", "ptr"


@dataclass(frozen=True)
class Value:
    """A value that an instruction made, or a constant.

    Attributes:
        text: Its name, or the constant.
        kind: Its LLVM type.
    """

    text: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} {self.text}"


# A position, which may be known beforehand.
Whole = Value | int


class Builder:
    """Writes the instructions of one function that returns nothing.

    Args:
        name: The function's name.
        kinds: Types of its arguments.
    """

    def __init__(self, name: str, kinds: Sequence[str]) -> None:
        self.arguments = [Value(f"%a{i}", kind) for i, kind in enumerate(kinds)]
        self._head = f"define void @{name}({', '.join(map(str, self.arguments))}) {{"
        self._variables: list[str] = []  # made on entry, where LLVM turns them into registers
        self._lines: list[str] = []
        self._declared: dict[str, str] = {}
        self._names = 0
        self._block = "start"

    def module(self) -> str:
        """The function as a whole module."""
        body = ["entry:", *self._variables, "  br label %start", "start:", *self._lines, "  ret void", "}"]
        return "\n".join([self._head, *body, *self._declared.values(), ""])

    def _make(self, kind: str, instruction: str) -> Value:
        self._names += 1
        value = Value(f"%v{self._names}", kind)
        self._lines.append(f"  {value.text} = {instruction}")
        return value

    # Positions

    def sum(self, first: Whole, *rest: Whole) -> Value:
        """The sum of positions."""
        total = _whole(first)
        for term in rest:
            total = self._make(INT, f"add {total}, {_whole(term).text}")
        return total

    def minus(self, a: Value, b: Whole) -> Value:
        """The difference of two positions."""
        return self._make(INT, f"sub {a}, {_whole(b).text}")

    def times(self, a: Whole, b: Whole) -> Value:
        """The product of two positions."""
        return self._make(INT, f"mul {_whole(a)}, {_whole(b).text}")

    def over(self, a: Value, b: int) -> Value:
        """A position, never negative, divided by a whole number and rounded down."""
        return self._make(INT, f"udiv {a}, {b}")

    def larger(self, a: Value, b: Whole) -> Value:
        """The larger of two positions."""
        return self._either("icmp sgt", a, _whole(b))

    def smaller(self, a: Value, b: Whole) -> Value:
        """The smaller of two positions."""
        return self._either("icmp slt", a, _whole(b))

    # Memory

    def at(self, base: Value, index: Whole) -> Value:
        """The address of float32 number `index` after `base`."""
        return self._make(POINTER, f"getelementptr float, {base}, {_whole(index)}")

    def pointer(self, base: Value, index: int) -> Value:
        """Pointer number `index` of a table."""
        address = self._make(POINTER, f"getelementptr ptr, {base}, i64 {index}")
        return self._make(POINTER, f"load ptr, {address}")

    def integer(self, base: Value, index: Whole) -> Value:
        """Number `index` of int64 numbers."""
        address = self._make(POINTER, f"getelementptr i64, {base}, {_whole(index)}")
        return self._make(INT, f"load i64, {address}")

    def number(self, base: Value, index: Whole) -> Value:
        """Number `index` of float32 numbers."""
        return self._make(FLOAT, f"load float, {self.at(base, index)}, align 4")

    def vector(self, address: Value, lanes: int) -> Value:
        """A vector read from an address."""
        kind = f"<{lanes} x float>"
        return self._make(kind, f"load {kind}, {address}, align 4")

    def put(self, value: Value, address: Value) -> None:
        """Writes a number or a vector to an address."""
        self._lines.append(f"  store {value}, {address}, align 4")

    # Variables

    def variable(self, value: Value) -> Value:
        """A variable that begins with a vector."""
        self._names += 1
        place = Value(f"%v{self._names}", POINTER)
        self._variables.append(f"  {place.text} = alloca {value.kind}")
        self.set(place, value)
        return place

    def get(self, variable: Value, lanes: int) -> Value:
        """The vector that a variable holds."""
        kind = f"<{lanes} x float>"
        return self._make(kind, f"load {kind}, {variable}")

    def set(self, variable: Value, value: Value) -> None:
        """Changes a variable."""
        self._lines.append(f"  store {value}, {variable}")

    # Numbers and vectors

    def plus(self, a: Value, b: Value) -> Value:
        """The sum, lane by lane."""
        return self._make(a.kind, f"fadd {a}, {b.text}")

    def less(self, a: Value, b: Value) -> Value:
        """The difference, lane by lane."""
        return self._make(a.kind, f"fsub {a}, {b.text}")

    def product(self, a: Value, b: Value) -> Value:
        """The product, lane by lane."""
        return self._make(a.kind, f"fmul {a}, {b.text}")

    def greatest(self, a: Value, b: Value) -> Value:
        """The greater, lane by lane."""
        return self._either("fcmp ogt", a, b)

    def least(self, a: Value, b: Value) -> Value:
        """The lesser, lane by lane."""
        return self._either("fcmp olt", a, b)

    def constant(self, number: float, lanes: int) -> Value:
        """A vector of the same number, rounded to float32, in every lane."""
        rounded = struct.unpack("f", struct.pack("f", number))[0]
        bits = f"float 0x{struct.pack('>d', rounded).hex().upper()}"
        return Value(f"<{', '.join([bits] * lanes)}>", f"<{lanes} x float>")

    def spread(self, number: Value, lanes: int) -> Value:
        """A vector of the same number in every lane."""
        kind = f"<{lanes} x float>"
        one = self._make(kind, f"insertelement {kind} poison, {number}, i32 0")
        return self._make(kind, f"shufflevector {one}, {kind} poison, <{lanes} x i32> zeroinitializer")

    def fma(self, a: Value, x: Value, total: Value) -> Value:
        """The sum of a * x and a total, rounded once where the processor can."""
        return self._call(f"llvm.fmuladd.v{_lanes(a)}f32", a.kind, "", a, x, total)

    def add_up(self, vector: Value, start: Value) -> Value:
        """A number plus the sum of a vector's lanes, in any order."""
        return self._call(f"llvm.vector.reduce.fadd.v{_lanes(vector)}f32", FLOAT, "reassoc ", start, vector)

    def _call(self, name: str, kind: str, flags: str, *arguments: Value) -> Value:
        self._declared[name] = f"declare {kind} @{name}({', '.join(x.kind for x in arguments)})"
        return self._make(kind, f"call {flags}{kind} @{name}({', '.join(map(str, arguments))})")

    def _either(self, comparison: str, a: Value, b: Value) -> Value:
        """`a` where the comparison of a with b holds, `b` elsewhere."""
        truth = a.kind.replace("float", "i1").replace("i64", "i1")
        holds = self._make(truth, f"{comparison} {a}, {b.text}")
        return self._make(a.kind, f"select {holds}, {a}, {b}")

    # Loops

    @contextmanager
    def loop(self, start: Whole, stop: Whole, step: int = 1) -> Generator[Value]:
        """`for index in range(start, stop, step)` as a `with` block."""
        self._names += 1
        head, body, done = (f"{name}{self._names}" for name in ("head", "body", "done"))
        before = self._block
        self._lines += [f"  br label %{head}", f"{head}:"]
        place = len(self._lines)
        index = self._make(INT, "")  # written below, when its second source is known
        goes_on = self._make("i1", f"icmp slt {index}, {_whole(stop).text}")
        self._lines += [f"  br {goes_on}, label %{body}, label %{done}", f"{body}:"]
        self._block = body
        yield index
        following = self.sum(index, step)
        sources = f"[{_whole(start).text}, %{before}], [{following.text}, %{self._block}]"
        self._lines[place] = f"  {index.text} = phi i64 {sources}"
        self._lines += [f"  br label %{head}", f"{done}:"]
        self._block = done


def _whole(value: Whole) -> Value:
    return Value(str(value), INT) if isinstance(value, int) else value


def _lanes(vector: Value) -> int:
    return int(vector.kind[1:].split(" ")[0])
