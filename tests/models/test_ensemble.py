# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Several checkpoints as one, and averages over views, against the formulas."""

import numpy as np
import pytest
import torch
from torch import nn

from robustkit.cli.options import _with_members
from robustkit.data import ImageSet
from robustkit.engine import make_evaluator
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier, ModelOptions, open_model
from robustkit.models.ensemble import Ensemble, View, disagreement, views_of

CODE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, classes)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


class Gate(Net):
    def __init__(self):
        super().__init__(1)
"""


@pytest.fixture
def world(tmp_path):
    (tmp_path / "net.py").write_text(CODE)
    space: dict = {}
    exec(CODE, space)

    def make(name, count, classes):
        networks = []
        for seed in range(count):
            torch.manual_seed(seed)
            networks.append(space[name]().eval())
            with torch.no_grad():
                networks[-1].fc.weight.mul_(20)
            torch.save(networks[-1].state_dict(), tmp_path / f"{name}{seed}.pt")
        rng = np.random.default_rng(0)
        images = rng.random((30, 3, 8, 8), dtype=np.float32)
        ids = np.array([f"g{i}" for i in range(30)])
        shown = ImageSet(images, rng.integers(0, len(classes), 30), classes, ("g", "r", "i"), ids)
        said = {
            "arch": f"{tmp_path / 'net.py'}:{name}",
            "members": tuple(str(tmp_path / f"{name}{s}.pt") for s in range(1, count)),
        }
        return tmp_path / f"{name}0.pt", networks, shown, said

    return make


@pytest.mark.parametrize("combine", [None, "mean", "votes"])
def test_three_checkpoints_are_one(world, combine):
    path, networks, shown, said = world("Net", 3, ("a", "b", "c"))
    checkpoint = open_model(path, ModelOptions(combine=combine, **said), images=shown)
    images = torch.from_numpy(shown.images)
    with torch.no_grad():
        each = torch.stack([network(images).softmax(1) for network in networks])
        answer = checkpoint.classifier(images).softmax(1)
    if combine == "votes":
        counts = torch.stack([(each.argmax(2) == k).sum(0) for k in range(3)], 1)
        clear = counts.amax(1) > 1
        assert torch.equal(answer.argmax(1)[clear], counts.argmax(1)[clear])
    else:
        torch.testing.assert_close(answer, each.mean(0))
    assert checkpoint.classifier.latent_name is None
    assert "3 checkpoints as one" in checkpoint.origin.form
    other = open_model(path, ModelOptions(**said | {"members": said["members"][::-1]}), images=shown)
    assert other.origin.sha256 != checkpoint.origin.sha256
    ensemble = checkpoint.classifier.module
    expected = (each.argmax(2) != answer.argmax(1)).double().mean(0)
    torch.testing.assert_close(ensemble.disagreement(images), expected)


def test_one_logit_and_a_threshold_of_an_ensemble(world):
    path, networks, shown, said = world("Gate", 2, ("bogus", "real"))
    images = torch.from_numpy(shown.images)
    with torch.no_grad():
        mean = torch.stack([network(images)[:, 0].sigmoid() for network in networks]).mean(0)
    threshold = float(mean.median())
    checkpoint = open_model(path, ModelOptions(threshold=threshold, classes=("bogus", "real"), **said), images=shown)
    with torch.no_grad():
        decided = checkpoint.classifier(images).argmax(1) == 1
    assert int((decided != (mean > threshold)).sum()) <= 1  # the median itself


@pytest.mark.parametrize(("average", "count"), [("flips", 4), ("rotations", 4), ("both", 8)])
def test_an_average_over_views_does_not_change_when_the_image_is_turned(world, average, count):
    path, networks, shown, said = world("Net", 1, ("a", "b", "c"))
    checkpoint = open_model(path, ModelOptions(average=average, arch=said["arch"]), images=shown)
    images = torch.from_numpy(shown.images)
    turned = images.flip(2) if average == "flips" else images.rot90(1, (2, 3))
    with torch.no_grad():
        torch.testing.assert_close(checkpoint.classifier(images), checkpoint.classifier(turned), rtol=1e-4, atol=1e-5)
        views = [view(images) for view in views_of(average, (3, 8, 8))]
        assert len({view.numpy().tobytes() for view in views}) == count
        expected = torch.stack([networks[0](view).softmax(1) for view in views]).mean(0)
        torch.testing.assert_close(checkpoint.classifier(images).softmax(1), expected)


def test_an_ensemble_is_followed_by_the_engine(world):
    path, _, shown, said = world("Net", 2, ("a", "b", "c"))
    checkpoint = open_model(path, ModelOptions(**said), images=shown)
    evaluator = make_evaluator(checkpoint.classifier, torch.from_numpy(shown.images[:2]), engine="plain")
    assert not evaluator.why_not_traced


def test_a_member_that_is_there_twice_is_told(world, tmp_path):
    path, _, shown, said = world("Net", 3, ("a", "b", "c"))
    copied = tmp_path / "copy.pt"
    copied.write_bytes(path.read_bytes())
    for members, twice in ((said["members"], []), ((*said["members"], str(path)), [path]), ((str(copied),), [copied])):
        notes = open_model(path, ModelOptions(**said | {"members": members}), images=shown).origin.notes
        told = [
            f"warning: {each} is the same file as {path}, so the ensemble counts its answer twice" for each in twice
        ]
        assert [note for note in notes if "same file" in note] == told


def test_what_cannot_answer_together_is_refused(world, tmp_path):
    path, _, shown, said = world("Net", 2, ("a", "b", "c"))
    other, *_ = world("Gate", 1, ("a", "b", "c"))
    with pytest.raises(InputError, match="Gate0"):
        open_model(path, ModelOptions(arch=said["arch"], members=(str(other),)), images=shown)
    with pytest.raises(InputError, match=r"--average rotations turns images, and these are 8x6; give --average flips"):
        views_of("rotations", (3, 8, 6))
    with pytest.raises(InputError, match="unknown --average 'shears'"):
        views_of("shears", (3, 8, 8))  # pyright: ignore[reportArgumentType]
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(27, 2)).eval()
    with pytest.raises(InputError, match="unknown --combine 'best'"):
        Ensemble([AuditedClassifier(network, input_shape=(3, 3, 3))], (View(),), "best")  # pyright: ignore[reportArgumentType]


def test_checkpoints_of_other_classes_are_refused_in_a_sentence(tmp_path):
    from robustkit.models.checkpoint import Card, save_checkpoint
    from robustkit.models.networks import NETWORKS

    for name, classes, side in (("one", ("a", "b"), 32), ("two", ("a", "c"), 32), ("three", ("a", "b"), 40)):
        network = NETWORKS["convnet"](bands=3, classes=2, size=(side, side)).eval()
        ranges, stretch = ((0.0, 1.0),) * 3, {"name": "none"}
        card = Card("convnet", classes, ("g", "r", "i"), (3, side, side), stretch, ranges, network.latent)
        save_checkpoint(tmp_path / f"{name}.pt", network, card)
    for other, words in (("two", "one classes, and .* has a, b where .* has a, c"), ("three", "one input, and")):
        with pytest.raises(InputError, match=words):
            open_model(tmp_path / "one.pt", ModelOptions(members=(str(tmp_path / f"{other}.pt"),)))
    both = open_model(tmp_path / "one.pt", ModelOptions(members=(str(tmp_path / "one.pt"),), average="flips"))
    assert both.card.class_names == ("a", "b")


def test_several_models_are_typed_one_after_the_other():

    typed = "--n 3 --model a.pt b.pt c.pt --mean -1 2 --out x"
    expected = "--n 3 --model a.pt --members b.pt --members c.pt --mean -1 2 --out x"
    assert " ".join(_with_members(typed.split(" "))) == expected


def test_an_audit_file_is_no_member():
    words = ["audit.toml", "--model", "a.pt", "b.pt", "audit.toml", "--n", "3"]
    assert _with_members(words, file=True) == [
        "audit.toml", "--model", "a.pt", "--members", "b.pt", "audit.toml", "--n", "3"
    ]  # fmt: skip


def test_disagreement_is_the_share_that_decides_otherwise():
    class Says(nn.Module):
        def __init__(self, logits):
            super().__init__()
            self.logits = nn.Parameter(torch.tensor(logits))

        def forward(self, x):
            return self.logits.expand(len(x), -1) + 0 * x.mean((1, 2, 3))[:, None]

    members = [AuditedClassifier(Says(z).eval(), input_shape=(1, 4, 4)) for z in ([2.0, 0.0], [0.5, -0.5], [0.0, 1.5])]
    images = torch.rand(3, 1, 4, 4)
    for combine in ("mean", "votes"):
        whole = AuditedClassifier(Ensemble(members, combine=combine), input_shape=(1, 4, 4))
        assert disagreement(whole, images).tolist() == [1 / 3] * 3
    assert np.isnan(disagreement(members[0], images)).all()
