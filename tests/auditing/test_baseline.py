"""Gates on change: an audit against the audit.json of an earlier one, image by image."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from robustkit.auditing import baseline
from robustkit.auditing.machine import as_json, outcomes_of
from robustkit.errors import InputError
from robustkit.findings.finding import ModelRecords
from robustkit.findings.registry import built_in

N = 200


def against_baseline(path, found):
    return baseline.against_baseline(path, found, built_in())


def _found(rng, *, accuracy=0.9, flips=0.2, lost=0.05, ids=range(N)):
    correct = rng.random(N) < accuracy
    flipped = correct & (rng.random(N) < flips)
    right = correct * (1 - rng.binomial(5, lost, N) / 5)
    sweep = SimpleNamespace(
        name=np.array(["psf"]), steps=lambda name: np.array([0]), right=right[None], true=np.zeros(N, int),
        clean_class=np.where(correct, 0, 1),
    )  # fmt: skip
    chances = np.where(flipped, 0.3, 0.0)
    certificate = SimpleNamespace(chance_low=chances, complete=correct)
    attack = SimpleNamespace(correct=correct, flipped_images=lambda: flipped)
    about = {"ids": [f"image-{i}" for i in ids], "class_names": ["a", "b"]}
    return ModelRecords("net", Path(), about, {}, {"attack": attack, "sweep": sweep, "certificate": certificate})


def _save(path, found):
    path.write_text(as_json({"models": [{"outcomes": outcomes_of(found, built_in())}]}))
    return path


def test_a_network_that_is_no_worse_passes_and_one_that_is_fails_by_name(tmp_path):
    kept = _save(tmp_path / "audit.json", _found(np.random.default_rng(0)))
    again = against_baseline(kept, _found(np.random.default_rng(0)))
    assert [gate.passed for gate in again] == [True] * 4
    assert sum("wrong or flipped no higher than in audit.json" in str(gate) for gate in again) == 1
    worse = against_baseline(kept, _found(np.random.default_rng(0), flips=0.5))
    assert {gate.gate.metric: gate.passed for gate in worse} == {
        "wrong": True, "wrong or flipped": False, "wrong under psf": True, "random extreme pixel": False,
    }  # fmt: skip
    assert str(next(gate for gate in worse if not gate.passed)).startswith("FAILED: wrong or flipped no higher")
    better = against_baseline(kept, _found(np.random.default_rng(0), flips=0.0))
    assert all(gate.passed for gate in better)


def test_noise_seldom_trips_the_gate(tmp_path):
    rng = np.random.default_rng(1)
    failed = 0
    for _ in range(60):
        kept = _save(tmp_path / "audit.json", _found(rng))
        failed += not all(gate.passed for gate in against_baseline(kept, _found(rng)))
    assert failed <= 8  # 3 are expected at most


def test_a_baseline_of_other_images_or_without_outcomes_is_refused(tmp_path):
    kept = _save(tmp_path / "audit.json", _found(np.random.default_rng(0), ids=range(N, 2 * N)))
    with pytest.raises(InputError, match="is of other images"):
        against_baseline(kept, _found(np.random.default_rng(0)))
    kept.write_text('{"models": []}')
    with pytest.raises(InputError, match="holds no outcomes"):
        against_baseline(kept, _found(np.random.default_rng(0)))


@pytest.mark.parametrize("bad", [{"wrong": ["evil"] * 9}, {"wrong": [0.0]}, {"wrong": 3}, "words"])
def test_a_baseline_whose_outcomes_are_no_numbers_is_refused_in_one_sentence(tmp_path, monkeypatch, bad):
    found = {"ids": [f"i{k}" for k in range(9)], "bad": {"wrong": [0.0] * 9}}
    monkeypatch.setattr("robustkit.auditing.baseline.outcomes_of", lambda audited, kinds: found)
    path = tmp_path / "audit.json"
    path.write_text(json.dumps({"models": [{"outcomes": {"ids": found["ids"], "bad": bad}}]}))
    with pytest.raises(InputError) as caught:
        against_baseline(path, None)
    assert "\n" not in str(caught.value)
