# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Networks of the user's own are trained by every method, and what was trained opens in every other command."""

import csv
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import robustkit as rk
from robustkit.cli import main
from robustkit.errors import InputError, SecurityError
from robustkit.models import NETWORKS, ConvNet, open_checkpoint
from robustkit.training import Settings, train
from robustkit.training.alignment.methods import ALIGNMENTS, PLAIN
from tests.training.worlds import QUICK, noisier, squares

CODE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, in_channels, num_classes, width=8):
        super().__init__()
        first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.body = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.dense = nn.Linear(width * 16, 12)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(12, num_classes)

    def forward(self, x):
        pooled = nn.functional.adaptive_avg_pool2d(self.body(x), 4).flatten(1)
        return self.head(self.act(self.dense(pooled)))


class Functional(Net):
    "Its latent is made by a function, so that no layer gives it."

    def forward(self, x):
        pooled = nn.functional.adaptive_avg_pool2d(self.body(x), 4).flatten(1)
        return self.head(torch.tanh(self.dense(pooled)))


class Pair(Net):
    def forward(self, x):
        features = self.act(self.dense(nn.functional.adaptive_avg_pool2d(self.body(x), 4).flatten(1)))
        return features, self.head(features)


class Skips(Net):
    "A path leads around every layer."

    def forward(self, x):
        return super().forward(x) + x.mean((2, 3))


def build(bands, classes):
    return Net(bands, classes, width=4)


class Ready(Net):
    def __init__(self):
        super().__init__(3, 3)


class Fixed(Net):
    def __init__(self):
        super().__init__(5, 3)
"""
CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "nets.py").write_text(CODE)
    squares(60).save(folder / "source")
    noisier(squares(60)).save(folder / "target")
    return folder


def run(capsys, *words, status=0):
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main([str(word) for word in words])
    said, wrong = capsys.readouterr()
    assert done.value.code == status, said[-800:] + wrong[-1500:]
    assert "Traceback" not in said + wrong
    return said + wrong


def test_a_network_is_trained_and_opens_in_every_other_command(world, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(world)
    out, arch = tmp_path / "net.pt", ("--arch", "nets.py:Net")
    how = ("--source", "source", "--target", "target", "--method", "mmd", "--epochs", 2, "--warm-up", 1, *CPU)
    said = run(capsys, "train", *how, *arch, "--arch-kwargs", "width = 6", "--out", out)
    assert "balanced accuracy" in said
    card = open_checkpoint(out, arch="nets.py:Net").card
    assert card.network == "Net"
    assert card.arch["kwargs"] == {"width": 6, "in_channels": 3, "num_classes": 3}
    assert card.latent == "act"
    # The file never chooses the code: a person names it again, in every command, and another file is noticed.
    said = run(capsys, "predict", "--model", out, "--out", tmp_path / "p.csv", *CPU, status=3)
    assert "--arch nets.py:Net" in said
    table = tmp_path / "p.csv"
    run(capsys, "predict", "--model", out, *arch, "--data", "target", "--out", table, *CPU)
    with open(table) as file:
        assert len(list(csv.DictReader(file))) == 60
    few = ("--n", 4, "--part", "all", *CPU)
    run(capsys, "attack", "--model", out, *arch, *few, "--search", "random", "--budget", 20, "--out", tmp_path / "a")
    run(capsys, "window", "--model", out, *arch, "--run", tmp_path / "a", "--out", tmp_path / "w", "--device", "cpu")
    run(capsys, "certify", "--model", out, *arch, *few, "--budget", 10, "--out", tmp_path / "c")
    sweep = ("--perturb", "rotation", "--draws", 1, "--base", out, "--out", tmp_path / "s")
    run(capsys, "sweep", "--model", out, *arch, *few, *sweep)
    run(capsys, "flag", "--model", out, *arch, "--perturb", "rotation", "--out", tmp_path / "f.csv", *CPU)
    run(capsys, "evaluate", "--model", out, *arch)
    run(capsys, "repair", "--model", out, *arch, "--n", 6, "--out", tmp_path / "repaired.pt")
    run(
        capsys,
        "predict",
        "--model",
        tmp_path / "repaired.pt",
        *arch,
        "--data",
        "target",
        "--out",
        tmp_path / "r.csv",
        *CPU,
    )
    (tmp_path / "nets.py").write_text(CODE + "\nprint")
    changed = ("--arch", f"{tmp_path / 'nets.py'}:Net")
    assert "not the file that it was" in run(capsys, "inspect", "--model", out, *changed, "--data", "target")


@pytest.mark.parametrize("method", [*PLAIN, *ALIGNMENTS])
def test_every_method_trains_it(world, tmp_path, method):
    source, target = squares(60), noisier(squares(60))
    if method == "augment":
        target = replace(
            target, images=target.images + np.random.default_rng(3).normal(0, 1, target.images.shape).astype("f4")
        )
    settings = Settings(network=f"{world / 'nets.py'}:Net", method=method, **{**QUICK, "epochs": 2})
    trained = train(source, target, out=tmp_path / "net.pt", settings=settings)
    assert trained.card.network == "Net"
    assert len(trained.history) == 2


@pytest.mark.parametrize(
    ("name", "latent"), [("Functional", "input of head"), ("Pair", "act"), ("build", "act"), ("Ready", "act")]
)
def test_latents_and_scores_are_found_in_networks_of_other_kinds(world, tmp_path, name, latent):
    arch = f"{world / 'nets.py'}:{name}"
    settings = Settings(network=arch, method="coral", **{**QUICK, "epochs": 2})
    trained = train(squares(60), noisier(squares(60)), out=tmp_path / "net.pt", settings=settings)
    assert trained.card.latent == latent
    classifier = open_checkpoint(tmp_path / "net.pt", arch=arch).classifier
    images = torch.from_numpy(squares(6).images)
    with torch.no_grad():
        torch.testing.assert_close(classifier.head(classifier.embed(images)), classifier(images), rtol=1e-4, atol=1e-5)


def test_a_named_latent_layer_is_taken_also_behind_a_front_end(world, tmp_path):
    arch = f"{world / 'nets.py'}:Net"
    settings = Settings(network=arch, latent="dense", front="clip", **{**QUICK, "epochs": 2})
    trained = train(squares(60), out=tmp_path / "net.pt", settings=settings)
    assert trained.card.latent == "dense"
    opened = rk.open_model(tmp_path / "net.pt", rk.ModelOptions(arch=arch)).classifier
    assert opened.embed(torch.zeros(2, 3, 16, 16)).shape == (2, 12)


def test_a_run_resumes_to_the_same_bits(world, tmp_path):
    settings = Settings(network=f"{world / 'nets.py'}:Net", **QUICK)
    whole = train(squares(60), out=tmp_path / "a.pt", settings=settings)
    again = train(squares(60), out=tmp_path / "a.pt", settings=settings, resume=True)
    assert all(
        torch.equal(x, y)
        for x, y in zip(whole.network.state_dict().values(), again.network.state_dict().values(), strict=True)
    )


def test_a_foreign_state_dict_is_tuned_and_its_head_may_be_of_other_classes(world, tmp_path, caplog):
    sys.path.insert(0, str(world))
    try:
        from nets import Net  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.remove(str(world))
    torch.manual_seed(1)
    theirs = Net(3, 7)
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "theirs.pth")
    still = QUICK | {"epochs": 1, "warm_up": 0}
    arch = {"network": f"{world / 'nets.py'}:Net", "init": str(tmp_path / "theirs.pth"), **still}
    settings = Settings(learning_rate=1e-12, weight_decay=0.0, **arch)
    tuned = train(squares(60), out=tmp_path / "net.pt", settings=settings)
    assert "head.bias, head.weight" in caplog.text
    torch.testing.assert_close(tuned.network.state_dict()["dense.weight"], theirs.dense.weight, rtol=0, atol=1e-6)
    other = {**theirs.state_dict(), "dense.weight": torch.zeros(3, 3)}
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(InputError, match="do not fit Net"):
        train(squares(60), out=tmp_path / "b.pt", settings=replace(settings, init=str(tmp_path / "other.pth")))


def test_a_network_that_is_added_to_the_register_is_trained_by_name(tmp_path):
    class Mine(ConvNet):
        pass

    NETWORKS["mine"] = Mine
    try:
        trained = train(squares(60), out=tmp_path / "net.pt", settings=Settings(network="mine", **QUICK))
        assert isinstance(open_checkpoint(tmp_path / "net.pt").classifier.module, Mine)
    finally:
        del NETWORKS["mine"]
    assert trained.card.network == "mine"
    with pytest.raises(InputError, match="unknown network 'mine'"):
        Settings(network="mine")


def test_a_checkpoint_that_names_code_runs_none_of_it(world, tmp_path):
    marker = tmp_path / "ran"
    (tmp_path / "bad.py").write_text(CODE + f"\nopen({str(marker)!r}, 'w')\n")
    settings = Settings(network=f"{world / 'nets.py'}:Net", **{**QUICK, "epochs": 2})
    train(squares(60), out=tmp_path / "net.pt", settings=settings)
    content = torch.load(tmp_path / "net.pt", weights_only=True)
    card = json.loads(content["card"])
    card["arch"]["name"] = f"{tmp_path / 'bad.py'}:Net"
    torch.save(content | {"card": json.dumps(card)}, tmp_path / "evil.pt")
    for open_it in (open_checkpoint, rk.open_model):
        with pytest.raises(SecurityError, match="names code to run"):
            open_it(tmp_path / "evil.pt")
    assert not marker.exists()
    for broken in ({"name": 3, "kwargs": {}}, {"name": "a.py:B"}, {"name": "a.py:B", "kwargs": []}):
        torch.save(content | {"card": json.dumps(card | {"arch": broken})}, tmp_path / "broken.pt")
        with pytest.raises(InputError):
            open_checkpoint(tmp_path / "broken.pt", arch=f"{world / 'nets.py'}:Net")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--arch", "nets.py:Nett"), "no class or factory 'Nett'"),
        (("--arch", "nowhere.py:Net"), "nowhere.py"),
        (("--arch", "convnet"), "expected --arch as path/to/file.py:Class"),
        (("--arch", "nets.py:Net", "--network", "convnet"), "not both"),
        (("--latent-layer", "dense"), "describes a network of your own"),
        (("--arch", "nets.py:Net", "--latent-layer", "densse"), "no layer is called 'densse'"),
        (("--arch", "nets.py:Fixed"), "refuses images of shape"),
        (("--arch", "nets.py:Skips"), "no layer was found that the answer follows from"),
        (("--arch", "timm:resnet18"), "timm"),
        (("--arch", "nets.py:Net", "--arch-kwargs", "widht = 3"), "widht"),
    ],
)
def test_bad_networks_are_refused_in_words(world, capsys, monkeypatch, words, reason):
    monkeypatch.chdir(world)
    assert reason in run(capsys, "train", "--data", "source", *words, "--out", "bad.pt", *CPU, status=2)
    assert not list(world.glob("bad*"))
