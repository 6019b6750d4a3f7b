# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""The front door: a live network and arrays, in one call each, with refusals in the words of that call."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import robustkit as rk
from robustkit.errors import InputError
from tests.audits import make_audit


class Net(nn.Module):
    """Class 1 where the brightest pixel of the first band is bright, else class 0 or 2 by the mean of the second."""

    def __init__(self, bands=3, classes=3):
        super().__init__()
        self.conv = nn.Conv2d(bands, 4, 3, padding=1)
        self.pool = nn.AdaptiveMaxPool2d(4)
        self.hidden = nn.Linear(64, 8)
        self.fc = nn.Linear(8, classes)

    def forward(self, x):
        return self.fc(torch.relu(self.hidden(self.pool(torch.relu(self.conv(x))).flatten(1))))


def world(bands=3, classes=3, n=12, seed=0):
    """A network, images, and the classes that it gives them, as NumPy arrays."""
    torch.manual_seed(seed)
    net = Net(bands, classes).eval()
    images = torch.rand(n, bands, 12, 12)
    with torch.no_grad():
        net.fc.bias -= net(images).mean(0)  # so that no class wins always
        labels = net(images).argmax(1)
    return net, images.numpy(), labels.numpy()


@pytest.fixture(scope="module")
def found():
    net, images, labels = world()
    return rk.attack(net, images, labels, search="random", budget=300, seed=1)


def test_three_lines_from_arrays_to_a_picture(found):
    assert found.flip_rate.n == 12
    assert "images drawn" in repr(found)
    assert repr(found).count("\n") < 15
    assert found.plot().axes
    flipped = found.images()
    assert flipped.shape == (int(found.record.flipped_images().sum()), 3, 12, 12)
    net, images, labels = world()
    rows = found.record.image[found.first_flips()]
    assert ((flipped != images[rows]).any(1).sum((1, 2)) == 1).all()  # one pixel each
    with torch.inference_mode():
        for image, row in zip(flipped, rows, strict=True):
            assert int(net(torch.from_numpy(image[None])).argmax()) != labels[row]


def test_a_notebook_shows_numbers_and_a_drawing(found):
    html = found._repr_html_()
    assert "images drawn" in html
    assert "data:image/png;base64," in html
    assert found.gallery(2).get_size_inches()[1] > 0


def test_a_record_prints_itself_in_a_few_lines(found):
    text = repr(found.record)
    assert "clean_probabilities: float32[12, 3]" in text
    assert len(text) < 2500


def test_a_table_becomes_a_frame(found):
    pandas = pytest.importorskip("pandas")
    frame = found.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert set(frame["id"]) == set(found.record.ids)


@pytest.mark.parametrize("bands", [1, 3, 10])
@pytest.mark.parametrize("classes", [2, 10])
def test_any_number_of_bands_and_classes(bands, classes):
    net, images, labels = world(bands, classes, n=3)
    values = "corners" if bands < 10 else "single-band"
    assert len(rk.certify(net, images, labels, values=values, budget=50).record.ids) == 3
    assert rk.sweep(net, images, labels, ["gaussian"], levels=[0.1], draws=1).numbers.clean.value == 1.0


def test_tensors_functions_and_files_are_taken_alike(tmp_path):
    net, images, labels = world()
    asked = {"search": "random", "budget": 50, "values": "corners"}
    expected = rk.attack(net, images, labels, **asked).record
    tensors = rk.attack(net, torch.from_numpy(images), torch.from_numpy(labels), **asked).record
    assert (tensors.queries == expected.queries).all()

    def scores(batch):
        with torch.inference_mode():
            return net(torch.from_numpy(batch)).numpy()

    black_box = rk.attack(scores, images, labels, **asked).record
    assert (black_box.flipped == expected.flipped).all()
    model, _ = make_audit(tmp_path)
    own = rk.attack(model, n=3, search="random", budget=20)
    assert len(own.record.ids) == 3


def test_a_run_folder_is_kept_and_gone_on_with(tmp_path):
    net, images, labels = world()
    asked = {"search": "random", "budget": 40, "out": tmp_path / "run", "say": lambda line: None}
    first = rk.attack(net, images, labels, group=5, **asked)
    again = rk.attack(net, images, labels, group=5, resume=True, **asked)
    assert (first.record.queries == again.record.queries).all()
    assert (tmp_path / "run" / "attacks.csv").exists()
    with pytest.raises(InputError, match="was started with other inputs"):
        rk.attack(world(seed=7)[0], images, world(seed=7)[2], group=5, resume=True, **asked)


def test_the_page_comes_from_arrays(tmp_path):
    net, images, labels = world(n=8)
    other = world(n=8, seed=3)[0]
    report = rk.audit(
        net, images, labels, base=other, out=tmp_path / "audit", say=lambda line: None, class_names=["a", "b", "c"],
    )  # fmt: skip
    assert report.page.exists()
    assert "accuracy" in report.numbers


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": np.zeros((4, 12, 12), np.float32)}, r"expected images of shape \(N, C, H, W\).*images\[:, None\]"),
        ({"images": np.full((4, 3, 12, 12), 200, np.uint8)}, r"the images are uint8 .* images / 255"),
        ({"labels": np.eye(3)[[0, 1, 2, 0]]}, r"one-hot labels use labels\.argmax\(1\)"),
        ({"labels": ["spiral"] * 4}, "unknown label 'spiral'; known are class 0, class 1, class 2"),
        ({"labels": None}, "need labels"),
        ({"labels": [0, 1]}, "4 images need as many labels"),
        ({"labels": [0, 1, 2, 7]}, "labels run from 0 to 7"),
        ({"search": "dee"}, "unknown search 'dee'"),
        ({"values": "nothing"}, "unknown values"),
        ({"budgett": 3}, "unknown argument 'budgett'; did you mean 'budget'"),
        ({"images": np.full((4, 3, 12, 12), np.nan, np.float32)}, "not finite"),
        ({"class_names": ["a", "b"]}, "the network has 3 outputs and 2 classes are named"),
        ({"model": "weights"}, "weights"),
        ({"model": 3}, "expected a torch.nn.Module, a file, or a function"),
    ],
)
def test_refusals_are_one_sentence(change, words):
    net, images, labels = world(n=4)
    given = {"model": net, "images": images, "labels": labels, "search": "random", "budget": 10} | change
    with pytest.raises(InputError, match=words) as caught:
        rk.attack(given.pop("model"), given.pop("images"), given.pop("labels"), **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda net, x, y: rk.open_model(net), "expected the path of a model file, not a Net; a network in memory"),
        (lambda net, x, y: rk.open_images(x), "expected the path of an image set, not a ndarray; arrays in memory"),
        (lambda net, x, y: rk.open_checkpoint(3), "expected the path of a checkpoint, not a int"),
        (lambda net, x, y: rk.evaluate([net]), "expected the path of a checkpoint or of a folder of them, not a Net"),
        (lambda net, x, y: rk.evaluate("nothere"), "nothere"),
        (lambda net, x, y: rk.train(x, out="a.pt"), "expected the path of one image set, not a ndarray"),
        (lambda net, x, y: rk.simulate("many", out="a"), "expected n as a whole number, got 'many'"),
        (lambda net, x, y: rk.make_front(5), "expected the name of a front end, such as 'across', got 5"),
        (lambda net, x, y: rk.Repaired(net, "clip"), r"expected a front end, not a Net; rk.make_front\('across'\)"),
        (lambda net, x, y: rk.certify(net, x, y, values=5), "expected values as str, got 5"),
        (lambda net, x, y: rk.attack(net, x, y, budget="ten"), "expected budget as int or None, got 'ten'"),
        (lambda net, x, y: rk.sweep(net, x, y, 5), r"expected perturbations as Sequence\[str\], got \(5,\)"),
    ],
)
def test_a_value_of_another_kind_is_refused_in_a_sentence(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        call(*world(n=4))
    assert not list(tmp_path.iterdir())


def test_a_network_in_training_mode_and_one_that_is_always_wrong_are_refused():
    net, images, labels = world(n=4)
    with pytest.raises(InputError, match=r"training mode.*module\.eval\(\)"):
        rk.attack(net.train(), images, labels)
    with pytest.raises(InputError, match="none of the 4 images is classified correctly"):
        rk.attack(net.eval(), images, (labels + 1) % 3)


def test_names_as_labels_are_looked_up():
    net, images, labels = world()
    names = np.array(["elliptical", "merger", "spiral"])
    found = rk.certify(net, images, names[labels], class_names=names.tolist(), budget=20)
    assert found.record.correct.all()


def test_the_door_opens_quickly():
    code = "import robustkit, sys; assert 'torch' not in sys.modules and 'numpy' not in sys.modules; robustkit.attack"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_latents_of_an_attack_and_of_a_network_say_the_same(found):
    net, images, labels = world()
    windows, distances = rk.windows(found, noisy="gaussian:0.1"), rk.distances(found, noisy="gaussian:0.1")
    assert "have a window along one-pixel and noise" in windows.describe()
    assert windows.plot().axes
    assert windows.table().count("\n") == 13
    assert distances.summary()["models"][found.sample.model.stem]["perturbations"]
    assert "d_E" in distances.describe()
    again = rk.distances(net, images, labels, search="random", budget=300, seed=1, noisy="gaussian:0.1")
    assert np.array_equal(again.record.ids, distances.record.ids)
    found_map = rk.isomap(found, noisy="gaussian:0.1", neighbours=4)
    assert found_map.plot().axes
    assert found_map.summary()["maps"][found_map.record.model]["quality"]


def test_latents_are_kept_in_a_folder_and_a_wrong_argument_is_not_passed_over(found, tmp_path):
    kept = rk.distances(found, noisy="gaussian:0.1", draws=99, out=tmp_path / "kept")
    assert kept.folder == tmp_path / "kept"
    written = json.loads((tmp_path / "kept" / "summary.json").read_text())
    assert written["models"] == kept.summary()["models"]
    with pytest.raises(InputError, match="unknown argument 'neighbors'; did you mean 'neighbours'"):
        rk.isomap(found, neighbors=4)
    with pytest.raises(InputError, match="the same checkpoint"):
        rk.distances(found, noisy="gaussian:0.1", draws=99, base=found)


def test_a_function_has_no_latent_and_says_so():
    net, images, labels = world(n=3)

    def scores(batch):
        with torch.inference_mode():
            return net(torch.from_numpy(batch)).numpy()

    with pytest.raises(InputError, match="latent"):
        rk.windows(scores, images, labels, search="random", budget=20)
