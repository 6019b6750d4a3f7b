"""A finished unit is a file that is whole under its name, or not there."""

from dataclasses import dataclass

import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.records import Record
from robustkit.runs import Parts


@dataclass(frozen=True, eq=False)
class Seen(Record):
    values: np.ndarray
    name: str


@pytest.fixture
def parts(tmp_path):
    parts = Parts(tmp_path)
    for unit in (2, 0):
        both = {"model": Seen(np.arange(unit + 1), f"unit {unit}"), "base": Seen(np.zeros(0), "")}
        parts.keep(unit, both, {"sizes": [unit]})
    return parts


def test_units_come_in_order_with_their_records_and_notes(parts):
    assert list(parts) == [0, 2]
    assert 0 in parts
    assert 1 not in parts
    found = parts.load(2, {"model": Seen, "base": Seen})
    assert found["model"].values.tolist() == [0, 1, 2]
    assert found["model"].name == "unit 2"
    assert len(found["base"].values) == 0
    assert parts.note(2) == {"sizes": [2]}


def test_an_empty_folder_has_none(tmp_path):
    assert list(Parts(tmp_path / "nowhere")) == []
    assert 0 not in Parts(tmp_path)


def test_what_is_not_a_part_is_not_counted(parts):
    for name in (".0000001.npz.ab.part", "notes.txt", "1.npz"):
        (parts.folder / name).write_text("mine")
    assert list(parts) == [0, 2]


def test_gathered_parts_are_the_same_bytes(parts, tmp_path):
    other = Parts(tmp_path / "other")
    other.folder.parent.mkdir()
    other.gather([parts])
    assert list(other) == [0, 2]
    assert other.path(2).read_bytes() == parts.path(2).read_bytes()


@pytest.mark.parametrize("cut", [0, 1, 100, -40])
def test_a_part_that_was_damaged_is_named_with_what_to_do(parts, cut):
    whole = parts.path(2).read_bytes()
    parts.path(2).write_bytes(whole[:cut])
    with pytest.raises(InputError, match=r"0000002\.npz.*delete that file and continue with --resume"):
        parts.load(2, {"model": Seen, "base": Seen})


def test_other_records_than_expected_are_refused(parts):
    with pytest.raises(InputError, match="expected the records model in"):
        parts.load(2, {"model": Seen})
