"""Forms of models through whole commands: attacked, certified and swept, and looked at where they have a latent."""

import warnings

import numpy as np
import pytest
import torch

from robustkit.files import read_json
from tests.models.foreign.onnx_writing import keras_graph, save

CODE = """
import torch
from torch import nn


class Net(nn.Module):
    columns = 3

    def __init__(self):
        super().__init__()
        self.features, self.classifier = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, self.columns)

    def forward(self, x):
        return self.classifier(torch.relu(self.features(x)).mean((2, 3)))


class Soft(Net):
    def forward(self, x):
        return torch.softmax(super().forward(x), 1)


class Gate(Net):
    columns = 1

    def forward(self, x):
        return super().forward(x).squeeze(1)


class Labels(Net):
    columns = 2

    def forward(self, x):
        return torch.sigmoid(super().forward(x))


class Votes(Net):
    columns = 5

    def forward(self, x):
        return 1 + 100 * torch.sigmoid(super().forward(x))


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = Net(), Net()

    def forward(self, x):
        return self.one(x) + self.two(x.flip(3))
"""
SIZE = 12


def export(network, path, fixed=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of itself
        axes = None if fixed else {"images": {0: "n"}}
        torch.onnx.export(
            network, (torch.rand(1, 3, SIZE, SIZE),), path, dynamo=False, input_names=["images"], dynamic_axes=axes
        )


def write_domains(path, network):
    """A graph with the class head and, before it, a domain head of as many columns."""
    from onnx import helper, numpy_helper

    def array(value, name):
        return numpy_helper.from_array(np.asarray(value.detach(), dtype=np.float32), name)

    tensors = [array(value, name) for name, value in network.state_dict().items()] + [array(torch.randn(3, 6), "d")]
    nodes = [
        helper.make_node("Conv", ["x", "features.weight", "features.bias"], ["c"], pads=[1] * 4, kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "d"], ["domain"], transB=1),
        helper.make_node("Gemm", ["f", "classifier.weight", "classifier.bias"], ["class"], transB=1),
    ]
    save(path, nodes, tensors, bands=3, size=SIZE, outputs={"domain": 3, "class": 3})


# Form, the options, the classes of the images, and whether it has a latent.
FORMS = [
    ("onnx-free", [], "abc", True),
    ("onnx-fixed", [], "abc", True),
    ("onnx-keras", [], "abc", True),
    ("onnx-domains", [], "abc", True),
    ("onnx-softmax", [], "abc", True),
    ("Net", [], "abc", True),
    ("Soft", [], "abc", True),
    ("Gate", [], ("bogus", "real"), True),
    ("Gate", ["--threshold"], ("bogus", "real"), True),
    ("Labels", ["--classes", "ring,dust", "--multi-label"], ("none", "ring", "dust", "ring+dust"), True),
    ("Votes", ["--classes", "smooth,disc,star,bar,plain", "--output-kind", "votes",
               "--question", "smooth,disc,star; bar,plain"], None, True),
    ("Votes", ["--classes", "smooth,disc,star,bar,plain", "--output-kind", "votes",
               "--question", "smooth,disc,star: smooth>0.3075; ..."], ("not smooth", "smooth"), True),
    ("Branches", [], "abc", False),
    ("ensemble", [], "abc", False),
    ("ensemble", ["--average", "flips", "--combine", "votes"], "abc", False),
]  # fmt: skip
NAMES = [" ".join([form, *(option for option in options if option.startswith("--"))]) for form, options, _, _ in FORMS]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Writes a model of a form, with images that are labelled as it answers; the words after `--model`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(CODE)
    space: dict = {}
    exec(CODE, space)
    images = np.random.default_rng(0).random((24, 3, SIZE, SIZE), dtype=np.float32)
    images *= np.linspace(0.1, 1, 24, dtype=np.float32)[:, None, None, None]

    def stored(name, file):
        network = space[name]().eval()
        torch.save(network.state_dict(), tmp_path / file)
        return network

    def make(form, options):
        torch.manual_seed(0)
        options = list(options)
        if form == "onnx-keras":
            answer = keras_graph(tmp_path / "net.onnx", bands=3, size=SIZE)
            return ["net.onnx"], answer(torch.from_numpy(images)), options
        if form.startswith("onnx"):
            network = space["Soft" if form == "onnx-softmax" else "Net"]().eval()
            with torch.no_grad():  # every class wins for some images
                network.classifier.bias -= space["Net"].forward(network, torch.from_numpy(images)).mean(0)
            if form == "onnx-domains":
                write_domains(tmp_path / "net.onnx", network)
            else:
                export(network, tmp_path / "net.onnx", fixed=form == "onnx-fixed")
            model = ["net.onnx"]
        elif form == "ensemble":
            network = stored("Net", "one.pt")
            stored("Net", "two.pt")
            model = ["one.pt", "two.pt", "--arch", "net.py:Net"]
        else:
            network = stored(form, "net.pt")
            model = ["net.pt", "--arch", f"net.py:{form}"]
        with torch.no_grad():
            return model, network(torch.from_numpy(images)), options

    def write(form, options, classes):
        model, answer, options = make(form, options)
        if options[-1:] == ["--threshold"]:
            options.append(f"{float(torch.sigmoid(answer.median())):.6f}")
        names = list(classes or [f"{a}+{b}" for a in ("smooth", "disc", "star") for b in ("bar", "plain")])
        labels = answer.argmax(1).numpy() if form == "onnx-domains" else np.arange(24) % len(names)
        np.savez(tmp_path / "d.npz", images=images, labels=labels, class_names=names)
        return ["--model", *model, "--data", "d.npz", *options]

    return write


@pytest.mark.parametrize(("form", "options", "classes", "latent"), FORMS, ids=NAMES)
def test_a_form_goes_through_every_command(robustkit, world, tmp_path, form, options, classes, latent):
    given = world(form, options, classes)

    def run(*words, status=0):
        code, said, wrong = robustkit(*words)
        assert code == status, said[-1500:] + wrong[-1500:]
        assert "Traceback" not in said + wrong
        return said, wrong

    run("attack", *given, "--n", 12, "--search", "random", "--budget", 30, "--out", "attack", "--device", "cpu")
    run("certify", *given, "--n", 3, "--budget", 20, "--out", "certify", "--device", "cpu")
    run(
        "sweep",
        *given,
        "--n",
        6,
        "--perturb",
        "gaussian",
        "--levels",
        0.1,
        "--draws",
        1,
        "--out",
        "sweep",
        "--device",
        "cpu",
    )
    for folder in ("attack", "certify", "sweep"):
        assert (tmp_path / folder / "summary.json").is_file()
    assert read_json(tmp_path / "attack" / "summary.json")["drawn"] == 12
    looking = ["distances", *given, "--run", "attack", "--noisy", "none", "--out", "distances"]
    _, wrong = run(*looking, status=0 if latent else 2)
    assert latent or "has no latent: no layer was found" in wrong
