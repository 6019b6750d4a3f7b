# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Every object of a survey gets a rank, by whole commands: what it is made of, stops, shards, sets, bad input."""

import csv

import numpy as np
import pytest
import torch
from astropy.table import Table

import robustkit as rk
from robustkit.catalogues.flag import Flag
from robustkit.catalogues.looks import Looks, Tail, statistics
from robustkit.files import read_json
from robustkit.models import ConvNet
from robustkit.models.checkpoint import Card, save_checkpoint

ABC = ("spiral", "elliptical", "merger")
CPU = ("--device", "cpu")
FEW = ("--perturb", "rotation", "--perturb", "gaussian")
ODD = 17


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small network, 60 unlabelled images of which one has a bright trail, and 40 labelled ones."""
    folder = tmp_path_factory.mktemp("flag")
    torch.manual_seed(0)
    network = ConvNet(bands=2, classes=3, size=(24, 24)).eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight *= 20
    random = np.random.default_rng(0)
    images, others = random.normal(size=(2, 60, 2, 24, 24)).astype(np.float32)
    images[ODD, 1, 11:13] += 12
    card = Card("convnet", ABC, ("g", "r"), (2, 24, 24), {"name": "none"}, ((-4, 4), (-4, 4)), network.latent)
    save_checkpoint(folder / "net.pt", network, card)
    ids = np.array([f"obj-{k:03d}" for k in range(60)])
    np.savez(folder / "survey.npz", images=images, ids=ids)
    labels = np.arange(60) % 3
    rk.ImageSet(others, labels, ABC, ("g", "r"), ids).save(folder / "training")
    return folder


def about(folder):
    return ("--model", folder / "net.pt", "--data", folder / "survey.npz", *CPU)


def read(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_a_rank_with_what_it_is_made_of(world, robustkit, tmp_path):
    extra = ("--reference", world / "training")
    code, said, wrong = robustkit("flag", *about(world), *FEW, *extra, "--out", tmp_path / "f.csv")
    assert code == 0, wrong
    assert "compared with 30 images of" in said
    rows = read(tmp_path / "f.csv")
    rank = np.array([int(row["rank"]) for row in rows])
    assert sorted(rank) == list(range(1, 61))
    doubt = np.array([float(row["doubt"]) for row in rows])
    assert (np.diff(doubt[np.argsort(rank)]) <= 0).all()
    assert rank[ODD] == 1  # the trail, whatever the network says of it
    assert float(rows[ODD]["oddness"]) > 2 > np.median([float(row["oddness"]) for row in rows])
    # Agreement is what a sweep finds, asked about the predicted classes instead of the true ones.
    images = np.load(world / "survey.npz")["images"]
    ids, classes = [row["id"] for row in rows], [row["class"] for row in rows]
    swept = rk.sweep(world / "net.pt", images, classes, ["rotation", "gaussian"], draws=1, ids=ids).record
    third = [step for name in ("rotation", "gaussian") for step in swept.steps(name)[[2]]]
    np.testing.assert_allclose([float(row["agreement"]) for row in rows], swept.right[third].mean(0), atol=1e-6)
    # A least change that is found does change the class.
    network = rk.open_checkpoint(world / "net.pt").classifier
    least = np.array([float(row["least_change"]) for row in rows])
    assert np.isfinite(least).sum() > 30
    assert (least > 0).all()
    near = int(np.argmin(least))
    with torch.no_grad():
        two = network(torch.from_numpy(images[near : near + 1])).topk(2).values[0]
    assert float(two[0] - two[1]) < 1
    assert np.isfinite([float(row["distance"]) for row in rows]).all()


def test_a_stopped_run_and_shards_rank_as_one_run_does(world, robustkit, tmp_path, monkeypatch):
    one = (*FEW, "--group", 13, "--no-least-change")
    assert robustkit("flag", *about(world), *one, "--out", tmp_path / "whole.csv")[0] == 0
    made = Flag.measure

    def breaks(self, part, bar):
        if part.start == 26:
            raise KeyboardInterrupt
        return made(self, part, bar)

    monkeypatch.setattr(Flag, "measure", breaks)
    assert robustkit("flag", *about(world), *one, "--out", tmp_path / "stopped.csv")[0] == 130
    monkeypatch.setattr(Flag, "measure", made)
    assert robustkit("flag", *about(world), *one, "--out", tmp_path / "stopped.csv")[0] == 0
    assert (tmp_path / "stopped.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    for shard in ("1/2", "2/2"):
        assert robustkit("flag", *about(world), *one, "--shard", shard, "--out", tmp_path / "p.csv")[0] == 0
    code, _, wrong = robustkit("merge", *sorted(tmp_path.glob("p.csv.run-*")), "--out", tmp_path / "merged")
    assert code == 0, wrong
    assert (tmp_path / "merged" / "p.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_sets_are_those_of_the_calibration_of_this_model(world, robustkit, tmp_path):
    how = ("--part", "all", "--n", 4, "--conformal", 0.5, "--out", tmp_path / "sets")
    assert robustkit("certify", "--model", world / "net.pt", "--data", world / "training", *how, *CPU)[0] == 0
    extra = (*FEW, "--conformal", tmp_path / "sets", "--no-least-change")
    code, said, wrong = robustkit("flag", *about(world), *extra, "--out", tmp_path / "f.fits")
    assert code == 0, wrong
    assert "hold 50% of the classes" in said
    table = Table.read(tmp_path / "f.fits")
    limit = 1 - read_json(tmp_path / "sets" / "summary.json")["worst"]["threshold"]
    wanted = ["+".join(name for name in ABC if row[f"p_{name}"] >= limit) for row in table]
    assert [str(one) for one in table["set"]] == wanted
    torch.manual_seed(1)
    network = ConvNet(bands=2, classes=3, size=(24, 24)).eval()
    card = Card("convnet", ABC, ("g", "r"), (2, 24, 24), {"name": "none"}, ((-4, 4), (-4, 4)), network.latent)
    other = save_checkpoint(tmp_path / "other.pt", network, card)
    words = ("--model", other, "--data", world / "survey.npz", *extra, "--out", tmp_path / "g.csv", *CPU)
    code, _, wrong = robustkit("flag", *words)
    assert code == 2
    assert "that of another model" in wrong
    (record,) = (tmp_path / "sets").glob("*.npz")
    with np.load(record) as archive:
        content = {name: archive[name] for name in archive.files}
    for wrong_value in (np.nan, -1e30):
        np.savez(record, **{**content, "lowest": np.full_like(content["lowest"], wrong_value)})
        code, _, wrong = robustkit("flag", *about(world), *extra, "--out", tmp_path / "h.csv")
        assert code == 2
        assert "holds no probabilities" in wrong


def test_a_function_is_ranked_by_its_answers_and_the_pixels_alone(world):
    images = np.load(world / "survey.npz")["images"]
    network = rk.open_checkpoint(world / "net.pt").classifier.module

    def function(batch):
        with torch.no_grad():
            return network(torch.from_numpy(batch)).numpy()

    found = rk.flag(function, images, perturbations=["gaussian"], class_names=ABC)
    assert found.rank[ODD] == 1
    assert np.isnan(found.record.least_change).all()
    assert np.isnan(found.record.distance).all()
    assert "60 objects under 1 faults" in repr(found)
    assert found.plot() is not None


def test_the_training_images_are_found_by_the_model_itself(world, robustkit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = ("--data", world / "training", "--epochs", 2, "--warm-up", 1, "--out", "mine.pt", *CPU)
    code, _, wrong = robustkit("train", *how)
    assert code == 0, wrong
    words = ("--model", "mine.pt", "--data", world / "survey.npz", *FEW, "--no-least-change", *CPU)
    code, said, wrong = robustkit("flag", *words, "--out", "f.csv")
    assert code == 0, wrong
    assert "training images of source" in said
    assert np.isfinite([float(row["distance"]) for row in read("f.csv")]).all()
    assert int(read("f.csv")[ODD]["rank"]) == 1


def test_statistics_see_what_they_are_for():
    random = np.random.default_rng(0)
    usual = torch.from_numpy(random.normal(size=(100, 2, 16, 16)).astype(np.float32))
    looks = Looks.of(statistics(usual))
    unseen = torch.from_numpy(random.normal(size=(60, 2, 16, 16)).astype(np.float32))
    tail = Tail.of(looks.oddness(statistics(unseen)))
    for change in ("level", "noise", "row", "constant"):
        one = unseen[:8].clone()
        if change == "level":
            one += 1
        elif change == "noise":
            one *= 2
        elif change == "row":
            one[:, 0, 5] += 5
        else:
            one[:, 1] = 0
        assert (tail.place(looks.oddness(statistics(one))) > 1).all(), change
    # Bands that are constant everywhere say nothing, and break nothing.
    flat = torch.zeros(50, 1, 8, 8)
    assert np.isfinite(Looks.of(statistics(flat)).oddness(statistics(flat))).all()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--suite", "lst"), "unknown suite 'lst'"),
        (("--severity", "s9"), "unknown severity 's9'"),
        (("--suite", "plain", "--perturb", "gaussian"), "not both"),
        (("--suite", "lsst"), "the units of these are unknown"),
        (("--perturb", "gausian"), "unknown perturbation 'gausian'"),
        (("--perturb", "gaussian", "--conformal", "."), "holds no calibration"),
        (("--perturb", "gaussian", "--reference", "few.npz"), "expected at least 48"),
        (("--perturb", "gaussian", "--reference", "nowhere.npz"), "nowhere.npz"),
        (("--perturb", "gaussian", "--out", "f.xlsx"), "must end in"),
    ],
)
def test_bad_input_is_refused_in_words(world, robustkit, monkeypatch, words, reason):
    monkeypatch.chdir(world)
    images = np.load("survey.npz")["images"]
    np.savez("few.npz", images=images[:10])
    code, said, wrong = robustkit("flag", *about(world), "--out", "f.csv", *words)
    assert code in (1, 2)
    assert reason in wrong, wrong
    assert "Traceback" not in said + wrong
    assert not list(world.glob("f.*"))
