# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from robustkit.data import ImageSet
from robustkit.files import read_json
from robustkit.models import open_checkpoint, open_model, save_checkpoint
from robustkit.models.fronts import make_front
from tests.audits import make_audit

CODE = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12 * 12, 2))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_audit(tmp_path_factory.mktemp("audit"))[0]


@pytest.fixture(autouse=True)
def _work_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_model_is_repaired_and_every_command_takes_it_as_it_is(robustkit, model, tmp_path):
    code, said, wrong = robustkit("repair", "--model", model, "--out", "repaired.pt")
    assert (code, wrong) == (0, "")
    assert "no --front was named" in said
    assert "across is taken" in said
    assert "across before convnet, no constants" in said
    assert "of the pixel values of 20 clean images" in said
    assert "gained" in said
    before, after = open_checkpoint(model), open_checkpoint("repaired.pt")
    images = torch.rand(2, *before.card.input_shape)
    torch.testing.assert_close(
        after.classifier(images), before.classifier(make_front("across")(images)), rtol=0, atol=0
    )
    for command, more in (
        ("certify", ["--values", "single-band", "--n", 2]),
        ("attack", ["--n", 2, "--search", "random", "--budget", 50]),
        ("sweep", ["--n", 4, "--perturb", "gaussian"]),
    ):
        code, said, wrong = robustkit(command, "--model", "repaired.pt", *more, "--out", command, "--device", "cpu")
        assert code == 0, wrong
    code, said, _ = robustkit("inspect", "--model", "repaired.pt")
    assert code == 0
    assert "front end across" in said


@pytest.mark.parametrize(
    ("right", "words"),
    [
        ((18, 10, 18), "across loses 0.400, across:3 loses none: across:3 is taken"),
        ((18, 10, 12), "than 0.02 of the accuracy 0.900 (across loses 0.400, across:3 loses 0.300): across"),
    ],
)
def test_without_a_name_the_first_that_keeps_the_accuracy_is_taken(robustkit, model, monkeypatch, right, words):
    from robustkit.auditing import repair

    found = iter([np.arange(20) < n for n in right])
    monkeypatch.setattr(repair, "correct", lambda *_: next(found))  # joint:5 is omitted: no noise is declared
    code, said, _ = robustkit("repair", "--model", model, "--out", "repaired.pt")
    assert code == 0
    assert words in said.replace("\n", " ")


def test_a_repaired_model_is_repaired_again_and_says_so(robustkit, model):
    robustkit("repair", "--model", model, "--out", "once.pt", "--front", "clip")
    code, said, _ = robustkit("repair", "--model", "once.pt", "--out", "twice.pt", "--front", "nan")
    assert code == 0
    assert "has the front end clip already; nan is put before it" in said
    assert open_checkpoint("twice.pt").card.front["name"] == "nan+clip"


def test_constants_come_from_the_images_and_other_images_are_warned_of(robustkit, model, tmp_path):
    images = ImageSet.load(open_checkpoint(model).card.data["path"])
    if "noise_sigma" not in images.meta:
        meta = images.meta | {"noise_sigma": dict.fromkeys(images.bands, 30.0), "scale": 1.0}
        images = ImageSet(**{name: getattr(images, name) for name in _FIELDS} | {"meta": meta})
    for name, factor in (("same", 1.5), ("other", 3.0), ("fitted", 1.0)):
        sigma = {band: factor * value for band, value in images.meta["noise_sigma"].items()}
        made = ImageSet(
            **{name: getattr(images, name) for name in _FIELDS} | {"meta": images.meta | {"noise_sigma": sigma}}
        )
        made.save(tmp_path / name)
    how = ["--front", "joint:5", "--data", "fitted", "--part", "all"]
    code, said, wrong = robustkit("repair", "--model", model, "--out", "repaired.pt", *how)
    assert (code, wrong) == (0, ""), said
    assert "with the noise of fitted" in said
    for data, warned in (("same", False), ("other", True)):
        code, said, _ = robustkit(
            "certify", "--model", "repaired.pt", "--data", data, "--part", "all", "--n", 2, "--budget", 50, "--out",
            f"c-{data}",
        )  # fmt: skip
        assert code == 0
        assert ("the noise of these images is 3 times" in said) == warned
        assert bool(read_json(tmp_path / f"c-{data}" / "summary.json")["warnings"]) == warned


_FIELDS = ("images", "labels", "class_names", "bands", "ids", "units", "bounds", "meta")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--front", "clp"], "unknown front end 'clp'"),
        (["--front", "clip:9"], "clip:1 to clip:4"),
        (["--front", "nobody:Class"], "no module nobody"),
        (["--data", "nowhere"], "nowhere"),
        (["--arch", "robustkit:ConvNet"], "omit --arch"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(robustkit, model, tmp_path, arguments, words):
    code, said, wrong = robustkit("repair", "--model", model, "--out", "repaired.pt", *arguments)
    assert code == 2, said
    assert words in wrong
    assert wrong.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(robustkit, model, tmp_path):
    (tmp_path / "mine.pt").write_bytes(b"mine")
    code, _, wrong = robustkit("repair", "--model", model, "--out", "mine.pt")
    assert code == 2
    assert "nothing is overwritten" in wrong
    assert (tmp_path / "mine.pt").read_bytes() == b"mine"


def test_without_its_images_a_model_is_repaired_and_nothing_measured(robustkit, model, tmp_path):
    from dataclasses import replace

    opened = open_checkpoint(model)
    save_checkpoint(tmp_path / "alone.pt", opened.classifier.module, replace(opened.card, data={}))
    code, said, _ = robustkit("repair", "--model", "alone.pt", "--out", "repaired.pt")
    assert code == 0
    assert "nothing is measured" in said
    code, _, wrong = robustkit("repair", "--model", "alone.pt", "--out", "joint.pt", "--front", "joint:5")
    assert code == 2
    assert "joint needs the noise of the images" in wrong


def strangers(count):
    """A network of others, its code and its weights, and so many images, in the working folder."""
    Path("network.py").write_text(CODE)
    names = {}
    exec(CODE, names)
    torch.manual_seed(0)
    network = names["Net"]().eval()
    torch.save(network.state_dict(), "best.pth")
    rng = np.random.default_rng(0)
    np.savez("images.npz", images=rng.random((count, 3, 12, 12), dtype=np.float32), labels=np.arange(count) % 2)
    return network


def test_a_network_of_others_is_copied_with_a_card(robustkit, tmp_path):
    network = strangers(12)
    how = ["--arch", "network.py:Net", "--data", "images.npz"]
    code, said, _ = robustkit("repair", "--model", "best.pth", "--out", "fixed/best.pth", "--front", "clip:2", *how)
    assert code == 0, said
    assert "--card fixed/best.toml" in said
    whole = {name: (tmp_path / "fixed" / name).read_bytes() for name in ("best.pth", "best.toml")}
    (tmp_path / "fixed" / "best.pth").unlink()  # as if it had been killed between the two
    code, said, _ = robustkit("repair", "--model", "best.pth", "--out", "fixed/best.pth", "--front", "clip:2", *how)
    assert code == 0, said
    assert {name: (tmp_path / "fixed" / name).read_bytes() for name in whole} == whole
    (tmp_path / "fixed" / "best.pth").rename(tmp_path / "kept.pth")
    code, _, wrong = robustkit("repair", "--model", "best.pth", "--out", "fixed/best.pth", "--front", "clip:3", *how)
    assert code == 2
    assert "the card would be written to fixed/best.toml" in wrong
    (tmp_path / "kept.pth").rename(tmp_path / "fixed" / "best.pth")
    from robustkit.models import ModelOptions

    images = torch.rand(2, 3, 12, 12)
    opened = open_model("fixed/best.pth", ModelOptions(card="fixed/best.toml"))
    torch.testing.assert_close(opened.classifier(images), network(make_front("clip:2")(images)), rtol=0, atol=1e-6)
    card = ["--card", "fixed/best.toml", "--data", "images.npz", "--n", 2, "--budget", 50, "--out", "run"]
    code, said, wrong = robustkit("certify", "--model", "fixed/best.pth", *card)
    assert code == 0, wrong
    assert "front end clip:2" in said


def test_an_onnx_graph_needs_its_file_alone(robustkit, tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 12 * 12, 2)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.rand(1, 3, 12, 12),), "net.onnx", dynamo=False, dynamic_axes={"x": {0: "n"}},
                          input_names=["x"])  # fmt: skip
    rng = np.random.default_rng(0)
    np.savez("images.npz", images=rng.random((12, 3, 12, 12), dtype=np.float32), labels=np.arange(12) % 2)
    code, said, wrong = robustkit("repair", "--model", "net.onnx", "--data", "images.npz", "--out", "fixed.onnx")
    assert "audit it with `robustkit audit --model fixed.onnx --card fixed.toml --data images.npz`" in said + wrong
    assert "next: robustkit audit --model fixed.onnx --data images.npz --base net.onnx --quick" in said + wrong
    assert code == 0, wrong
    images = torch.rand(2, 3, 12, 12)
    opened = open_model("fixed.onnx")
    front = make_front(opened.card.front["name"])
    torch.testing.assert_close(opened.classifier(images), network(front(images)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("front", ["clip", "nan+line"])
def test_an_exported_model_answers_as_the_repaired_one(robustkit, model, front):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    robustkit("repair", "--model", model, "--out", "repaired.pt", "--front", front)
    code, said, wrong = robustkit("export", "--model", "repaired.pt", "--onnx", "a/m.onnx", "--torchscript", "m.ts")
    assert code == 0, wrong
    assert f"through the front end {front}" in said
    checkpoint = open_checkpoint("repaired.pt")
    low, high = (torch.tensor(ends)[:, None, None] for ends in zip(*checkpoint.card.input_range, strict=True))
    images = low + (high - low) * torch.rand(5, *checkpoint.card.input_shape)
    expected = checkpoint.classifier(images).detach()
    files = dict.fromkeys(("front.json", "classes.json"), "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.load("m.ts", _extra_files=files)
    torch.testing.assert_close(script(images).detach(), expected, rtol=0, atol=1e-5)
    session = runtime.InferenceSession("a/m.onnx")
    (scores,) = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(scores), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    about = {entry.key: json.loads(entry.value) for entry in onnx.load("a/m.onnx").metadata_props}
    assert about["front"]["name"] == json.loads(files["front.json"])["name"] == front
    assert about["classes"] == list(checkpoint.card.class_names)
    code, _, wrong = robustkit("export", "--model", "repaired.pt", "--onnx", "a/m.onnx")
    assert code == 2
    assert "nothing is overwritten" in wrong
    code, _, wrong = robustkit("export", "--model", "repaired.pt")
    assert code == 2
    assert "--onnx or --torchscript" in wrong


class Branches(torch.nn.Module):
    """A trace keeps one of its branches."""

    def forward(self, images):
        light = images.mean((1, 2, 3), keepdim=False)
        return torch.stack([light, -light if float(images.max()) > 0.5 else light], 1)


def test_a_file_that_would_answer_differently_is_not_written(tmp_path):
    from robustkit.data import IdentityStretch
    from robustkit.models import AuditedClassifier
    from robustkit.models.checkpoint import Card, Checkpoint, Origin
    from robustkit.models.exporting import export_torchscript

    classifier = AuditedClassifier(Branches().eval(), input_shape=(1, 4, 4))
    card = Card("Branches", ("a", "b"), ("g",), (1, 4, 4), {"name": "none"}, ((0.0, 1.0),), "")
    checkpoint = Checkpoint(classifier, card, IdentityStretch(), Origin("a network in memory", ""))
    with pytest.raises(ValueError, match="nothing was written"):
        export_torchscript(checkpoint, tmp_path / "m.ts", torch.full((3, 1, 4, 4), 0.1))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def detecting(tmp_path_factory):
    """A model whose front end flags the pixels that stick out, of images that declare their noise."""
    from robustkit.auditing.repair import repair_model
    from robustkit.models import ModelOptions
    from robustkit.runs.selection import Selection

    folder = tmp_path_factory.mktemp("detecting")
    model, path = make_audit(folder)
    images = ImageSet.load(path)
    meta = images.meta | {"noise_sigma": dict.fromkeys(images.bands, 3.0), "scale": 1.0}
    pixels = images.images.copy()
    pixels[0, :, 2, 2] = 3000  # flagged as it is
    made = ImageSet(**{name: getattr(images, name) for name in _FIELDS} | {"meta": meta, "images": pixels})
    made.save(folder / "noisy")
    front = ModelOptions(front="detect:joint:6")
    said = []
    repair_model(
        model, folder / "flags.pt", front, draw=Selection(take_all=True, data=str(folder / "noisy")), say=said.append
    )
    return folder / "flags.pt", folder / "noisy", "\n".join(said)


def test_a_front_end_that_flags_is_known_to_every_command(robustkit, detecting):
    model, data, said = detecting
    assert "changes nothing and flags 1 of" in said
    how = ["--model", model, "--data", data, "--n", 20, "--device", "cpu"]
    code, said, wrong = robustkit("certify", *how, "--out", "certify", "--values", "hot")
    assert code == 0, wrong
    assert "1 of 20 images are flagged as they are" in said
    numbers = read_json("certify/summary.json")
    assert numbers["flagged"]["clean"] == 1
    assert numbers["flagged"]["share_of_cells"] > 0.9  # a corner sticks out of nearly every sky
    assert numbers["not_finite"] == 0
    assert numbers["certified"] > 0
    code, said, wrong = robustkit("attack", *how, "--out", "attack", "--search", "random", "--budget", 30)
    assert code == 0, wrong
    assert "1 images are flagged by detect:joint:6 as they are" in said
    assert "candidates were flagged and get no class: none is a flip" in said
    assert "WARNING" not in said
    assert read_json("attack/summary.json")["flagged"] == 1
    code, said, wrong = robustkit("sweep", *how, "--perturb", "gaussian", "--draws", 1, "--out", "sweep")
    assert code == 0, wrong
    assert " flagged" in said
    code, said, wrong = robustkit("predict", "--model", model, "--data", data, "--out", "p.csv", "--device", "cpu")
    assert code == 0, wrong
    assert Path("p.csv").read_text().count(",flagged,") == 1


def test_what_is_flagged_is_not_a_number_in_an_exported_file(robustkit, detecting):
    model, _, _ = detecting
    code, _, wrong = robustkit("export", "--model", model, "--torchscript", "flags.ts")
    assert code == 0, wrong
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.load("flags.ts")
    checkpoint = open_checkpoint(model)
    images = torch.full((2, *checkpoint.card.input_shape), 0.1)
    images[1, :, 5, 5] = 0.9
    scores = script(images)
    assert scores.isnan().all(1).tolist() == [False, True]
    torch.testing.assert_close(scores, checkpoint.classifier(images), rtol=0, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("detect", "did you mean 'detect:'"),
        ("detect:", "needs something after its colon"),
        ("detect:detect:clip", "detect:joint:8"),
        ("detect:clp", "unknown front end 'clp'"),
    ],
)
def test_detect_needs_a_front_end(robustkit, model, front, words):
    code, _, wrong = robustkit("repair", "--model", model, "--out", "repaired.pt", "--front", front)
    assert code == 2
    assert words in wrong
    assert wrong.count("\n") == 1


def test_a_network_of_others_is_tuned_behind_a_front_end(robustkit, tmp_path):
    network = strangers(40)
    code, _, wrong = robustkit(
        "train", "--data", "images.npz", "--stretch", "none", "--arch", "network.py:Net", "--init", "best.pth",
        "--front", "clip", "--pixels", "worst:2", "--epochs", 1, "--learning-rate", 1e-12, "--weight-decay", 0,
        "--device", "cpu", "--out", "tuned.pt",
    )  # fmt: skip
    assert code == 0, wrong
    from robustkit.models import ModelOptions

    tuned = open_model("tuned.pt", ModelOptions(arch="network.py:Net"))
    assert tuned.card.front["name"] == "clip"
    images = torch.rand(2, 3, 12, 12)
    expected = network(make_front("clip")(images))
    torch.testing.assert_close(tuned.classifier(images), expected, rtol=0, atol=1e-4)  # it began where the file ended
    how = ["--arch", "network.py:Net", "--values", "single-band", "--n", 2, "--device", "cpu", "--out", "run"]
    code, _, wrong = robustkit("certify", "--model", "tuned.pt", *how)
    assert code == 0, wrong
    code, _, wrong = robustkit("certify", "--model", "tuned.pt", *how[2:])
    assert code == 3
    assert "--arch" in wrong


def test_a_file_that_names_a_front_end_of_a_stranger_is_refused_by_commands(robustkit, model, tmp_path):
    from dataclasses import replace

    opened = open_checkpoint(model)
    (tmp_path / "stranger.py").write_text("open('ran', 'w').close()\n")
    named = replace(opened.card, front={"name": "stranger.py:Front", "constants": {}})
    save_checkpoint(tmp_path / "gift.pt", opened.classifier.module, named)
    for command, out in (("certify", "run"), ("attack", "run"), ("repair", "b.pt"), ("predict", "t.csv")):
        code, _, wrong = robustkit(command, "--model", "gift.pt", "--out", out)
        assert code != 0
        assert "--front stranger.py:Front" in wrong
    code, _, wrong = robustkit("export", "--model", "gift.pt", "--torchscript", "m.ts")
    assert code != 0
    assert "--front stranger.py:Front" in wrong
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--conformal", 0.95, "--n", 20],
            "needs at least 19 calibration images, and half of 20 are 10; ask for --n 38",
        ),
        (["--conformal", 0.8, "--part", "train", "--n", 20], "20 images that the model was trained on or chosen by"),
        (["--conformal", 0.8, "--n", 10, "--data", "unlabelled.npy", "--part", "all"], "has no labels"),
        (["--values", "corners+edge"], "no front end, so nothing hides under one"),
    ],
)
def test_sets_that_cannot_be_calibrated_are_refused_in_a_line(robustkit, model, tmp_path, arguments, words):
    shape = open_checkpoint(model).card.input_shape
    np.save(tmp_path / "unlabelled.npy", np.zeros((10, *shape), np.float32))
    code, _, wrong = robustkit("certify", "--model", model, *arguments, "--out", "run")
    assert code == 2
    assert words in wrong
    assert wrong.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_front_end_wider_than_the_images_is_refused(robustkit, tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()
    torch.save(network.state_dict(), "small.pth")
    made = "    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))"
    (tmp_path / "small.py").write_text(f"from torch import nn\n\n\ndef small():\n{made}\n")
    np.savez("images.npz", images=np.zeros((4, 1, 2, 2), np.float32), labels=np.arange(4) % 2)
    code, _, wrong = robustkit(
        "repair", "--model", "small.pth", "--arch", "small.py:small", "--data", "images.npz", "--front",
        "line:2", "--out", "fixed.pth",
    )  # fmt: skip
    assert code == 2
    assert "looks 2 pixels to each side" in wrong
    assert not (tmp_path / "fixed.pth").exists()


def test_a_front_end_that_costs_accuracy_is_warned_of(robustkit, model):
    from robustkit.auditing.repair import _warned

    assert _warned(make_front("clip"), Path("a.pt"), 3, 6) == []
    assert _warned(make_front("clip"), Path("a.pt"), 28, 3) == []
    (said,) = _warned(make_front("clip:2"), Path("a.pt"), 3, 28)
    assert "robustkit train --init a.pt --front clip:2" in said
    code, said, _ = robustkit("repair", "--model", model, "--out", "all.pt", "--front", "detect:clip")
    assert code == 0
    assert "changes nothing and flags 20 of 20" in said
    assert "a higher threshold after detect:" in said
