import dataclasses
import importlib
import pkgutil
from dataclasses import dataclass, replace
from typing import ClassVar, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import robustkit
from robustkit.errors import InputError
from robustkit.records import Record


@dataclass(frozen=True, eq=False)
class Speeds(Record):
    speed: np.ndarray
    names: np.ndarray
    settings: dict


@dataclass(frozen=True, eq=False)
class Newer(Record):
    version: ClassVar[int] = 2
    speed: np.ndarray


@pytest.fixture
def speeds():
    return Speeds(np.arange(3.0), np.array(["a", "\u00e9"]), {"seed": 1, "name": "</script>"})


def test_a_record_goes_round(tmp_path, speeds):
    again = Speeds.load(speeds.save(tmp_path / "r.npz"))
    np.testing.assert_array_equal(again.speed, speeds.speed)
    np.testing.assert_array_equal(again.names, speeds.names)
    assert again.settings == speeds.settings


def test_other_kinds_and_versions_are_refused(tmp_path, speeds):
    with pytest.raises(InputError, match="expected a Newer record of version 2"):
        Newer.load(speeds.save(tmp_path / "r.npz"))


def test_objects_are_never_pickled(tmp_path):
    with pytest.raises(TypeError, match="object array"):
        Speeds(np.array([{}]), np.array([]), {}).save(tmp_path / "r.npz")
    with pytest.raises(TypeError, match="not JSON serializable"):
        Speeds(np.array([1]), np.array([]), {"x": object()}).save(tmp_path / "r.npz")
    assert not list(tmp_path.iterdir())


def test_a_record_cut_anywhere_is_refused_in_words(tmp_path, speeds):
    whole = speeds.save(tmp_path / "r.npz").read_bytes()
    for length in range(0, len(whole), 37):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.npz"):
            Speeds.load(tmp_path / "cut.npz")


def test_a_pickle_in_disguise_is_refused(tmp_path):
    np.savez(tmp_path / "evil.npz", __record__=np.array([{"kind": "Speeds"}], dtype=object))
    with pytest.raises(InputError, match="not a readable robustkit record"):
        Speeds.load(tmp_path / "evil.npz")


@dataclass(frozen=True, eq=False)
class Tracks(Record):
    axis_letters: ClassVar[dict[str, str]] = {"ids": "N", "track": "NT", "of": "A", "names": "K"}
    position_letters: ClassVar[dict[str, str]] = {"of": "N"}
    ids: np.ndarray
    track: np.ndarray
    of: np.ndarray
    names: list[str]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ids", np.array(["a"])), ("track", np.zeros((2, 4))[:1]), ("track", np.zeros(2)), ("ids", np.array("a")),
        ("of", np.array([0, 2])), ("of", np.array([2**62])), ("of", np.array([0.5])), ("of", np.array(["0"])),
        ("track", np.zeros((2, 2, 2))), ("ids", np.zeros((0, 3))),
    ],
)  # fmt: skip
def test_a_record_whose_arrays_do_not_fit_each_other_is_refused(tmp_path, field, value):
    good = Tracks(np.array(["a", "b"]), np.zeros((2, 3)), np.array([0, 1, -1]), ["x"])
    assert Tracks.load(good.save(tmp_path / "good.npz")).names == ["x"]
    none = Tracks(np.array([], str), np.zeros((0, 7)), np.zeros(0, int), [])
    assert len(Tracks.load(none.save(tmp_path / "none.npz")).ids) == 0
    path = replace(good, **{field: value}).save(tmp_path / "bad.npz")
    with pytest.raises(InputError, match=f"the Tracks record in .* does not fit itself: {field}|track is"):
        Tracks.load(path)


def every_kind():
    """All records that robustkit has, found where they are defined."""
    for name in (name for _, name, _ in pkgutil.walk_packages(robustkit.__path__, "robustkit.")):
        if name.rpartition(".")[2] in ("record", "sets", "embeddings", "examples", "evaluate"):
            importlib.import_module(name)
    kinds = [Record]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return sorted({kind for kind in kinds if kind.__module__.startswith("robustkit.") and kind is not Record}, key=str)


def made_up(kind):
    """A record of a kind, with an axis of its own length for each letter."""
    letters = sorted({letter for axes in kind.axis_letters.values() for letter in axes if not letter.isdigit()})
    lengths = {letter: 11 + number for number, letter in enumerate(letters)}
    values = {str: "x", int: 3, float: 0.5, bool: True}
    fields = {}
    for name, hint in get_type_hints(kind).items():
        if name in (field.name for field in dataclasses.fields(kind)):
            shape = [lengths.get(letter) or int(letter) for letter in kind.axis_letters.get(name, "")]
            if hint is np.ndarray:
                fields[name] = np.zeros(shape, "U3" if name in kind.texts else np.int64)
            elif get_origin(hint) is list:
                fields[name] = [values.get(get_args(hint)[0], {})] * (shape or [0])[0]
            else:
                fields[name] = values.get(hint, {})
    return kind(**fields)


def test_there_are_records_enough_to_look_at():
    assert {"AttackRecord", "HazardRecord", "AmplitudeRecord", "ConformalRecord", "Embeddings", "Examples"} <= {
        kind.__name__ for kind in every_kind()
    }


@pytest.mark.parametrize("kind", every_kind(), ids=lambda kind: kind.__name__)
def test_every_array_and_list_of_a_record_says_how_long_it_may_be(kind):
    for name, hint in get_type_hints(kind).items():
        if name not in (field.name for field in dataclasses.fields(kind)):
            continue
        if hint is np.ndarray or (get_origin(hint) is list and get_args(hint)[0] in (str, int, float, bool)):
            assert name in kind.axis_letters, f"{name} of {kind.__name__} has no letters"
    assert set(kind.position_letters.values()) <= {letter for axes in kind.axis_letters.values() for letter in axes}


@pytest.mark.parametrize("kind", every_kind(), ids=lambda kind: kind.__name__)
def test_every_field_of_a_record_that_somebody_changed_is_refused(kind, tmp_path):
    good = made_up(kind)
    kind.load(good.save(tmp_path / "good.npz"))
    letters = [letter for axes in kind.axis_letters.values() for letter in set(axes)]
    for field in dataclasses.fields(kind):
        value, axes = getattr(good, field.name), kind.axis_letters.get(field.name, "")
        others = [{"a": [1]}, "x"] if not isinstance(value, dict | str) else [7, None]
        if isinstance(value, np.ndarray):
            others += [np.zeros(value.shape, complex), np.zeros(value.shape, "M8[s]"), value[None, ..., None]]
            others += [np.zeros(value.shape, "U3" if value.dtype.kind == "i" else float)]
            if field.name in kind.position_letters:
                others += [np.full(value.shape, 2**40), value.astype(float)]
        fixed = [axis for axis, letter in enumerate(axes) if letter.isdigit() or letters.count(letter) > 1]
        if isinstance(value, np.ndarray):
            others += [np.concatenate([value, value], axis) for axis in fixed]
        elif isinstance(value, list) and fixed:
            others += [value * 2]
        for other in others:
            with pytest.raises(InputError, match="does not fit itself"):
                kind.load(replace(good, **{field.name: other}).save(tmp_path / "bad.npz"))
