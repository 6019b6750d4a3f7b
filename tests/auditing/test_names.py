"""Ids and classes as people write them, through runs whose files and tables are named and filled with them."""

import csv
import io

import pytest

from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from robustkit.findings.sweep.measure import run_sweep
from robustkit.findings.sweep.record import SweepRequest
from robustkit.findings.writing import file_name
from robustkit.tables import cell
from robustkit.words import shown
from tests.attacks import silent
from tests.audits import make_audit

ODD = [
    "two\nlines",
    "$\\frac{$",
    "\u200fright to left",
    "n" * 300,
    "\u661f" * 100,
    "comma, \"quotes\" and 'more'",
    "../../up",
    "=1+1",
]
CLASSES = ("two\n$\\frac{$ \u200fclasses", "\u661f" * 100, "n" * 300)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A checkpoint whose images and classes have such names; the odd ones come first in its test part."""
    return make_audit(tmp_path_factory.mktemp("odd"), classes=CLASSES, ids=ODD)[0]


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def check_files(folder):
    names = [path.name for path in folder.rglob("*")]
    assert all(len(name.encode()) < 255 for name in names)
    assert all(name.isprintable() for name in names)
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


def test_an_attack_on_odd_names_keeps_every_one(odd, tmp_path):
    done = run_attack(odd, AttackRequest(n=20, budget=60), out=tmp_path / "run", say=silent)
    table = rows(done.folder / "attacks.csv")
    assert {row["id"] for row in table} == set(map(cell, done.record.ids.tolist()))
    assert set(done.record.ids.tolist()) > set(map(shown, ODD))
    assert {row["true"] for row in table} <= set(map(shown, CLASSES))
    assert list((done.folder / "pictures").iterdir())
    check_files(done.folder)


def test_a_sweep_of_odd_classes_keeps_every_one(odd, tmp_path):
    done = run_sweep(odd, SweepRequest(perturbations=("gaussian",), n=20), codecs=0, out=tmp_path / "run", say=silent)
    assert {f"recall_{shown(name)}" for name in CLASSES} <= rows(done.folder / "sweep.csv")[0].keys()
    assert set(done.record.ids.tolist()) > set(map(shown, ODD))
    check_files(done.folder)


def test_names_of_files_are_short_and_never_the_same():
    names = {*ODD, *CLASSES, "a b", "a_b", "a/b", "a\nb", "n" * 299, "\u661f" * 99, "\ud800", "_" * 8}
    made = [file_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert all(len(name.encode()) <= 60 for name in made)
    assert file_name("galaxy-7.2_b") == "galaxy-7.2_b"
