"""A softmax or sigmoid at the end is cut off, by layer or by function, and what is left are the logits."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from robustkit.data import ImageSet
from robustkit.errors import InputError
from robustkit.models import ModelOptions, open_model
from robustkit.models.endings import cut_ending
from robustkit.models.outputs import Output

IMAGES = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


class Ending(nn.Module):
    def __init__(self, after=None, columns=3):
        super().__init__()
        self.body, self.fc = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()), nn.Linear(64, columns)
        self.last, self.after = nn.Identity(), after

    def logits(self, x):
        return self.fc(self.body(x)) * 30

    def forward(self, x):
        x = self.last(self.logits(x))
        return x if self.after is None else self.after(x)


@pytest.mark.parametrize("columns", [3, 1])
@pytest.mark.parametrize(
    ("kind", "layer", "function"),
    [
        ("softmax", nn.Softmax(1), lambda x: functional.softmax(x, dim=1)),
        ("softmax", nn.Softmax(-1), lambda x: x.softmax(-1)),
        ("log_softmax", nn.LogSoftmax(1), lambda x: torch.log_softmax(x, 1)),
        ("sigmoid", nn.Sigmoid(), torch.sigmoid),
        ("log_sigmoid", nn.LogSigmoid(), functional.logsigmoid),
    ],
)
def test_what_is_left_are_the_logits(kind, layer, function, columns):
    for network in (Ending(columns=columns).eval(), Ending(function, columns).eval()):
        if network.after is None:
            network.last = layer.eval()
        cut = cut_ending(network, Output(), IMAGES)
        assert cut is not None
        assert cut.kind == kind
        torch.testing.assert_close(cut.network(IMAGES), network.logits(IMAGES))
        assert torch.equal(network(IMAGES), network(IMAGES))  # the network itself is as it was


def test_one_part_of_several_is_cut():
    network = Ending(lambda x: (x[:, :2], x.softmax(1))).eval()
    cut = cut_ending(network, Output(part=1), IMAGES)
    assert cut is not None
    torch.testing.assert_close(Output(part=1).select(cut.network(IMAGES)), network.logits(IMAGES))
    assert cut_ending(network, Output(part=0), IMAGES) is None


@pytest.mark.parametrize("after", [None, lambda x: x.softmax(0), lambda x: x.softmax(1) * 2, lambda x: x.relu()])
def test_what_is_no_softmax_over_the_classes_stays(after):
    assert cut_ending(Ending(after).eval(), Output(), IMAGES) is None


def test_a_softmax_in_the_middle_stays():
    class Attending(Ending):
        def forward(self, x):
            return self.fc(self.body(x) * self.last(self.body(x)))

    network = Attending().eval()
    network.last = nn.Softmax(1)
    assert cut_ending(network, Output(), IMAGES) is None


CODE = """
import torch
from torch import nn


class Base(nn.Module):
    columns = 3

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, self.columns)

    def logits(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


class Soft(Base):
    def forward(self, x):
        return torch.softmax(self.logits(x), 1)


class Gate(Base):
    columns = 1

    def forward(self, x):
        return torch.sigmoid(self.logits(x)).squeeze(1)


class Domains(Base):
    columns = 4

    def forward(self, x):
        both = self.logits(x)
        return both[:, 2:], both[:, :2]
"""


@pytest.fixture
def stored(tmp_path):
    """Opens a class of `CODE`, with images that a rule labels."""
    (tmp_path / "net.py").write_text(CODE)
    space: dict = {}
    exec(CODE, space)

    def make(name, label, options=None, classes=("a", "b")):
        torch.manual_seed(0)
        network = space[name]().eval()
        torch.save(network.state_dict(), tmp_path / "net.pt")
        images = np.random.default_rng(0).random((60, 3, 8, 8), dtype=np.float32)
        with torch.no_grad():
            labels = label(network, torch.from_numpy(images)).numpy().astype(np.int64)
        ids = np.array([f"g{i}" for i in range(60)])
        shown = ImageSet(images, labels, classes, ("g", "r", "i"), ids)
        said = ModelOptions(arch=f"{tmp_path / 'net.py'}:{name}", **(options or {}))
        return open_model(tmp_path / "net.pt", said, images=shown), network, torch.from_numpy(images)

    return make


def _half(values):
    return values > values.median()


def test_a_file_of_a_softmax_is_audited_by_its_logits(stored):
    checkpoint, network, images = stored("Soft", lambda n, x: n(x).argmax(1), classes=("a", "b", "c"))
    assert any("softmax at the end of its code is cut off" in note for note in checkpoint.origin.notes)
    torch.testing.assert_close(checkpoint.classifier(images), network.logits(images))
    assert checkpoint.classifier.latent_name == "input of fc"


def test_the_class_head_is_chosen_by_the_labels(stored):
    def by(part):
        return lambda n, x: _half(n(x)[part][:, 1] - n(x)[part][:, 0])

    for part in (0, 1):
        checkpoint, network, images = stored("Domains", lambda n, x, part=part: n(x)[part].argmax(1))
        if len(set(network(images)[part].argmax(1).tolist())) == 2:
            assert checkpoint.classifier.output.part == part
        assert any("right on the labelled images" in note for note in checkpoint.origin.notes)


def test_a_threshold_is_asked_of_a_score_in_any_form(stored):
    def label(network, images):
        return _half(network(images))

    middle = float(torch.sigmoid(torch.zeros(1)))
    with torch.no_grad():
        _, network, images = stored("Gate", label)
        middle = float(network(images).median())
    checkpoint, network, images = stored(
        "Gate", label, {"threshold": middle, "classes": ("bogus", "real")}, ("bogus", "real")
    )
    decided = checkpoint.classifier(images).argmax(1) == 1
    assert torch.equal(decided, network(images) > middle)
    assert any("decided: real where its score is above" in note for note in checkpoint.origin.notes)
    with pytest.raises(InputError, match=r"the scores of 60 images run from .* all of them are decided as 'bogus'"):
        stored("Gate", label, {"threshold": 0.9999, "classes": ("bogus", "real")}, ("bogus", "real"))
