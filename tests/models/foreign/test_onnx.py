import os

import numpy as np
import pytest
import torch

from robustkit.engine import Candidates, make_evaluator
from robustkit.errors import InputError, MissingExtra, SecurityError
from robustkit.models import ModelOptions, open_model
from robustkit.models.foreign.kinds import kind_of

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.models.foreign.graphs import write

SHAPE = (3, 16, 16)


def _check(checkpoint, network, shape=SHAPE):
    classifier, images = checkpoint.classifier, torch.rand(5, *shape)
    torch.testing.assert_close(classifier(images), network(images), rtol=1e-4, atol=1e-4)
    latents = classifier.embed(images)
    torch.testing.assert_close(latents, network.latent(images), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(classifier.head(latents), network(images), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(classifier.head(latents[:1]), network(images[:1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["net.onnx", "net.pt"])
def test_a_graph_is_features_and_head(tmp_path, name):
    network = write(tmp_path / name)
    checkpoint = open_model(tmp_path / name)
    _check(checkpoint, network)
    assert checkpoint.classifier.latent_name == "features"
    assert checkpoint.card.input_shape == SHAPE
    assert kind_of(tmp_path / name).name == "an ONNX graph"


def test_a_fixed_batch_is_filled_up(tmp_path):
    network = write(tmp_path / "net.onnx", batch=256)
    checkpoint = open_model(tmp_path / "net.onnx")
    _check(checkpoint, network)
    images = torch.rand(300, *SHAPE)
    torch.testing.assert_close(checkpoint.classifier(images), network(images), rtol=1e-4, atol=1e-4)
    assert any("the batch is fixed at 256" in note for note in checkpoint.origin.notes)


def test_bands_as_the_last_axis(tmp_path):
    network = write(tmp_path / "net.onnx", bands_last=True)
    _check(open_model(tmp_path / "net.onnx"), network)


def test_a_free_size(tmp_path):
    network = write(tmp_path / "net.onnx", size="side")
    _check(open_model(tmp_path / "net.onnx", ModelOptions(input_size=(20, 20))), network, (3, 20, 20))


@pytest.mark.parametrize(
    ("outputs", "options", "index"),
    [
        (("features", "logits"), {"class_count": 3}, 1),
        (("logits", "probabilities"), {}, 0),
        (("probabilities", "features", "logits"), {"classes": ("a", "b", "c")}, 2),
        (("logits", "features"), {"output_key": "logits"}, 0),
        (("features", "logits"), {"output_index": 1}, 1),
    ],
)
def test_the_output_is_chosen_by_shape(tmp_path, outputs, options, index):
    network = write(tmp_path / "net.onnx", outputs=outputs)
    checkpoint = open_model(tmp_path / "net.onnx", ModelOptions(**options))
    _check(checkpoint, network)
    if "output_key" not in options and "output_index" not in options:
        assert any(f"number {index} of {len(outputs)}" in note for note in checkpoint.origin.notes)


def test_a_softmax_at_the_end_is_cut_off(tmp_path):
    network = write(tmp_path / "net.onnx", outputs=("probabilities",))
    for options in (None, ModelOptions(output_kind="probabilities")):
        checkpoint = open_model(tmp_path / "net.onnx", options)
        _check(checkpoint, network)
        assert checkpoint.classifier.output.kind == "logits"
        assert checkpoint.classifier.latent_name == "features"
        assert any("the Softmax at the end is cut off" in note for note in checkpoint.origin.notes)


def test_another_latent_and_what_is_wrong_with_one(tmp_path):
    network = write(tmp_path / "net.onnx")
    checkpoint = open_model(tmp_path / "net.onnx", ModelOptions(latent="/pool"))
    images = torch.rand(2, *SHAPE)
    torch.testing.assert_close(
        checkpoint.classifier.embed(images), torch.relu(network.conv(images)).mean((2, 3)), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(InputError, match=r"has no tensor 'fc'; near its end there are .*features, logits"):
        open_model(tmp_path / "net.onnx", ModelOptions(latent="fc"))


def test_candidates_are_scored_and_gradients_refused_in_words(tmp_path):
    network = write(tmp_path / "net.onnx", batch=4)
    checkpoint = open_model(tmp_path / "net.onnx")
    images = torch.rand(2, *SHAPE)
    evaluator = make_evaluator(checkpoint.classifier, images)
    candidates = Candidates(
        torch.tensor([0, 1]), torch.zeros(2, 3, 1).long(), torch.ones(2, 3, 1).long(), torch.rand(2, 3, 1, 3)
    )
    painted = images[:, None].repeat(1, 3, 1, 1, 1)
    painted[..., 0, 1] = candidates.value[:, :, 0]
    expected = network(painted.flatten(0, 1)).unflatten(0, (2, 3))
    torch.testing.assert_close(evaluator(candidates), expected, rtol=1e-4, atol=1e-4)
    assert evaluator.name == "plain"


@pytest.mark.parametrize(
    ("outputs", "options", "words"),
    [
        (("wrong",), {}, "softmax is taken over the images"),
        (("logits",), {"output_key": "scores"}, "has no output 'scores'; it has logits"),
        (("logits",), {"output_index": 3}, "has 1 outputs"),
        (("logits",), {"input_size": (20, 20)}, "takes images of 16x16, and --input-size says 20x20"),
        (("logits",), {"classes": ("a", "b")}, "has 3 outputs and 2 classes"),
    ],
)
def test_refusals(tmp_path, outputs, options, words):
    write(tmp_path / "net.onnx", outputs=outputs)
    with pytest.raises(InputError, match=words):
        open_model(tmp_path / "net.onnx", ModelOptions(**options))


@pytest.mark.parametrize("how", ["beside", "up", "absolute", "symlink", "hardlink", "missing", "short"])
def test_external_data_are_confined(tmp_path, how):
    folder = tmp_path / "model"
    folder.mkdir()
    location = {"up": "../weights.bin", "absolute": str(tmp_path / "weights.bin")}.get(how, "weights.bin")
    network = write(folder / "net.onnx", external=location)
    place = folder / "weights.bin"
    if how in ("up", "absolute"):
        place.rename(tmp_path / "weights.bin")
    elif how == "symlink":
        place.rename(tmp_path / "secret")
        place.symlink_to(tmp_path / "secret")
    elif how == "hardlink":
        os.link(place, tmp_path / "secret")
    elif how == "missing":
        place.unlink()
    elif how == "short":
        place.write_bytes(place.read_bytes()[:40])
    if how == "beside":
        _check(open_model(folder / "net.onnx"), network)
        return
    with pytest.raises(InputError if how in ("missing", "short") else SecurityError):
        open_model(folder / "net.onnx")


def test_a_cut_or_flipped_graph_is_refused_in_words(tmp_path):
    write(tmp_path / "net.onnx")
    whole = (tmp_path / "net.onnx").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(15):
        data = bytearray(whole[: rng.integers(1, len(whole))])
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        (tmp_path / "cut.onnx").write_bytes(data)
        with pytest.raises(InputError):
            open_model(tmp_path / "cut.onnx")


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    write(tmp_path / "net.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"onnxruntime is needed to run an ONNX graph.*robustkit-audit\[onnx\]"):
        open_model(tmp_path / "net.onnx")
