# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
import json
import warnings

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
    assert "clip before convnet, no constants" in said
    assert "of the pixel values of 20 clean images" in said
    assert "gained" in said
    before, after = open_checkpoint(model), open_checkpoint("repaired.pt")
    images = torch.rand(2, *before.card.input_shape)
    torch.testing.assert_close(after.classifier(images), before.classifier(make_front("clip")(images)), rtol=0, atol=0)
    for command, more in (
        ("certify", ["--values", "single-band", "--n", 2]),
        ("attack", ["--n", 2, "--search", "random", "--budget", 50]),
        ("sweep", ["--n", 4, "--perturb", "gaussian"]),
    ):
        code, said, wrong = robustkit(command, "--model", "repaired.pt", *more, "--out", command, "--device", "cpu")
        assert code == 0, wrong
    code, said, _ = robustkit("inspect", "--model", "repaired.pt")
    assert code == 0
    assert "front end clip" in said


def test_a_repaired_model_is_repaired_again_and_says_so(robustkit, model):
    robustkit("repair", "--model", model, "--out", "once.pt")
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
        (["--arch", "robustkit:ConvNet"], "leave --arch out"),
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


def test_a_network_of_others_is_copied_with_a_card(robustkit, tmp_path):
    (tmp_path / "network.py").write_text(CODE)
    names = {}
    exec(CODE, names)
    torch.manual_seed(0)
    network = names["Net"]().eval()
    torch.save(network.state_dict(), "best.pth")
    rng = np.random.default_rng(0)
    np.savez("images.npz", images=rng.random((12, 3, 12, 12), dtype=np.float32), labels=np.arange(12) % 2)
    how = ["--arch", "network.py:Net", "--data", "images.npz"]
    code, said, _ = robustkit("repair", "--model", "best.pth", "--out", "fixed/best.pth", "--front", "clip:2", *how)
    assert code == 0, said
    assert "--card fixed/best.toml" in said
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
    code, _, wrong = robustkit("repair", "--model", "net.onnx", "--data", "images.npz", "--out", "fixed.onnx")
    assert code == 0, wrong
    images = torch.rand(2, 3, 12, 12)
    opened = open_model("fixed.onnx")
    torch.testing.assert_close(opened.classifier(images), network(make_front("clip")(images)), rtol=0, atol=1e-5)


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
