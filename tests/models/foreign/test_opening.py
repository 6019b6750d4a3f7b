# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
import json
import pathlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from robustkit.data import ArcsinhStretch, ImageSet, MeanStdStretch
from robustkit.errors import InputError, SecurityError
from robustkit.files import sha256_file
from robustkit.models import ModelOptions, open_model
from robustkit.models.foreign.architecture import import_named
from robustkit.models.foreign.options import parse_classes, parse_kwargs, read_card, write_card
from tests.models.foreign.networks import CODE, PublishedConvNet, PublishedDeepMerge, settled

SHAPE = (3, 32, 32)


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "network.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def network(code):
    return settled(import_named(str(code))[0].Galaxies())


@pytest.fixture
def arch(code):
    return f"{code}:Galaxies"


def _same(checkpoint, network, shape=SHAPE):
    images = torch.rand(3, *shape)
    returned = network.float()(images)
    returned = returned[1] if isinstance(returned, tuple) else returned
    torch.testing.assert_close(checkpoint.classifier(images), returned, rtol=1e-4, atol=1e-4)
    latents = checkpoint.classifier.embed(images)
    torch.testing.assert_close(checkpoint.classifier.head(latents), returned, rtol=1e-4, atol=1e-4)


def _prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


PACKAGINGS = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"epoch": 1, "state_dict": s, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
    "model_state_dict": lambda s: {"model_state_dict": s, "loss": torch.tensor(0.1)},
    "base_network": lambda s: {"base_network": s, "class_criterion": {"weight": torch.ones(3)}, "valid accuracy": 0.5},
    "nested": lambda s: {"checkpoint": {"model": {"weights": s}}},
    "module.": lambda s: _prefixed(s, "module."),
    "encoder.": lambda s: {"state_dict": _prefixed(s, "encoder.")},
    "backbone. and a loss": lambda s: {"state_dict": {**_prefixed(s, "backbone."), "loss.weight": torch.ones(3)}},
    "module.model.": lambda s: _prefixed(s, "module.model."),
    "float64": lambda s: {name: t.double() if t.is_floating_point() else t for name, t in s.items()},
    "float16": lambda s: {name: t.half() if t.is_floating_point() else t for name, t in s.items()},
    "without counters": lambda s: {name: t for name, t in s.items() if "num_batches" not in name},
    "with counters of a profiler": lambda s: {**s, "total_ops": torch.zeros(1), "conv.total_params": torch.zeros(1)},
}


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("packaging", PACKAGINGS)
def test_weights_are_found_wherever_they_are(tmp_path, network, arch, packaging, new):
    path = tmp_path / "w.pth"
    torch.save(PACKAGINGS[packaging](network.state_dict()), path, _use_new_zipfile_serialization=new)
    checkpoint = open_model(path, ModelOptions(arch=arch, input_size=(32, 32)))
    if packaging == "float16":
        network = settled(network).half()
    _same(checkpoint, network)
    notes = " ".join(checkpoint.origin.notes)
    assert "weights: 11 tensors from " in notes or "without counters" in packaging
    for word in ("module.", "encoder.", "backbone.", "float64", "float16"):
        assert (word in notes) == (word in packaging)
    assert checkpoint.classifier.latent_name == "relu"
    assert checkpoint.origin.sha256 == sha256_file(path)


def test_safetensors_and_prefixes_of_the_network(tmp_path, network, code):
    code.write_text(CODE + WRAPPER)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    checkpoint = open_model(tmp_path / "w.safetensors", ModelOptions(arch=f"{code}:Wrapper", input_size=(32, 32)))
    _same(checkpoint, network)
    assert any("'net.' put before" in note for note in checkpoint.origin.notes)


def test_halves_under_two_keys_become_one_network(tmp_path, code):
    network = settled(import_named(str(code))[0].Halves())
    halves = {"g_state_dict": network.g.state_dict(), "c_state_dict": network.c.state_dict(), "epoch": 3}
    torch.save(halves, tmp_path / "w.pth")
    checkpoint = open_model(tmp_path / "w.pth", ModelOptions(arch=f"{code}:Halves", input_size=(32, 32)))
    _same(checkpoint, network)
    assert sum("(one half)" in note for note in checkpoint.origin.notes) == 2


def test_several_parts_that_fit_must_be_chosen(tmp_path, network, arch):
    other = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": network.state_dict(), "ema": {"model": other}}, tmp_path / "w.pth")
    options = {"arch": arch, "input_size": (32, 32)}
    with pytest.raises(InputError, match=r"several parts .* fit Galaxies: state_dict, ema\.model; choose with --key"):
        open_model(tmp_path / "w.pth", ModelOptions(**options))
    _same(open_model(tmp_path / "w.pth", ModelOptions(**options, key="state_dict")), network)
    with pytest.raises(InputError, match=r"nothing under 'emma' .*what fits is ema\.model, state_dict"):
        open_model(tmp_path / "w.pth", ModelOptions(**options, key="emma"))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("made", "shape", "latent"),
    [(PublishedConvNet, (3, 100, 100), "bottleneck"), (PublishedDeepMerge, (3, 75, 75), "flatten")],
)
def test_checkpoints_of_the_papers_open_with_one_option(tmp_path, made, shape, latent, prefix):
    network = settled(made()).double()
    state = _prefixed(network.state_dict(), prefix)
    content = {"epoch": 12.0, "base_network": state, "valid accuracy": np.float64(0.7), "train accuracy": 0.8}
    content |= {"class_criterion": {"weight": torch.ones(3, dtype=torch.float64)}}
    torch.save(content, tmp_path / "best_model.pth.tar")
    with pytest.raises(InputError, match="give --arch robustkit:"):
        open_model(tmp_path / "best_model.pth.tar")
    checkpoint = open_model(tmp_path / "best_model.pth.tar", ModelOptions(arch="robustkit:ConvNet"))
    assert checkpoint.classifier.input_shape == shape
    assert checkpoint.classifier.latent_name == latent
    _same(checkpoint, network, shape)
    torch.testing.assert_close(  # their latent is what the published network returns first
        checkpoint.classifier.embed(torch.ones(1, *shape)),
        network.float()(torch.ones(1, *shape))[0],
        rtol=1e-4,
        atol=1e-3,
    )
    assert any("float64 and are evaluated in float32" in note for note in checkpoint.origin.notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "no network; name the class or factory"),
        ({"arch": "Galaxies"}, "expected --arch as path/to/file.py:Class"),
        ({"arch": "nowhere.py:Galaxies"}, "there is no file nowhere.py"),
        ({"arch": "no.such.package:Net"}, "there is no module no"),
        ({"arch": "{code}:Galaxy"}, "has no class or factory 'Galaxy'; it has Galaxies, Halves"),
        ({"arch": "{code}:make"}, "make needs width; give them with --arch-kwargs"),
        ({"arch": "{code}:Galaxies", "arch_kwargs": {"depth": 3}}, "cannot be built with"),
        ({"arch": "{code}:Galaxies", "arch_kwargs": {"width": 5}}, r"conv\.weight is \(4, 3, 3, 3\) in the file and"),
        ({"arch": "{code}:Halves"}, "missing in the file: g.0.weight"),
        ({"arch": "robustkit:ConvNet"}, "no part of the checkpoint has the layers"),
        ({"arch": "robustkit:Resnet"}, "robustkit has no network 'Resnet'; it has ConvNet"),
        ({"arch": "{code}:Galaxies", "latent": "fc3"}, "no layer is called 'fc3'; there are conv, bn"),
        ({"arch": "{code}:Galaxies", "classes": ("a", "b")}, r"fc2\.weight is \(3, 8\) in the file and \(2, 8\)"),
        ({"arch": "{code}:Galaxies", "stretch": "log"}, "unknown --stretch 'log'; known are unit, arcsinh"),
        ({"arch": "{code}:Galaxies", "stretch": "arcsinh"}, "is fitted on images; name them with --data"),
        (
            {"arch": "{code}:Galaxies", "mean": (0.5, 0.5), "std": (1, 1)},
            "takes 3 bands; give --mean and --std one or 3",
        ),
        ({"arch": "{code}:Galaxies", "bands": ("g", "r")}, "takes 3 bands and 2 are named"),
        ({"arch": "{code}:Galaxies", "output_index": 1}, "returns one tensor"),
        ({"arch": "timm:hf-hub/x"}, "expected a plain name of a model after timm:"),
        ({"arch": "timm:resnet18", "arch_kwargs": {"pretrained": True}}, "pretrained would fetch weights"),
    ],
)
def test_refusals_say_what_to_do(tmp_path, network, code, options, words):
    torch.save(network.state_dict(), tmp_path / "w.pth")
    options = {name: v.format(code=code) if isinstance(v, str) else v for name, v in options.items()}
    with pytest.raises(InputError, match=words):
        open_model(tmp_path / "w.pth", ModelOptions(input_size=(32, 32), **options))


def test_a_factory_with_arguments(tmp_path, code):
    network = settled(import_named(str(code))[0].make(6))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    options = ModelOptions(arch=f"{code}:make", arch_kwargs={"width": 6}, input_size=(32, 32))
    _same(open_model(tmp_path / "w.pth", options), network)


def test_code_that_fails_is_said_in_a_sentence_and_leaves_the_settings_alone(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "w.pth")
    bad = tmp_path / "bad.py"
    bad.write_text("import torch\ntorch.set_default_dtype(torch.float64)\nraise SystemExit(3)\n")
    with pytest.raises(InputError, match=r"bad\.py cannot be imported .SystemExit"):
        open_model(tmp_path / "w.pth", ModelOptions(arch=f"{bad}:Net"))
    assert torch.get_default_dtype() == torch.float32


def test_a_card_says_the_same_as_options(tmp_path, network, code):
    torch.save(network.state_dict(), tmp_path / "best.pth.tar")
    card = tmp_path / "card.toml"
    stretch = ArcsinhStretch((0.0,) * 3, (1.0,) * 3, 0.5).to_json()
    options = ModelOptions(arch="network.py:Galaxies", classes=("a", "b", 'c"'), latent="fc1", input_size=(32, 32),
                           bounds=(0.0, 2.0), stretch=stretch, arch_kwargs={"width": 4})  # fmt: skip
    write_card(card, options, ("a remark\nof two lines",))
    checkpoint = open_model(tmp_path / "best.pth.tar", ModelOptions(card=str(card), latent="relu"))
    assert checkpoint.classifier.class_names == ("a", "b", 'c"')
    assert checkpoint.classifier.latent_name == "relu"  # what is said on the command line goes first
    assert checkpoint.card.input_range == ((0.0, 2.0),) * 3
    assert checkpoint.stretch == ArcsinhStretch((0.0,) * 3, (1.0,) * 3, 0.5)
    assert checkpoint.origin.code_sha256 == sha256_file(code)


def test_a_card_that_only_lies_beside_a_checkpoint_chooses_no_code(tmp_path, network, arch):
    torch.save(network.state_dict(), tmp_path / "best.pth.tar")
    marker = tmp_path / "marker"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
    card = tmp_path / "best.toml"
    write_card(card, ModelOptions(arch="evil.py:Net", classes=("a", "b", "c"), input_size=(32, 32)))
    with pytest.raises(SecurityError, match="beside the checkpoint names code to run"):
        open_model(tmp_path / "best.pth.tar")
    assert not marker.exists()
    # The rest of it holds, where the user names the code.
    assert open_model(tmp_path / "best.pth.tar", ModelOptions(arch=arch)).classifier.class_names == ("a", "b", "c")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arch = ", "not readable as a model card"),
        ("architecture = 'x'", "has no place for architecture; known are arch"),
        ("trust = 'x'", "has no place for trust"),
        ("classes = ['a', 3]", "gives classes as"),
        ("input_size = [3]", "gives input_size as"),
        ("latent = 3", "gives latent as 3"),
        ("output_kind = 'odds'", "unknown --output-kind"),
    ],
)
def test_bad_cards(tmp_path, text, words):
    (tmp_path / "card.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_card(tmp_path / "card.toml", named=True)


def test_options_as_they_are_typed(tmp_path):
    assert parse_classes("a, b,c") == {"classes": ("a", "b", "c")}
    assert parse_classes("4") == {"class_count": 4}
    assert parse_kwargs("width = 3; name = 'x'") == {"width": 3, "name": "x"}
    assert parse_kwargs('{"width": 3}') == {"width": 3}
    (tmp_path / "k.json").write_text('{"deep": {"a": [1]}}')
    assert parse_kwargs(str(tmp_path / "k.json")) == {"deep": {"a": [1]}}
    for text in ("width", "[1", "{"):
        with pytest.raises(InputError, match="neither TOML nor JSON"):
            parse_kwargs(text)
    for text in ("a", "a,a"):
        with pytest.raises(InputError, match="--classes"):
            parse_classes(text)
    for wrong in ({"mean": (1.0,)}, {"mean": (1.0,), "std": (1.0,), "stretch": "unit"}, {"bounds": (1.0, 1.0)},
                  {"output_index": 0, "output_key": "a"}):  # fmt: skip
        with pytest.raises(InputError):
            ModelOptions(**wrong)


WRAPPER = """
class Wrapper(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Galaxies()

    def forward(self, x):
        return self.net(x)
"""


def _images(class_names=("elliptical", "merger", "spiral"), bands=("R", "G", "B"), units="display"):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (6, 3, 32, 32)).astype(np.float32)
    ids = np.array([f"i{k}" for k in range(6)])
    return ImageSet(images, np.arange(6) % 3, class_names, bands, ids, units, (0.0, 255.0))


def test_what_nobody_says_comes_from_the_images(tmp_path, network, arch):
    torch.save(network.state_dict(), tmp_path / "w.pth")
    checkpoint = open_model(tmp_path / "w.pth", ModelOptions(arch=arch), images=_images())
    assert checkpoint.classifier.class_names == ("elliptical", "merger", "spiral")
    assert checkpoint.card.bands == ("R", "G", "B")
    assert checkpoint.classifier.input_shape == SHAPE
    low, high = checkpoint.card.input_range[0]
    assert (low, high) == (_images().images[:, 0].min(), _images().images[:, 0].max())
    notes = " ".join(checkpoint.origin.notes)
    assert "in the order of the images" in notes
    assert "stretch: none said" in notes
    for options, stretch in (
        ({"stretch": "unit"}, MeanStdStretch((0.0,) * 3, (255.0,) * 3)),
        ({"mean": (0.5,), "std": (0.25,)}, MeanStdStretch((127.5,) * 3, (63.75,) * 3)),
        ({"mean": (120.0,), "std": (60.0,)}, MeanStdStretch((120.0,) * 3, (60.0,) * 3)),
    ):
        made = open_model(tmp_path / "w.pth", ModelOptions(arch=arch, **options), images=_images())
        assert made.stretch == stretch


def test_a_trusted_file_opens_when_its_hash_is_named_and_only_then(tmp_path, monkeypatch, network):
    monkeypatch.syspath_prepend(tmp_path)
    import network as module  # as the author's own code does, so that the pickle can name it

    path = tmp_path / "whole.pt"
    torch.save(settled(module.Galaxies()), path)
    with pytest.raises(InputError, match=r"holds a pickled Galaxies from network.*--arch path/to/file.py:Galaxies"):
        open_model(path)
    with pytest.raises(SecurityError, match=f"is {sha256_file(path)}, and --trust-checkpoint names another"):
        open_model(path, ModelOptions(trust="0" * 64))
    with pytest.raises(InputError, match="64 hexadecimal digits"):
        open_model(path, ModelOptions(trust="yes"))
    checkpoint = open_model(path, ModelOptions(trust=sha256_file(path), input_size=(32, 32)))
    _same(checkpoint, network)
    assert any("trusted: whole.pt" in note for note in checkpoint.origin.notes)
    assert json.loads(json.dumps(checkpoint.origin.options))["trust"] == sha256_file(path)


def test_an_own_checkpoint_takes_no_options(tmp_path):
    from tests.audits import make_audit

    model, _ = make_audit(tmp_path)
    assert open_model(model).origin.own
    with pytest.raises(InputError, match="contains its network; omit --latent"):
        open_model(model, ModelOptions(latent="z"))
    with pytest.raises(InputError, match="contains its network; omit --arch"):
        open_model(model, ModelOptions(arch="x:y"))
    assert isinstance(model, pathlib.Path)
