import pickle

import pytest
import torch

from robustkit.data import ArcsinhStretch
from robustkit.errors import InputError, SecurityError
from robustkit.models import Card, ConvNet, ResNet18, open_checkpoint, save_checkpoint

SHAPE = (3, 24, 24)


@pytest.fixture
def card():
    return Card(
        network="convnet",
        class_names=("spiral", "elliptical", "merger"),
        bands=("g", "r", "i"),
        input_shape=SHAPE,
        stretch=ArcsinhStretch((-1.0, -2.0, -3.0), (10.0, 20.0, 30.0), 0.1).to_json(),
        input_range=((0.4, 0.8), (0.4, 0.8), (0.4, 0.8)),
        latent="bottleneck",
        data={"path": "galaxies"},
    )


@pytest.fixture
def path(tmp_path, card):
    torch.manual_seed(0)
    return save_checkpoint(tmp_path / "model.pt", ConvNet(size=SHAPE[1:]), card)


def test_a_checkpoint_goes_round(path, card):
    opened = open_checkpoint(path)
    assert opened.card == card
    assert opened.stretch == ArcsinhStretch((-1.0, -2.0, -3.0), (10.0, 20.0, 30.0), 0.1)
    assert opened.classifier.class_names == card.class_names
    images = torch.rand(2, *SHAPE)
    torch.manual_seed(0)
    torch.testing.assert_close(opened.classifier(images), ConvNet(size=SHAPE[1:]).eval()(images))


def test_a_checkpoint_cut_anywhere_is_refused_in_words(path, tmp_path):
    whole = path.read_bytes()
    for length in [0, 1, 10, 100, *range(1000, len(whole), len(whole) // 20)]:
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.pt"):
            open_checkpoint(tmp_path / "cut.pt")


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.parametrize("form", ["zip", "legacy", "raw"])
def test_code_in_a_checkpoint_never_runs(tmp_path, monkeypatch, form):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker, path = tmp_path / "marker", tmp_path / "evil.pt"
    content = {"state_dict": {}, "x": Payload(marker)}
    if form == "raw":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(SecurityError, match="could run code"):
        open_checkpoint(path)
    assert not marker.exists()


def test_other_files_are_refused(tmp_path, card):
    with pytest.raises(InputError, match="but it does not exist"):
        open_checkpoint(tmp_path / "missing.pt")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="not a robustkit checkpoint"):
        open_checkpoint(tmp_path / "other.pt")
    save_checkpoint(tmp_path / "mixed.pt", ResNet18(), card)
    with pytest.raises(InputError, match="do not fit a convnet"):
        open_checkpoint(tmp_path / "mixed.pt")
