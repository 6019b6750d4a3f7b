"""Several audits beside each other: who is best, who is shown to be worse, and what cannot be compared."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from robustkit.auditing.machine import SCHEMA
from robustkit.auditing.many import ALPHA, Audited, compare_many, read_audits, standings
from robustkit.errors import InputError


def audit(folder, name, bad, *, ids=None, n=None, seed=0):
    """Writes the audit.json of a model that is wrong on some images."""
    folder = folder / name
    folder.mkdir()
    ids = [f"g{i}" for i in range(len(bad))] if ids is None else ids
    one = {
        "model": f"models/{name}.pt", "data": "galaxies", "data_sha256": "0", "part": "test", "seed": seed,
        "n": n or len(ids),
        "outcomes": {"ids": list(ids), "bad": {"wrong": bad, "random extreme pixel": [None, *bad[1:]]}},
    }  # fmt: skip
    (folder / "audit.json").write_text(json.dumps({"schema": SCHEMA, "models": [one]}))
    return folder


@pytest.fixture
def three(tmp_path):
    """Two good models and a bad one, on 60 images."""
    wrong = {"good": 3, "near": 5, "bad": 40}
    return [audit(tmp_path, name, [float(i < k) for i in range(60)]) for name, k in wrong.items()]


def test_the_best_is_named_and_who_is_worse(three, tmp_path):
    said = []
    page = compare_many(three, out=tmp_path / "out", say=said.append)
    assert said[0].startswith("accuracy: highest for good, 0.950")
    assert said[0].endswith("shown to be worse: bad; 1 cannot be told apart from it")
    text = page.read_text()
    assert "3 models on the same images" in text
    assert "against-the-best" in text
    rows = list(csv.DictReader((tmp_path / "out" / "comparison.csv").read_text().splitlines()))
    assert [row["model"] for row in rows if row["measure"] == "accuracy"] == ["good", "near", "bad"]
    kept = json.loads((tmp_path / "out" / "comparison.json").read_text())["rows"]
    assert [row["p_adjusted"] <= ALPHA for row in kept if row["measure"] == "accuracy"] == [False, False, True]


def test_images_in_another_order_are_paired_by_id(three, tmp_path):
    other = audit(tmp_path, "turned", [float(i < 3) for i in range(60)][::-1], ids=[f"g{59 - i}" for i in range(60)])
    audits = read_audits([three[0], other])
    assert np.array_equal(audits[0].good["accuracy"], audits[1].good["accuracy"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bad": [0.0] * 10, "n": 10}, "odd is of other images than .*good .n 10 instead of 60; 10 of 60 are shared."),
        (
            {"bad": [0.0] * 60, "ids": [f"h{i}" for i in range(60)], "seed": 3},
            "seed 3 instead of 0; 0 of 60 are shared",
        ),
    ],
)
def test_audits_of_other_images_are_named_with_what_to_do(three, tmp_path, change, words):
    bad = change.pop("bad")
    odd = audit(tmp_path, "odd", bad, **change)
    with pytest.raises(InputError, match=words) as refused:
        read_audits([*three, odd])
    assert "audit it again with --data galaxies --part test --n 60 --seed 0" in str(refused.value)


def test_an_audit_that_is_named_twice_is_refused(three):
    with pytest.raises(InputError, match="was named more than once"):
        read_audits([three[0], three[1], three[0]])


def test_accuracy_stands_first(three):
    assert next(iter(read_audits(three)[0].good)) == "accuracy"


def test_one_audit_is_not_compared(three):
    with pytest.raises(InputError, match="expected 2 to 30 audits to compare, got 1"):
        read_audits(three[:1])


def test_equal_models_are_seldom_called_worse():
    """Three models of the same accuracy: a column may call any of them worse one time in twenty."""
    rng = np.random.default_rng(0)
    called, ids = 0, tuple(map(str, range(30)))
    for _ in range(40):
        good = (rng.random((3, 30)) < 0.7).astype(float)
        audits = [Audited(str(i), Path(), ids, {"accuracy": row}, {}) for i, row in enumerate(good)]
        called += any(row.p <= ALPHA for row in standings(audits))
    assert called <= 0.05 * 40 + 3 * np.sqrt(40 * 0.05 * 0.95)


def test_two_models_of_one_name_are_told_apart(tmp_path):
    folders = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        folders.append(audit(tmp_path / place, "net", [0.0, 1.0, 1.0]))
    assert [one.label for one in read_audits(folders)] == [str(folder) for folder in folders]
