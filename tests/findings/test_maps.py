# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
from __future__ import annotations

import csv

import numpy as np
import pytest
from click.testing import CliRunner

from robustkit.cli import group
from robustkit.errors import InputError
from robustkit.files import read_json
from robustkit.findings.maps.measure import run_isomap
from robustkit.findings.maps.record import IsomapRequest, LatentMap
from robustkit.latent.embeddings import Embeddings
from tests.attacks import make_attack


@pytest.fixture(scope="module")
def attack(tmp_path_factory):
    return make_attack(tmp_path_factory.mktemp("attack"))


def test_a_run_leaves_records_table_drawings_and_summary(attack, tmp_path):
    pytest.importorskip("captum")
    arguments = ["isomap", "--model", str(attack[0]), "--run", str(attack[1]), "--neighbours", "5", "--device", "cpu"]
    arguments += ["--also", "tsne", "--grad-cam", "--frames", "2", "--out", str(tmp_path / "map")]
    result = CliRunner().invoke(group, arguments)
    assert result.exception is None, result.output
    names = {path.name for path in (tmp_path / "map").iterdir()}
    assert names >= {"isomap.png", "isomap.pdf", "isomap-3d.png", "isomap-3d.gif", "grad-cam.png", "isomap.csv"}
    record = LatentMap.load(tmp_path / "map" / "isomap.npz")
    found = Embeddings.load(tmp_path / "map" / "embeddings.npz")
    np.testing.assert_array_equal(record.ids, found.ids)
    assert record.model_sha256 == found.model_sha256
    rows = list(csv.DictReader((tmp_path / "map" / "isomap.csv").read_text().splitlines()))
    assert len(rows) == len(record.kind) == 32 + found.flipped.sum()
    assert float(rows[20]["solid_3"]) == pytest.approx(record.solid[20, 2])
    assert rows[-1]["kind"] == "attacked"
    assert rows[-1]["tsne_1"] == ""
    summary = read_json(tmp_path / "map" / "summary.json")
    assert summary["maps"]["net"]["components"] == record.components
    assert summary["films"][0] == "isomap-3d.gif"
    assert "16 clean and 16 noisy latents fitted" in result.output


def test_a_base_is_laid_onto_the_model(attack, tmp_path):
    said = []
    request = IsomapRequest(neighbours=5, base=attack[0], base_run=attack[1], frames=0, landmarks=20)
    run = run_isomap(*attack, request, out=tmp_path / "map", device="cpu", say=said.append)
    base = LatentMap.load(tmp_path / "map" / "isomap-base.npz")
    assert base.model == "net (base)"
    assert base.disparity["solid"] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(base.solid, run.maps[0].solid, atol=1e-9 * np.abs(base.solid).max())
    assert run.maps[0].settings["landmarks"] == 20
    assert not list((tmp_path / "map").glob("*.gif"))
    assert any("Procrustes disparity 0.00 " in line for line in said)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neighbours": 40}, "more than 40 distinct points; there are 32"),
        ({"others": ("som",)}, "no map is called 'som'"),
        ({"base": "other.pt"}, "give --base and --base-run, or neither"),
        ({"frames": -1}, "0 frames or more"),
        ({"search": "luck"}, "no search 'luck'"),
    ],
)
def test_refusals_write_nothing(attack, tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        run_isomap(*attack, IsomapRequest(**options), out=tmp_path / "map", say=lambda line: None)
    assert not (tmp_path / "map").exists()
