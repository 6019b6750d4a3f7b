"""The tensors of a pickled network, `torch.save(model)`: nothing of its class is imported, built or called."""

from __future__ import annotations

import pickletools
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from robustkit.errors import InputError

# Deeper, or with more tensors, than any network; a crafted file could hold a module inside itself.
_DEEPEST = 64
_MOST_TENSORS = 100_000
# Names of PyTorch that the attributes of a network have: layers, functions, graphs.
_TORCH = re.compile(r"torch\.((nn|fx|ao|_C|special|distributions|distributed)\..+|(?!load$|save$|compile$)\w+)")
# Names of the standard library that they have; any other one is refused, as no network needs it.
_STANDARD = re.compile(
    r"(collections|enum|logging|types|typing|dataclasses|math|_operator|operator)\..+|(builtins|__builtin__)\.getattr"
)


class Record:
    """Stands where a file had an object of a class that is not opened, and keeps what the file says of it.

    Attributes:
        spelled: The name of the class in the file.
        state: What the file filled the object with.
    """

    spelled = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> Record:  # noqa: D102
        made = super().__new__(cls)
        # Some classes, such as the graphs of torch.fx, are rebuilt by a function that takes their dictionary.
        made.state = args[0] if args and isinstance(args[0], dict) else {}
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.state: dict[Any, Any]

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and state:  # the form of a class with slots
            state = state[0]
        if isinstance(state, dict):
            self.state = state


def may_stand(name: str) -> bool:
    """Whether an object of this name may be a part of a network, so that a record can take its place."""
    package = name.partition(".")[0]
    if package == "torch":
        return _TORCH.fullmatch(name) is not None
    return package not in sys.stdlib_module_names | {"__builtin__"} or _STANDARD.fullmatch(name) is not None


def record_of(name: str) -> type[Record]:
    """A record for the objects of one class."""
    return type("Record", (Record,), {"spelled": name})


def weights_of(value: Any) -> tuple[Any, tuple[str, ...]]:
    """What a file holds, with a state_dict in the place of each network.

    Args:
        value: A network, or dicts and lists with some inside, its classes as records.

    Returns:
        The same with state_dicts, and the names of the classes of the networks.

    Raises:
        InputError: If a network is larger than any network is.
    """
    classes: dict[str, None] = {}
    known: dict[tuple[int, int], Any] = {}

    def walk(item: Any, depth: int) -> Any:
        if isinstance(item, Record) and _is_module(item):
            classes[item.spelled] = None
            tensors: dict[str, Tensor] = {}
            _collect(item, "", tensors, 0)
            return tensors
        if depth == 4 or not isinstance(item, Mapping | list | tuple):
            return item
        if (depth, id(item)) not in known:  # what is referred to often is walked through once
            inside = item.items() if isinstance(item, Mapping) else enumerate(item)
            made = {key: walk(one, depth + 1) for key, one in inside}
            known[depth, id(item)] = made if isinstance(item, Mapping) else list(made.values())
        return known[depth, id(item)]

    return walk(value, 0), tuple(classes)


def _is_module(record: Record) -> bool:
    return isinstance(record.state.get("_parameters"), dict) and isinstance(record.state.get("_modules"), dict)


def _collect(record: Record, prefix: str, tensors: dict[str, Tensor], depth: int) -> None:
    """What `Module.state_dict` would give, in its order."""
    if depth > _DEEPEST or len(tensors) > _MOST_TENSORS:
        raise InputError("the pickled network is deeper or larger than any network; ask for its state_dict")
    state = record.state
    left_out = state.get("_non_persistent_buffers_set")
    for name, tensor in {**state["_parameters"], **_dict(state.get("_buffers"))}.items():
        if isinstance(tensor, Tensor) and not (isinstance(left_out, set) and name in left_out):
            tensors[f"{prefix}{name}"] = tensor.detach()
    for name, inner in state["_modules"].items():
        if isinstance(inner, Record) and _is_module(inner):
            _collect(inner, f"{prefix}{name}.", tensors, depth + 1)


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def without_sources(pickled: bytes) -> bytes:
    """A pickle of the form before 1.6 with plain names where it has classes together with their source text.

    There, a class of a network is written as the persistent tuple ("module", class, file, source). PyTorch's
    restricted reader takes none of these, so only the class is left of each. A text of the tuple that the pickle
    asks for again is written where it does.

    Args:
        pickled: One pickle, up to and with its last opcode.
    """
    found = pickletools.genops(pickled)
    steps: list[tuple[str, Any, int]] = [(opcode.name, argument, place or 0) for opcode, argument, place in found]
    ends = [place for _, _, place in steps[1:]] + [len(pickled)]
    raw = [pickled[place:end] for (_, _, place), end in zip(steps, ends, strict=True)]
    tuples = dict(_source_tuples([name for name, _, _ in steps]))
    kept: list[bytes] = []
    gone: dict[int, bytes] = {}  # texts that were left out, by the number under which the pickle keeps them
    i = 0
    while i < len(steps):
        name, argument, _ = steps[i]
        if i in tuples:
            kept += _class_alone(steps, raw, i, tuples[i], gone)
            i = tuples[i] + 1
            continue
        if name in ("BINGET", "LONG_BINGET") and argument in gone:
            kept += [gone.pop(argument), b"r" + int(argument).to_bytes(4, "little")]
        else:
            kept.append(raw[i])
        i += 1
    return b"".join(kept)


def _source_tuples(names: list[str]) -> Iterator[tuple[int, int]]:
    """The first and the last opcode of each persistent tuple that holds a class and its source."""
    marks: list[int] = []
    for i, name in enumerate(names):
        if name == "MARK":
            marks.append(i)
        elif name in ("TUPLE", "LIST", "DICT", "SETITEMS", "APPENDS") and marks:
            start = marks.pop()
            end = i + 1 if i + 1 < len(names) and "PUT" in names[i + 1] else i
            items = [one for one in names[start + 1 : i] if "PUT" not in one]
            if (
                name == "TUPLE"
                and names[end + 1 : end + 2] == ["BINPERSID"]
                and len(items) == 4
                and items[1] in ("GLOBAL", "BINGET", "LONG_BINGET")
            ):
                yield start, end + 1


def _class_alone(
    steps: list[tuple[str, Any, int]], raw: list[bytes], start: int, end: int, gone: dict[int, bytes]
) -> list[bytes]:
    """The class in a tuple, with the number that it is kept under; the other items go to `gone`."""
    kept: list[bytes] = []
    item = -1
    for i in range(start + 1, end - 1):
        name, argument, _ = steps[i]
        item += "PUT" not in name
        if item == 1:
            kept.append(raw[i])
        elif "PUT" in name and item in (0, 2, 3) and steps[i - 1][0].startswith("BINUNI"):
            gone[int(argument)] = raw[i - 1]
    return kept
