"""Models of libraries, each tried where the library is installed; and that each missing one is named with its extra."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from robustkit.errors import InputError, MissingExtra
from robustkit.files import sha256_file
from robustkit.models import ModelOptions, open_model
from robustkit.models.foreign.architecture import Zoobot
from tests.models.foreign.networks import settled


def _library(name):
    try:
        return __import__(name)
    except Exception:  # a half-installed library fails in its own ways
        pytest.skip(f"{name} is not installed")


def _check(checkpoint, network, shape):
    images = torch.rand(2, *shape)
    with torch.no_grad():
        expected = network(images)
        expected = getattr(expected, "logits", expected)
        torch.testing.assert_close(checkpoint.classifier(images), expected, rtol=1e-3, atol=1e-3)
        latents = checkpoint.classifier.embed(images)
        torch.testing.assert_close(checkpoint.classifier.head(latents), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("count", [None, 3])
def test_timm(tmp_path, count):
    network = _library("timm").create_model("resnet10t", num_classes=3).eval()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "w.pth")
    options = ModelOptions(arch="timm:resnet10t", class_count=count, input_size=(64, 64))
    _check(open_model(tmp_path / "w.pth", options), network, (3, 64, 64))


def test_zoobot(tmp_path):
    timm = _library("timm")
    encoder = timm.create_model("resnet10t", num_classes=0)
    network = Zoobot(encoder, encoder.num_features, 4).eval()
    state = {**network.state_dict(), "train_acc.total": torch.zeros(1)}
    torch.save({"state_dict": state, "pytorch-lightning_version": "2.2"}, tmp_path / "best.ckpt")
    checkpoint = open_model(tmp_path / "best.ckpt", ModelOptions(arch="zoobot:resnet10t", input_size=(64, 64)))
    _check(checkpoint, network, (3, 64, 64))
    assert checkpoint.classifier.latent_name == "encoder"
    assert any("left out: train_acc.total" in note for note in checkpoint.origin.notes)


def test_torchvision_and_what_is_recognised_of_it(tmp_path):
    models = pytest.importorskip("torchvision.models")
    network = settled(models.resnet18(num_classes=3))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match="give --arch torchvision:resnet18"):
        open_model(tmp_path / "w.pth")
    options = ModelOptions(arch="torchvision:resnet18", input_size=(64, 64))
    _check(open_model(tmp_path / "w.pth", options), network, (3, 64, 64))


def test_a_hugging_face_folder(tmp_path):
    transformers = _library("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic",
        id2label={0: "spiral", 1: "elliptical", 2: "merger"}, label2id={"spiral": 0, "elliptical": 1, "merger": 2},
    )  # fmt: skip
    network = transformers.AutoModelForImageClassification.from_config(config).eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    config.save_pretrained(tmp_path)
    said = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": {"height": 64, "width": 64}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    checkpoint = open_model(tmp_path)
    _check(checkpoint, network, (3, 64, 64))
    assert checkpoint.classifier.class_names == ("spiral", "elliptical", "merger")
    assert checkpoint.stretch.mean == (0.5,) * 3
    # Code that a configuration points to is not looked at.
    wanted = json.loads((tmp_path / "config.json").read_text())
    wanted |= {"auto_map": {"AutoConfig": "evil.C", "AutoModelForImageClassification": "evil.M"}, "model_type": "evil"}
    (tmp_path / "config.json").write_text(json.dumps(wanted))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    with pytest.raises(InputError):
        open_model(tmp_path)
    assert not (tmp_path / "marker").exists()


KERAS = """
import keras


def make():
    return keras.Sequential([
        keras.layers.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3),
    ])
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras itself
def test_keras_weights_and_a_trusted_keras_archive(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    _library("keras")
    (tmp_path / "made.py").write_text(KERAS)
    namespace = {}
    exec(KERAS, namespace)
    network = namespace["make"]()
    network.save_weights(tmp_path / "x.weights.h5")
    network.save(tmp_path / "x.keras")
    options = ModelOptions(arch=f"{tmp_path / 'made.py'}:make")
    for checkpoint in (
        open_model(tmp_path / "x.weights.h5", options),
        open_model(tmp_path / "x.keras", ModelOptions(trust=sha256_file(tmp_path / "x.keras"))),
    ):
        images = torch.rand(4, 3, 16, 16)
        with torch.no_grad():
            expected = network(images.movedim(1, -1))
        torch.testing.assert_close(checkpoint.classifier(images), expected, rtol=1e-4, atol=1e-4)
        latents = checkpoint.classifier.embed(images)
        torch.testing.assert_close(checkpoint.classifier.head(latents), expected, rtol=1e-4, atol=1e-4)


def test_a_timm_folder_of_the_hub(tmp_path):
    network = _library("timm").create_model("resnet10t", num_classes=3).eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet10t", "num_classes": 3}))
    _check(open_model(tmp_path, ModelOptions(input_size=(64, 64))), network, (3, 64, 64))


@pytest.mark.parametrize(
    ("package", "options", "extra"),
    [
        ("timm", {"arch": "timm:resnet18", "class_count": 3}, "timm"),
        ("timm", {"arch": "zoobot:convnext_nano", "class_count": 3}, "timm"),
        ("torchvision.models", {"arch": "torchvision:resnet18", "class_count": 3}, "torchvision"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, package, options, extra):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "w.pth")
    with pytest.raises(MissingExtra, match=rf"robustkit-audit\[{extra}\]"):
        open_model(tmp_path / "w.pth", ModelOptions(**options))


def test_a_missing_library_of_a_folder_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    save_file({"w": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    with pytest.raises(MissingExtra, match=r"robustkit-audit\[hf\]"):
        open_model(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="names no model_type and no architecture"):
        open_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="lacks its weights"):
        open_model(tmp_path)
