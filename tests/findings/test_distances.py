# pyright: reportOperatorIssue=false, reportCallIssue=false, reportAttributeAccessIssue=false
from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from robustkit.cli import group
from robustkit.errors import InputError
from robustkit.files import read_json
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from robustkit.findings.distances.measure import run_distances
from robustkit.findings.distances.record import DistanceRecord, DistancesRequest
from robustkit.latent.embeddings import Embeddings
from robustkit.models import open_checkpoint, save_checkpoint
from tests.attacks import make_attack


@pytest.fixture(scope="module")
def attack(tmp_path_factory):
    return make_attack(tmp_path_factory.mktemp("attack"))


@pytest.fixture(scope="module")
def base(attack, tmp_path_factory):
    """The same network with its latent stretched by two and the head by a half: the same answers, other distances."""
    model = attack[0]
    checkpoint = open_checkpoint(model)
    network = checkpoint.classifier.module
    with torch.no_grad():
        network.bottleneck.weight *= 2
        network.bottleneck.bias *= 2
        network.fc.weight *= 0.5
    other = save_checkpoint(model.parent / "base.pt", network, checkpoint.card)
    out = tmp_path_factory.mktemp("base") / "attack"
    request = AttackRequest(n=16, budget=200, searches=("random", "de"))
    return other, run_attack(other, request, out=out, say=lambda line: None).folder


def test_a_run_leaves_records_tables_histograms_and_summary(attack, tmp_path):
    out = tmp_path / "distances"
    arguments = ["distances", "--model", str(attack[0]), "--run", str(attack[1]), "--draws", "99", "--out", str(out)]
    result = CliRunner().invoke(group, arguments)
    assert result.exception is None, result.output
    record, found = DistanceRecord.load(out / "distances.npz"), Embeddings.load(out / "embeddings.npz")
    assert {"histograms.png", "histograms.pdf", "table.md", "js-by-bins.csv"} <= {path.name for path in out.iterdir()}
    rows = list(csv.DictReader((out / "distances.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(found.ids)
    pixel = [row for row in rows if row["perturbation"] == "one pixel"]
    assert sum(row["censored"] == "1" for row in pixel) == found.censored.sum() > 0
    for row, i in zip(pixel, range(len(found.ids)), strict=True):
        assert (row["euclidean"] == "") == (not found.flipped[i])
        assert (row["queries"] == "") == (not found.attempted[i])
    table = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    line = next(row for row in table if (row["perturbation"], row["measure"]) == ("noisy", "d_E"))
    assert float(line["median"]) == pytest.approx(np.median(record.euclidean[0]))
    summary = read_json(out / "summary.json")
    assert summary["models"]["net"]["flipped"] == found.flipped.sum()
    assert summary["comparison"] is None
    assert f"{found.censored.sum()} never were" in result.output
    assert "| noisy | d_E | net | 16 |" in (out / "table.md").read_text()


def test_a_change_of_coordinates_changes_d_e_and_not_its_invariant_twin(attack, base, tmp_path):
    said = []
    request = DistancesRequest(base=base[0], base_run=base[1], draws=99)
    run = run_distances(*attack, request, out=tmp_path / "distances", say=said.append)
    found = {(c.perturbation, c.measure.field): c for c in run.comparison.comparisons}
    assert found["noisy", "euclidean"].ratio_of_means.value == pytest.approx(0.5, rel=1e-4)
    assert found["noisy", "in_scatter"].ratio_of_means.value == pytest.approx(1, rel=1e-4)
    records = [record for record, _ in run.models]
    np.testing.assert_allclose(records[0].reach[0], records[1].reach[0], rtol=1e-3)
    assert [record.model for record in records] == ["base", "net"]
    assert DistanceRecord.load(tmp_path / "distances" / "distances-base.npz").model == "base"
    assert any("two checkpoints, not two methods" in line for line in said)
    text = (tmp_path / "distances" / "table.md").read_text()
    assert "net against base" in text
    assert "| noisy | d_E | 16 | 0.5" in text
    summary = read_json(tmp_path / "distances" / "summary.json")
    assert summary["comparison"]["caution"] == "two checkpoints, not two methods"
    bins = list(csv.DictReader((tmp_path / "distances" / "js-by-bins.csv").read_text().splitlines()))
    assert {row["bins"] for row in bins if row["samples"] == "base, net: noisy, d_E"} >= {"5", "10", "20", "30"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 10}, "at least 99"),
        ({"base_run": "runs"}, "give --base and --base-run, or neither"),
        ({"search": "luck"}, "no search 'luck'"),
        ({"noisy": "Y7"}, "no noisy images are called 'Y7'"),
    ],
)
def test_refusals_write_nothing(attack, tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        run_distances(*attack, DistancesRequest(**options), out=tmp_path / "out", say=lambda line: None)
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused_before_the_work(attack, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    said = []
    with pytest.raises(InputError, match="already holds files"):
        run_distances(*attack, out=tmp_path, say=said.append)
    assert not said


def test_a_run_of_another_model_is_refused(attack, base, tmp_path):
    with pytest.raises(InputError, match="was on another model"):
        run_distances(attack[0], base[1], out=tmp_path / "out", say=lambda line: None)
    request = DistancesRequest(base=shutil.copy(attack[0], tmp_path / "copy.pt"), base_run=attack[1])
    with pytest.raises(InputError, match="the same checkpoint"):
        run_distances(*attack, request, out=tmp_path / "out", say=lambda line: None)
    assert not (tmp_path / "out").exists()
