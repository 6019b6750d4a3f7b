"""What was measured, with the settings that made it: arrays and JSON in one .npz, never a pickle."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import zipfile
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, BinaryIO, ClassVar, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from robustkit.errors import InputError, RobustkitError
from robustkit.files import atomic_write, check_plain
from robustkit.words import brief, named_type

# In place of a predicted class.
NOT_FINITE, OUT_OF_MEMORY = -1, -2
# Outcomes of a regression: its number lies within the band about the true one, or not.
BAND = ("within", "too low", "too high")

_HEADER, _HEADERS = "__record__", "__records__"
_MOST_SHOWN = 72  # characters of a value in a repr

R = TypeVar("R", bound="Record")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Record:
    """Base of everything that is measured and saved.

    A subclass is a frozen dataclass whose fields are NumPy arrays or JSON values. Its class name is its `kind`.

    Attributes:
        version: Raised when the fields change their meaning; another version is refused on loading.
        axis_letters: For fields, a letter for each of their axes: axes of one letter must be of one length in a file
            that is loaded, and one with a digit of that length. A list is one axis long.
        position_letters: For fields, the letter of the axis that they count along: no value may lie beyond it.
        texts: Which arrays with letters are text; the others are numbers.
    """

    version: ClassVar[int] = 1
    texts: ClassVar[Collection[str]] = ("ids",)
    axis_letters: ClassVar[Mapping[str, str]] = {}
    position_letters: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__repr__ = Record.__repr__  # a dataclass would print every array whole

    def __repr__(self) -> str:
        """A line per field; arrays as their type and shape, `float32[150, 3]`."""
        lines = [f"  {field.name}: {_shown(getattr(self, field.name))}" for field in dataclasses.fields(self)]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the record to one .npz file, atomically.

        Raises:
            TypeError: If a field is neither an array nor a JSON value.
        """
        arrays, header = _packed(self)
        return _write(Path(path), arrays, _HEADER, header)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a record of this kind.

        Raises:
            InputError: If the file is missing, damaged, of another kind or version, or lacks a field.
        """
        content, header = _read(path, _HEADER)
        return _unpacked(cls, content, header, path)


def save_records(path: str | os.PathLike[str], records: Mapping[str, Record], note: dict[str, Any]) -> Path:
    """Writes several records to one .npz file, atomically: all of them are there, or none is.

    Args:
        path: The file.
        records: The records by name.
        note: A few JSON values about them.

    Raises:
        TypeError: If a field is neither an array nor a JSON value.
    """
    arrays: dict[str, np.ndarray] = {}
    headers: dict[str, Any] = {}
    for name, record in records.items():
        mine, headers[name] = _packed(record)
        arrays |= {f"{name}/{field}": array for field, array in mine.items()}
    return _write(Path(path), arrays, _HEADERS, {"records": headers, "note": note})


def load_records(path: str | os.PathLike[str], kinds: Mapping[str, type[R]]) -> tuple[dict[str, R], dict[str, Any]]:
    """Reads what `save_records` wrote.

    Args:
        path: The file.
        kinds: The kind of each record that is expected, by name.

    Returns:
        The records by name, and the note.

    Raises:
        InputError: If the file is missing, damaged, or holds other records.
    """
    content, header = _read(path, _HEADERS)
    found: dict[str, R] = {}
    headers = header.get("records") if isinstance(header, dict) else None
    if not isinstance(headers, dict) or headers.keys() != kinds.keys() or "note" not in header:
        raise InputError(f"expected the records {', '.join(kinds)} in {path}, found {brief(repr(headers), 60)}")
    for name, kind in kinds.items():
        start = f"{name}/"
        mine = {field.removeprefix(start): array for field, array in content.items() if field.startswith(start)}
        found[name] = _unpacked(kind, mine, headers[name], path)
    return found, header["note"]


def load_note(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the note of `save_records`, and none of the arrays; raises as `load_records` does."""
    try:
        with _opened(path) as archive:
            return json.loads(str(archive[_HEADERS]))["note"]
    except RobustkitError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # as in `_read`
        raise _unreadable(path, error) from error


def from_jsonable(kind: type[T], value: Any, path: str | os.PathLike[str]) -> T:
    """A dataclass from the JSON values that `robustkit.files.jsonable` made of it; a null among numbers becomes nan.

    Args:
        kind: The dataclass; its fields are numbers, text, arrays, sequences, mappings, dataclasses, or `None`.
        value: The JSON values.
        path: Where they stand, for the message.

    Raises:
        InputError: If they are not of this kind.
    """
    try:
        return _revived(kind, value)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise InputError(f"{path} does not hold a readable {kind.__name__} ({brief(error)}); make it again") from error


def _revived(kind: Any, value: Any) -> Any:
    arms, origin = get_args(kind), get_origin(kind)
    if isinstance(kind, UnionType):
        if value is None and NoneType in arms:
            return None
        array = np.ndarray in arms and isinstance(value, list)
        return _revived(np.ndarray if array else next(arm for arm in arms if arm not in (NoneType, np.ndarray)), value)
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        fields = {one.name: _revived(hints[one.name], value[one.name]) for one in dataclasses.fields(kind)}
        return kind(**fields)  # type: ignore[operator]
    if origin is dict:
        return {key: _revived(arms[1], item) for key, item in value.items()}
    if origin in (tuple, list):
        return origin(_revived(arms[0], item) for item in value)
    if kind is np.ndarray:
        return np.array([math.nan if item is None else item for item in value])
    if kind is float and value is None:
        return math.nan
    if not isinstance(value, (int, float) if kind is float else kind):
        raise TypeError(f"expected {kind.__name__}, found {brief(value)}")
    return kind(value)


def _packed(record: Record) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a record, and all else about it as JSON values."""
    arrays: dict[str, np.ndarray] = {}
    values: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            if value.dtype == object:
                raise TypeError(
                    f"field {field.name!r} of {type(record).__name__} is an object array; use numbers or str"
                )
            arrays[field.name] = value
        else:
            values[field.name] = value
    return arrays, {"kind": type(record).__name__, "version": record.version, "values": values}


def _unpacked(kind: type[R], arrays: dict[str, np.ndarray], header: Any, path: str | os.PathLike[str]) -> R:
    try:
        found, version, values = header["kind"], header["version"], dict(header["values"])
    except (TypeError, KeyError, ValueError) as error:
        raise _unreadable(path, error) from error
    if (found, version) != (kind.__name__, kind.version):
        raise InputError(
            f"expected a {kind.__name__} record of version {kind.version} in {path}, "
            f"found {found} of version {version}; make it again with this robustkit"
        )
    names = {field.name for field in dataclasses.fields(kind)}
    if names != set(arrays) | set(values):
        missing, extra = sorted(names - set(arrays) - set(values)), sorted((set(arrays) | set(values)) - names)
        raise InputError(f"the {found} record in {path} lacks {missing} and has unknown {extra}; make it again")
    misfits = _misfits(kind, {**arrays, **values})
    if misfits:
        raise InputError(f"the {found} record in {path} does not fit itself: {misfits}; make it again")
    return kind(**arrays, **values)


def fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value may stand where a type is expected; what is no JSON value at all may be anything."""
    made, inside = get_origin(hint) or hint, get_args(hint)
    if made in (Union, UnionType):
        return any(fits(value, one) for one in inside)
    if made is Literal:
        return value in inside
    if isinstance(made, type) and issubclass(made, Sequence) and made is not str:
        return isinstance(value, list | tuple) and all(fits(item, one) for item in value for one in inside[:1])
    if isinstance(made, type) and issubclass(made, Mapping):
        return isinstance(value, dict) and all(fits(item, one) for item in value.values() for one in inside[1:])
    if made is os.PathLike:
        return isinstance(value, str)
    if isinstance(value, bool):
        return made in (bool, Any)
    return made is Any or not isinstance(made, type) or isinstance(value, (int, float) if made is float else made)


def settings_from(kind: type[T], given: Mapping[str, Any]) -> T:
    """A settings dataclass from the arguments of a call in Python.

    Args:
        kind: The dataclass.
        given: By field; numbers of NumPy become those of Python.

    Raises:
        InputError: If an argument is of another type than its field.
    """
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
    hints = _known_hints(kind)
    for name, value in plain.items():
        hint = hints[name]
        if not fits(value, hint):
            raise InputError(f"expected {name} as {named_type(hint)}, got {brief(repr(value), 60)}")
    return kind(**plain)


def _known_hints(kind: type[Any]) -> dict[str, Any]:
    """The types of fields, anything where one names what is imported for type checkers alone."""
    unknown: dict[str, Any] = {}
    while True:
        try:
            return get_type_hints(kind, localns=unknown)
        except NameError as error:
            if error.name is None or error.name in unknown:
                raise
            unknown[error.name] = Any


@functools.cache
def _hints(kind: type[Record]) -> dict[str, Any]:
    try:
        return get_type_hints(kind)
    except NameError:  # of a class of the user's, with names that only its own module has
        return {}


def _misfits(kind: type[Record], fields: Mapping[str, Any]) -> str:
    """Which field of a file is of another type, of another length than those beside it, or counts beyond them."""
    for name, hint in _hints(kind).items():
        value = fields.get(name)
        if hint is np.ndarray and name in fields:
            wanted = ("U" if name in kind.texts else "biuf") if name in kind.axis_letters else "Ubiuf"
            if not isinstance(value, np.ndarray) or value.dtype.kind not in wanted:
                return f"{name} is no array of {'text' if wanted == 'U' else 'numbers'}"
        elif name in fields and not fits(value, hint):
            return f"{name} is {brief(repr(value), 60)}"
    lengths: dict[str, int] = {str(digit): digit for digit in range(10)}
    for name, letters in kind.axis_letters.items():
        value = fields[name]
        shape = value.shape if isinstance(value, np.ndarray) else (len(value),) if isinstance(value, list) else ()
        known = letters if 0 not in shape else letters[:1]  # of nothing, the other axes say nothing
        if len(shape) < len(known) or (known == letters and len(shape) > len(letters)):
            return f"{name} is of shape {shape}"
        if any(lengths.setdefault(letter, side) != side for letter, side in zip(known, shape, strict=False)):
            return f"{name} is of shape {shape}"
    for name, letter in kind.position_letters.items():
        value = fields[name]
        if value.dtype.kind not in "iu" or (value.size and value.max() >= lengths.get(letter, 0)):
            return f"{name} counts beyond the {lengths.get(letter, 0)} there are"
    return ""


def _write(path: Path, arrays: dict[str, np.ndarray], name: str, header: dict[str, Any]) -> Path:
    text = json.dumps(header, sort_keys=True)
    with atomic_write(path) as file:
        np.savez(file, **{name: np.array(text)}, **arrays)  # type: ignore[arg-type]
    return path


def _read(path: str | os.PathLike[str], name: str) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays of a file and its header."""
    try:
        with _opened(path) as archive:
            content = {name: archive[name] for name in archive.files}
        return content, json.loads(str(content.pop(name)))
    except RobustkitError:
        raise
    except OSError as error:
        raise InputError(f"cannot read the record {path}: {error.strerror or error}") from error
    except Exception as error:  # zipfile, numpy and json each raise their own kinds on a damaged file
        raise _unreadable(path, error) from error


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Generator[Any]:
    """The archive of arrays, which unpacks to no more than the file holds."""
    check_plain(path, "a robustkit record")
    # Opened here, because NumPy leaves the file open when the archive inside is damaged.
    with open(path, "rb") as file:
        _check_members(file)
        with np.load(file, allow_pickle=False) as archive:
            yield archive


def _check_members(file: BinaryIO) -> None:
    """Refuses an archive that would unpack to more than it holds, before any array of it is read.

    Raises:
        ValueError: If a member is compressed, or claims other values than it holds.
    """
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise ValueError(f"its member {brief(member.filename)} is compressed, and robustkit compresses none")
            with archive.open(member) as inside:
                version = np.lib.format.read_magic(inside)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(inside)
                if math.prod(shape) * dtype.itemsize != member.file_size - inside.tell():
                    raise ValueError(f"its member {brief(member.filename)} claims other values than it holds")
    file.seek(0)


def _unreadable(path: str | os.PathLike[str], error: Exception) -> InputError:
    return InputError(f"{path} is not a readable robustkit record ({brief(error)}); make it again")


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
