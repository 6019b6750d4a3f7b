"""What strangers bring and how they are answered, by whole commands: each refusal names the option that settles it."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.forms import making

NAMES = ("disc", "ring", "bar")
NET = ("--model", "net.pt", "--arch", "nets.py:Net")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network of three classes, and its images in many forms."""
    place = tmp_path_factory.mktemp("strangers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        images = making.pictures()
        network = making.made("Net", images)
        torch.save(network.state_dict(), "net.pt")
        making.code("Net")
        labels = making.logits(network, images).argmax(1)
        for name, its in {
            "digits": np.array([3, 5, 9])[labels], "digits_text": np.array(["3", "5", "9"])[labels],
            "from_one": labels + 1, "counted": labels, "text": (labels + 1).astype(str),
            "none": np.array(["none", "ring", "n/a"])[labels], "misspelt": np.array(["disk", "ring", "bar"])[labels],
        }.items():  # fmt: skip
            np.savez(f"{name}.npz", images=images, labels=its)
        np.savez("large.npz", images=np.kron(images, np.ones((1, 1, 2, 2), np.float32)), labels=labels)
        grey = np.repeat(images[:, :1], 3, axis=1)
        for name, its in {
            "scaled": grey * np.array([1, 0.5, 0.25], np.float32)[:, None, None],
            "rounded": grey + np.random.default_rng(1).uniform(-1 / 255, 1 / 255, grey.shape).astype(np.float32) / 4,
        }.items():  # fmt: skip
            np.savez(f"{name}.npz", images=its, labels=labels)
        half = np.lib.format.open_memmap("half.npy", "w+", "f4", images.shape)
        half[:7] = images[:7]  # and the rest was never written
        half.flush()
        np.save("labels.npy", labels)
        making.onnx(network, images)
        Path("package").mkdir()
        Path("package/__init__.py").touch()
        Path("package/layers.py").write_text(Path("nets.py").read_text())
        Path("package/net.py").write_text("from .layers import Net\n")
        _pictures(images, labels)
        with open("catalogue.csv", "w") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "label"])
            rows.writerows([f"{kind}/{NAMES[labels[k]]}/{k}.png", labels[k] + 1] for k, kind in enumerate(["rgb"] * 12))
    return place


def _pictures(images, labels):
    """`rgb`, `grey`, and `mixed` with a grey one among colours."""
    for k, image in enumerate(images):
        colour = Image.fromarray((255 * image.transpose(1, 2, 0)).astype(np.uint8))
        for kind in ("rgb", "grey", "mixed"):
            path = Path(kind, NAMES[labels[k]], f"{k}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            (colour.convert("L") if kind == "grey" or (kind, k) == ("mixed", 3) else colour).save(path)


NAMED = ("--classes", ",".join(NAMES))
ANSWERED = [
    ("from_one.npz", (), 2, "say how many classes there are, --classes 3, or 4 if none shows class 0"),
    ("from_one.npz", ("--classes", 3), 0, "they count 3 classes from 1: 1 is 1, 2 is 2, 3 is 3"),
    ("from_one.npz", NAMED, 0, "the labels are numbers from 1, so 1 is disc, 2 is ring, 3 is bar"),
    ("text.npz", NAMED, 0, "the labels are numbers from 1, so 1 is disc"),
    ("catalogue.csv", ("--stretch", "unit", *NAMED), 0, "the labels are numbers from 1, so 1 is disc"),
    ("digits.npz", ("--classes", "3,5,9"), 0, "output: logits, 3 classes: 3, 5, 9"),
    ("digits_text.npz", ("--classes", "3,5,9"), 0, "output: logits, 3 classes: 3, 5, 9"),
    ("misspelt.npz", NAMED, 2, "give both the same names: --classes names those of the model, in the order of its"),
    ("none.npz", (), 2, "labels are empty or say that they are unknown ("),
    ("none.npz", ("--classes", "none,ring,n/a"), 0, "put into the order of the model, none, ring, n/a"),
    ("mixed", ("--stretch", "unit", *NAMED), 2, "--rgb makes three bands of grey images, and --grey one band"),
    ("mixed", ("--stretch", "unit", *NAMED, "--rgb"), 0, "rgb (grey as three equal bands)"),
    ("grey", ("--stretch", "unit", *NAMED), 2, "takes 3 bands and was given 1; --rgb makes three equal bands of one"),
    ("grey", ("--stretch", "unit", *NAMED, "--rgb"), 0, "the 3 bands of every image are equal"),
    ("scaled.npz", (), 0, "the 3 bands of every image differ by a scale and an offset alone: grey stored as colours"),
    ("rounded.npz", (), 0, "the 3 bands of every image differ by a scale and an offset alone: grey stored as colours"),
    ("grey", ("--mean", 0.5, 0.4, 0.3, "--std", 0.2, 0.3, 0.4, *NAMED, "--rgb"), 0, "differ by a scale and an offset"),
    ("half.npy", ("--labels", "labels.npy"), 0, "blank: 5 of 12 images have a single value in each band (000007"),
    ("counted.npz", ("--key", "ema"), 2, "what fits is the file itself, so omit --key"),
    ("counted.npz", ("--crop", 12), 0, "the images have 3 bands of 12x12 there already, so --crop has no effect"),
    ("counted.npz", ("--rgb", "--pad", 0), 0, "so --pad has no effect"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "options", "status", "words"), ANSWERED, ids=[row[3] for row in ANSWERED])
def test_what_strangers_bring_is_opened_or_told_what_to_say(
    robustkit, folder, monkeypatch, data, options, status, words
):
    monkeypatch.chdir(folder)
    code, said, wrong = robustkit("inspect", *NET, *making.BOUNDS, "--data", data, *options)
    assert code == status, said + wrong
    assert words in said
    if not status and data in ("from_one.npz", "text.npz", "digits.npz", "digits_text.npz"):
        assert "accuracy: 1.00 [" in said


GRAPH = ("--model", "net.onnx", *making.BOUNDS)


@pytest.mark.parametrize(
    ("data", "options", "status", "words"),
    [
        ("large.npz", (), 2, "takes images of 3 bands of 12x12, and the images have 3 bands of 24x24; bring them there "
         "with --resize 12 12"),
        ("large.npz", ("--resize", 12, 12), 0, "answers as onnxruntime does on real images"),
        ("grey", ("--stretch", "unit"), 2, "the images have 1 band of 12x12; --rgb makes three equal bands of one"),
        ("grey", ("--stretch", "unit", "--rgb"), 0, "answers as onnxruntime does on real images"),
    ],
)  # fmt: skip
def test_images_that_a_graph_does_not_take(robustkit, folder, monkeypatch, data, options, status, words):
    monkeypatch.chdir(folder)
    code, said, wrong = robustkit("inspect", *GRAPH, "--data", data, *options)
    assert code == status, said + wrong
    assert words in said


@pytest.mark.parametrize("command", ["inspect", "attack", "certify"])
def test_a_graph_that_answers_otherwise_than_its_network_goes_on_with_onnxruntime(
    robustkit, folder, monkeypatch, command
):
    from robustkit.models.foreign import onnx_operators

    monkeypatch.chdir(folder)
    monkeypatch.setitem(onnx_operators.OPERATORS, "Relu", onnx_operators.OPERATORS["Sigmoid"])
    short = () if command == "inspect" else ("--n", 2, "--budget", 16, "--out", f"graph-{command}", "--device", "cpu")
    code, said, wrong = robustkit(command, *GRAPH, "--data", "counted.npz", *short)
    assert code == 0, said + wrong
    lines = [line for line in said.splitlines() if "the graph stays with onnxruntime" in line]
    assert len(lines) == 1
    assert "of the largest score from onnxruntime, which is no rounding" in lines[0]


def test_a_graph_of_doubles_is_whole_though_it_cannot_run(robustkit, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    images = making.pictures().astype(np.float64)
    network = making.made("Net", making.pictures()).double()
    making.onnx(network, images)
    code, said, _ = robustkit("inspect", "--model", "net.onnx", "--data", folder / "counted.npz")
    assert code == 2
    assert "the graph is whole, so export it in float32" in said
    assert "damaged" not in said


def test_a_file_of_a_package_is_named_as_a_module(robustkit, folder, monkeypatch):
    monkeypatch.chdir(folder)
    rest = ("--data", "counted.npz", *making.BOUNDS)
    code, said, _ = robustkit("inspect", "--model", "net.pt", "--arch", "package/net.py:Net", *rest)
    assert code == 2
    assert "go to the folder above that and name it as a module, --arch package.net:NAME" in said
    code, said, wrong = robustkit("inspect", "--model", "net.pt", "--arch", "package.net:Net", *rest)
    assert code == 0, said + wrong
    assert "accuracy: 1.00 [" in said


def test_a_run_is_looked_at_from_another_folder(robustkit, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    images = np.load("counted.npz")["images"]
    np.save("whole.npy", images)
    given = ("--data", "whole.npy", "--labels", "labels.npy", *making.BOUNDS)
    short = ("--n", 4, "--search", "random", "--budget", 20, "--device", "cpu", "--out", tmp_path / "attack")
    code, _, wrong = robustkit("attack", *NET, *given, *short)
    assert code == 0, wrong
    monkeypatch.chdir(tmp_path)
    looked = ("--model", folder / "net.pt", "--arch", f"{folder}/nets.py:Net", "--run", "attack", "--noisy", "none")
    axes = ("--x", "random", "--y", "random", "--resolution", 15, "--device", "cpu", "--out", "window")
    code, said, wrong = robustkit("window", *looked, *axes)
    assert code == 0, said + wrong


class Traced(torch.nn.Module):
    """Tracers write down the length of the batch that they see."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = torch.nn.Conv2d(3, 2, 3, stride=2), torch.nn.Linear(50, 3)

    def logits(self, images):
        return self.fc(torch.relu(self.conv(images)).view(len(images), -1))

    forward = logits


@pytest.mark.parametrize("batch", [1, 4])
def test_a_graph_that_was_traced_with_its_batch_inside(robustkit, monkeypatch, tmp_path, batch):
    import warnings

    monkeypatch.chdir(tmp_path)
    images = torch.from_numpy(making.pictures())
    network = Traced().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"images": {0: "n"}}
        torch.onnx.export(
            network, (images[:batch],), "net.onnx", dynamo=False, input_names=["images"], dynamic_axes=axes
        )
    labels = network.logits(images).argmax(1)
    making.keep(images.numpy(), labels, ("a", "b", "c"))
    given = ("--model", "net.onnx", "--data", "d.npz", *making.BOUNDS)
    code, said, wrong = robustkit("inspect", *given)
    assert code == 0, said + wrong
    assert f"the batch is fixed at {batch}, and smaller ones are filled up" in said
    assert "accuracy: 1.00 [" in said
    code, said, wrong = robustkit("certify", *given, "--n", 2, "--budget", 16, "--out", "certify", "--device", "cpu")
    assert code == 0, said + wrong


HARD = """
import numpy as np
from nets import predict as scores

def label(images):
    return np.asarray(scores(images)).argmax(1)

def chance(images):
    z = np.asarray(scores(images))
    return 1 / (1 + np.exp(z[:, 0] - z[:, 1]))
"""


@pytest.mark.parametrize(
    ("name", "options", "status", "words"),
    [
        (
            "label",
            (),
            2,
            "every output is 0 or 1, as a predicted class is, and no score; return scores, as predict_proba",
        ),
        ("chance", (), 2, "say --output-kind sigmoid"),
        ("chance", ("--output-kind", "sigmoid"), 0, "output: sigmoid"),
        ("chance", ("--output-kind", "sigmoid", "--threshold", 0.5), 0, "real where its score is above 0.5"),
    ],
)
def test_a_function_of_one_score(robustkit, folder, monkeypatch, tmp_path, name, options, status, words):
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_bytes(making.CODE.read_bytes())
    Path("gate.py").write_text(HARD.replace("argmax(1)", "argmax(1) % 2"))
    images = making.pictures()
    np.savez("d.npz", images=images, labels=np.array(["bogus", "real"] * 6))
    given = ("--model", "gate.py:" + name, "--data", "d.npz", *making.BOUNDS)
    code, said, wrong = robustkit("inspect", *given, *options)
    assert code == status, said + wrong
    assert words in said


@pytest.mark.slow
def test_a_network_that_is_never_right_gets_its_page(robustkit, folder, monkeypatch, tmp_path):
    from tests.cli.test_forms import AUDIT

    monkeypatch.chdir(folder)
    monkeypatch.setattr("robustkit.cores.cores", lambda: 1)
    labels = (np.load("counted.npz")["labels"] + 1) % 3
    np.savez("d.npz", images=np.load("counted.npz")["images"], labels=labels)
    Path("audit-of-wrong.toml").write_text(AUDIT)
    code, said, wrong = robustkit(
        "audit", "audit-of-wrong.toml", *NET, *making.BOUNDS, "--out", tmp_path / "audit", "--device", "cpu"
    )
    assert code == 0, said + wrong
    assert "could not be drawn" not in (tmp_path / "audit" / "report.html").read_text()
