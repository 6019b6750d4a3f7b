from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

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
