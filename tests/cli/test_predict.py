# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Every object of a survey gets its class, by whole commands: forms of models, formats, stops, shards, bad input."""

import csv
import os

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table

import robustkit as rk
from robustkit.catalogues.predict import Predict
from robustkit.errors import InputError
from robustkit.files import read_json
from robustkit.models import ConvNet
from robustkit.models.checkpoint import Card, save_checkpoint
from tests.cli.forms.table import FORMS

ABC = ("spiral", "elliptical", "merger")
CPU = ("--device", "cpu")
WANTED = (
    "state_dict, with `--arch`",
    "ONNX of PyTorch's TorchScript exporter",
    "ONNX in int8, QuantizeLinear and DequantizeLinear",
    "one logit, `--threshold 0.6`",
    "several labels, `--multi-label`",
    "vote fractions, two questions",
    "a regression, `--tolerance 0.1`",
    "two checkpoints, mean",
    "a function, `--model nets.py:predict`",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small network of ours, and 60 unlabelled images with a catalogue."""
    folder = tmp_path_factory.mktemp("predict")
    torch.manual_seed(0)
    network = ConvNet(bands=2, classes=3, size=(24, 24)).eval()
    images = np.random.default_rng(0).normal(size=(60, 2, 24, 24)).astype(np.float32)
    card = Card("convnet", ABC, ("g", "r"), (2, 24, 24), {"name": "none"}, ((-4, 4), (-4, 4)), network.latent)
    save_checkpoint(folder / "net.pt", network, card)
    ids = np.array([f"obj-{k:03d}" for k in range(60)])
    np.savez(folder / "survey.npz", images=images, ids=ids)
    order = np.random.default_rng(1).permutation(60)
    with open(folder / "cat.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["objid", "ra", "big", "class"]])
        writer.writerows([[ids[k], k / 7, 2**53 + 1 + int(k), "x"] for k in order])
    with torch.no_grad():
        logits = network(torch.from_numpy(images))
    return folder, ids, logits


def about(folder):
    return ("--model", folder / "net.pt", "--data", folder / "survey.npz", *CPU)


def read(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_classes_probabilities_and_ids_are_those_of_the_network(world, robustkit, tmp_path):
    folder, ids, logits = world
    code, said, wrong = robustkit("predict", *about(folder), "--group", 16, "--out", tmp_path / "c.csv")
    assert code == 0, wrong
    assert "60 objects" in said
    rows = read(tmp_path / "c.csv")
    assert [row["id"] for row in rows] == ids.tolist()
    assert [row["class"] for row in rows] == [ABC[k] for k in logits.argmax(1)]
    found = np.array([[float(row[f"p_{name}"]) for name in ABC] for row in rows])
    np.testing.assert_allclose(found, logits.softmax(1), atol=1e-6)
    np.testing.assert_allclose([float(row["probability"]) for row in rows], found.max(1), atol=1e-6)
    two = logits.topk(2, 1).values
    np.testing.assert_allclose([float(row["margin"]) for row in rows], two[:, 0] - two[:, 1], atol=1e-5)
    assert read_json(tmp_path / "c.csv.run" / "summary.json")["objects"] == 60


@pytest.mark.parametrize("suffix", ["fits", "parquet", "csv"])
def test_columns_of_a_catalogue_are_carried_along_by_id(world, robustkit, tmp_path, suffix):
    folder, ids, logits = world
    out, extra = tmp_path / f"c.{suffix}", ("--catalogue", folder / "cat.csv", "--columns", "ra,big,class")
    code, _, wrong = robustkit("predict", *about(folder), *extra, "--out", out)
    assert code == 0, wrong
    if suffix == "csv":
        table = {name: np.array([row[name] for row in read(out)]) for name in read(out)[0]}
    elif suffix == "fits":
        table = Table.read(out)
        assert any("sha256" in str(line) for line in fits.getheader(out, 1)["HISTORY"])
    else:
        pandas = pytest.importorskip("pandas")
        table = pandas.read_parquet(out)
    assert np.asarray(table["id"]).astype(str).tolist() == ids.tolist()
    assert np.asarray(table["class"]).astype(str).tolist() == [ABC[k] for k in logits.argmax(1)]
    np.testing.assert_allclose(np.asarray(table["ra"]).astype(float), np.arange(60) / 7)
    assert [int(value) for value in table["big"]] == [2**53 + 1 + k for k in range(60)]  # no float rounds them
    assert set(np.asarray(table["catalogue_class"]).astype(str)) == {"x"}


def test_a_stopped_run_goes_on_to_the_same_bytes_and_so_do_shards(world, robustkit, tmp_path, monkeypatch):
    folder, _, _ = world
    one = ("--group", 7, "--columns", "ra", "--catalogue", folder / "cat.csv")
    assert robustkit("predict", *about(folder), *one, "--out", tmp_path / "whole.csv")[0] == 0
    made = Predict.measure

    def breaks(self, part, bar):
        if part.start == 28:
            raise KeyboardInterrupt
        return made(self, part, bar)

    monkeypatch.setattr(Predict, "measure", breaks)
    assert robustkit("predict", *about(folder), *one, "--out", tmp_path / "stopped.csv")[0] == 130
    monkeypatch.setattr(Predict, "measure", made)
    assert not (tmp_path / "stopped.csv").exists()
    code, said, _ = robustkit("predict", *about(folder), *one, "--out", tmp_path / "stopped.csv")
    assert code == 0
    assert "4 of 9 groups were finished before" in said
    assert (tmp_path / "stopped.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    shards = []
    for shard in ("1/2", "2/2"):
        assert robustkit("predict", *about(folder), *one, "--shard", shard, "--out", tmp_path / "part.csv")[0] == 0
        shards.append(tmp_path / f"part.csv.run-{shard.replace('/', '-of-')}")
    assert not (tmp_path / "part.csv").exists()
    code, _, wrong = robustkit("merge", *shards, "--out", tmp_path / "merged")
    assert code == 0, wrong
    assert (tmp_path / "merged" / "part.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("form", [one for one in FORMS if one.name in WANTED], ids=lambda one: one.name[:30])
def test_models_of_every_form_predict_what_they_decide(form, robustkit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = form.make()
    code, said, wrong = robustkit("predict", "--model", *words, "--data", "d.npz", "--out", "out.csv", *CPU)
    assert code == 0, said + wrong
    with np.load("d.npz") as file:
        data = dict(file)
    rows = read("out.csv")
    if "regression" in form.name:
        np.testing.assert_allclose([float(row["value"]) for row in rows], data["labels"] / 1.02, rtol=1e-4)
        return
    names = [str(name) for name in data["class_names"]] if "class_names" in data else None
    true = [names[int(k)] if names else str(int(k)) for k in data["labels"]]
    assert [row["class"] for row in rows] == true
    shares = np.array([[float(v) for name, v in row.items() if name.startswith("p_")] for row in rows])
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
    if "threshold" in form.name:  # the score that is cut, not a renormalised one
        assert all((float(row["p_real"]) > 0.6) == (row["class"] == "real") for row in rows)


def test_a_repaired_model_predicts_through_its_front_end(world, robustkit, tmp_path):
    folder, _, _ = world
    code, _, wrong = robustkit("predict", *about(folder), "--front", "clip", "--out", tmp_path / "c.csv")
    assert code == 0, wrong
    plain = np.load(folder / "survey.npz")["images"]
    network = rk.open_model(folder / "net.pt", rk.ModelOptions(front="clip")).classifier
    with torch.no_grad():
        wanted = network(torch.from_numpy(plain)).softmax(1)
    found = np.array([[float(row[f"p_{name}"]) for name in ABC] for row in read(tmp_path / "c.csv")])
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_from_python_a_live_network_and_a_function_predict_arrays(world):
    folder, ids, logits = world
    images = np.load(folder / "survey.npz")["images"]
    network = rk.open_checkpoint(folder / "net.pt").classifier.module
    found = rk.predict(network, images, class_names=ABC, ids=ids)
    assert found.classes.tolist() == [ABC[k] for k in logits.argmax(1)]
    assert found.to_pandas()["id"].tolist() == ids.tolist()
    assert "60 objects" in repr(found)
    assert found.plot() is not None

    def function(batch):
        with torch.no_grad():
            return network(torch.from_numpy(batch)).numpy()

    np.testing.assert_allclose(rk.predict(function, images).probabilities, found.probabilities, atol=1e-6)
    with pytest.raises(InputError, match="unknown argument 'clases'"):
        rk.predict(network, images, clases=ABC)


def test_a_score_that_is_not_finite_has_no_class(world):
    folder, _, _ = world
    network = rk.open_checkpoint(folder / "net.pt").classifier.module
    images = np.load(folder / "survey.npz")["images"][:8]

    class Breaks(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = network

        def forward(self, x):
            return torch.where(x[:, :1].mean((2, 3)) > 5, torch.nan, self.inside(x))

    bright = images.copy()
    bright[3] += 10
    found = rk.predict(Breaks().eval(), bright, class_names=ABC)
    assert found.classes[3] == "not finite"
    assert np.isnan(found.probabilities[3]).all()
    assert np.isfinite(found.probabilities[[0, 1, 2, 4, 5, 6, 7]]).all()
    assert found.summary()["not_finite"] == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--out", "c.txt"), "must end in .fits, .parquet, .csv"),
        (("--out", "nowhere/c.csv"), "there is no folder nowhere"),
        (("--out", "c.csv", "--columns", "ra"), "no table that --columns could be of"),
        (("--out", "c.csv", "--columns", "rah", "--catalogue", "cat.csv"), "unknown column 'rah' of cat.csv"),
        (("--out", "c.csv", "--catalogue", "cat.csv"), "none are named"),
        (("--out", "c.csv", "--columns", "ra,ra", "--catalogue", "cat.csv"), "names one twice"),
        (("--out", "c.csv", "--columns", "ra", "--catalogue", "few.csv"), "59 of 60 objects are not in"),
        (("--out", "c.csv", "--columns", "ra", "--catalogue", "twice.csv"), "stands twice"),
        (("--out", "c.csv", "--columns", "ra", "--catalogue", "cat.csv", "--id-column", "ra"), "60 of 60 objects"),
        (("--out", "c.csv", "--columns", "ra", "--catalogue", "noid.csv"), "name it with --id-column"),
        (("--out", "c.csv", "--columns", "ra", "--catalogue", "broken.fits"), "broken.fits"),
        (("--out", "c.csv", "--part", "tset"), "unknown part 'tset'"),
    ],
)
def test_bad_input_is_refused_in_words(world, robustkit, monkeypatch, words, reason):
    folder, _, _ = world
    monkeypatch.chdir(folder)
    (folder / "few.csv").write_text("id,ra\nobj-000,1\n")
    (folder / "twice.csv").write_text("id,ra\nobj-000,1\nobj-000,2\n")
    (folder / "noid.csv").write_text("a,ra\nobj-000,1\n")
    (folder / "broken.fits").write_bytes(os.urandom(64))
    code, said, wrong = robustkit("predict", *about(folder), *words)
    assert code in (1, 2)
    assert reason in wrong, wrong
    assert "Traceback" not in said + wrong
    assert not list(folder.glob("c.csv*"))


@pytest.mark.parametrize("bomb", ["fits: fields", "fits: heap", "fits: axes without end"])
def test_a_catalogue_that_is_made_to_fill_memory_is_refused_in_words(bomb, tmp_path):
    from robustkit.catalogues.carried import column_names, read_columns
    from tests.security.image_bombs import IMAGE_BOMBS

    path = IMAGE_BOMBS[bomb](tmp_path)
    with pytest.raises(InputError):
        read_columns(path, column_names(path))
