"""Files as strangers bring them open without surgery: pickled networks, wrappers anywhere, code with its neighbours."""

import os
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from robustkit.data import ImageSet
from robustkit.errors import InputError, SecurityError
from robustkit.files import sha256_file
from robustkit.models import ModelOptions, open_model
from robustkit.models.foreign.architecture import import_named
from robustkit.models.foreign.arrange import arrange
from robustkit.models.foreign.weights import read_weights
from tests.models.foreign.networks import CODE, settled
from tests.models.foreign.payloads import Payload

SHAPE = (3, 32, 32)


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "network.py"
    path.write_text(CODE)
    return path


def _of_a_script(code, **attributes):
    """A network as a script pickles it: its class is one of `__main__`."""
    made = settled(import_named(str(code))[0].Galaxies())
    kind = type(made)
    kind.__module__ = "__main__"
    sys.modules["__main__"].__dict__["Galaxies"] = kind
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@pytest.fixture(autouse=True)
def _forgotten():
    yield
    sys.modules["__main__"].__dict__.pop("Galaxies", None)


HOLDERS = {
    "alone": lambda network: network,
    "under a key": lambda network: {"epoch": 3, "model": network},
    "in DataParallel": lambda network: nn.DataParallel(network),
    "with its state_dict": lambda network: {"net": network, "weights": network.state_dict()},
    "traced by fx": lambda network: torch.fx.symbolic_trace(network),
}


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("holder", HOLDERS)
def test_a_pickled_network_opens_by_its_class_alone(tmp_path, code, holder, new):
    network = _of_a_script(code)
    torch.save(HOLDERS[holder](network), tmp_path / "model.pth", _use_new_zipfile_serialization=new)
    sys.modules["__main__"].__dict__.pop("Galaxies")
    checkpoint = open_model(tmp_path / "model.pth", ModelOptions(arch=f"{code}:Galaxies", input_size=(32, 32)))
    images = torch.rand(2, *SHAPE)
    torch.testing.assert_close(checkpoint.classifier(images), network(images))
    assert any("the tensors alone were read" in note for note in checkpoint.origin.notes)


def test_functions_settings_and_buffers_of_a_pickled_network_are_no_obstacle(tmp_path, code):
    network = _of_a_script(code, act=torch.nn.functional.relu, settings=CountingSettings(), also=torch.tanh)
    network.register_buffer("grid", torch.ones(2), persistent=False)
    torch.save(network, tmp_path / "model.pth")
    content = read_weights(tmp_path / "model.pth")
    assert list(content.value) == list(network.state_dict())
    assert content.classes == ("__main__.Galaxies",)
    with pytest.raises(InputError, match=r"a pickled Galaxies from a script.*--arch path/to/file.py:Galaxies"):
        open_model(tmp_path / "model.pth")


class CountingSettings:
    """A class of a user, of which an object lies in a network; it must never be built."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def __setstate__(self, state):
        raise AssertionError("an object of the file was built")


@pytest.mark.parametrize("where", ["hook", "_buffers"])
def test_code_beside_the_layers_is_refused_and_does_not_run(tmp_path, code, where):
    marker = tmp_path / "marker"
    network = _of_a_script(code)
    if where == "hook":
        network.hook = Payload(marker)
    else:
        network._buffers["extra"] = Payload(marker)
    torch.save(network, tmp_path / "model.pth")
    with pytest.raises(SecurityError, match="could run code"):
        read_weights(tmp_path / "model.pth")
    assert not marker.exists()


def test_a_network_that_contains_itself_is_refused(tmp_path, code):
    network = _of_a_script(code)
    network._modules["inner"] = network
    torch.save(network, tmp_path / "model.pth")
    with pytest.raises(InputError, match="deeper or larger than any network"):
        read_weights(tmp_path / "model.pth")


def test_objects_that_are_no_network_are_refused_as_before(tmp_path):
    torch.save({"weights": {"a": torch.ones(2)}, "settings": CountingSettings()}, tmp_path / "w.pth")
    with pytest.raises(SecurityError, match="holds Python objects"):
        read_weights(tmp_path / "w.pth")


def test_another_pickle_protocol_is_said(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pth", pickle_protocol=4)
    with pytest.raises(InputError, match="another pickle protocol"):
        read_weights(tmp_path / "w.pth")


def test_trust_is_needed_only_where_no_class_is_named(tmp_path, code):
    path = tmp_path / "model.pth"
    torch.save(_of_a_script(code), path)
    sys.modules["__main__"].__dict__.pop("Galaxies")
    trust = sha256_file(path)
    made = open_model(path, ModelOptions(arch=f"{code}:Galaxies", trust=trust, input_size=(32, 32)))
    assert any("--trust-checkpoint has no effect" in note for note in made.origin.notes)
    weights = tmp_path / "weights.safetensors"
    save_file(made.classifier.module.state_dict(), weights)
    options = ModelOptions(arch=f"{code}:Galaxies", trust=sha256_file(weights), input_size=(32, 32))
    made = open_model(weights, options)
    assert "--trust-checkpoint has no effect: nothing in a safetensors file is run" in made.origin.notes
    with pytest.raises(SecurityError, match="names another"):
        open_model(weights, replace(options, trust="0" * 64))
    with pytest.raises(InputError, match=r"is whole, but the code.*--arch path/to/file.py:Galaxies"):
        open_model(path, ModelOptions(trust=trust))
    with pytest.raises(SecurityError, match="names another"):
        open_model(path, ModelOptions(arch=f"{code}:Galaxies", trust="0" * 64))


WRAPPED = {
    "torch.compile of a layer": lambda name: name.replace("conv.", "conv._orig_mod."),
    "FSDP of two layers": lambda name: name.replace("fc", "_fsdp_wrapped_module.fc", 1),
    "checkpointing of a layer in DDP": lambda name: "module." + name.replace("bn.", "bn._checkpoint_wrapped_module."),
    "Lightning of a compiled layer": lambda name: "model." + name.replace("fc1.", "fc1._orig_mod."),
}


@pytest.mark.parametrize("how", WRAPPED)
def test_names_of_wrappers_are_taken_out_wherever_they_stand(tmp_path, code, how):
    network = settled(import_named(str(code))[0].Galaxies())
    torch.save({WRAPPED[how](name): tensor for name, tensor in network.state_dict().items()}, tmp_path / "w.pth")
    checkpoint = open_model(tmp_path / "w.pth", ModelOptions(arch=f"{code}:Galaxies", input_size=(32, 32)))
    images = torch.rand(2, *SHAPE)
    torch.testing.assert_close(checkpoint.classifier(images), network(images))


NET = """
import torch
from safetensors.torch import save_file
from torch import nn
{imports}

class N(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        {late}
        return self.fc(act(self.c(x)).mean((2, 3)))
"""


def _homes(folder, imports, late, helper):
    """Two folders with a network each, whose helpers have one name and do different things."""
    torch.manual_seed(0)
    state = {"c.weight": torch.randn(4, 3, 3, 3), "c.bias": torch.randn(4), "fc.weight": torch.randn(3, 4),
             "fc.bias": torch.randn(3)}  # fmt: skip
    torch.save(state, folder / "w.pt")
    for name, function in (("A", "relu"), ("B", "tanh")):
        (folder / name / helper).parent.mkdir(parents=True)
        (folder / name / helper).write_text(f"import torch\nact = torch.{function}\n")
        (folder / name / "net.py").write_text(NET.format(imports=imports, late=late))
    return state


@pytest.mark.parametrize(
    ("imports", "late", "helper"),
    [
        ("from layers import act", "", "layers.py"),
        ("from parts.layers import act", "", "parts/layers.py"),
        ("", "from layers import act", "layers.py"),
        ("import parts.layers\nact = lambda x: parts.layers.act(x)", "", "parts/layers.py"),
    ],
    ids=["a file", "a package", "inside of forward", "by its module"],
)
@pytest.mark.parametrize("as_file", [True, False], ids=["file", "module"])
def test_each_network_has_its_own_helpers(tmp_path, monkeypatch, imports, late, helper, as_file):
    state = _homes(tmp_path, imports, late, helper)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "layers.py").write_text("act = 'of the user'\n")
    monkeypatch.syspath_prepend(tmp_path / "user")
    monkeypatch.delitem(sys.modules, "layers", raising=False)
    import layers  # the user has such a file too, and keeps it

    images, made = torch.rand(2, 3, 16, 16), []
    for name in "AB":
        monkeypatch.chdir(tmp_path / name)
        arch = f"{tmp_path / name / 'net.py'}:N" if as_file else "net:N"
        made.append(open_model(tmp_path / "w.pt", ModelOptions(arch=arch, input_size=(16, 16))).classifier)
    monkeypatch.chdir(tmp_path)
    for classifier, act in zip(made, (torch.relu, torch.tanh), strict=True):
        seen = act(nn.functional.conv2d(images, state["c.weight"], state["c.bias"])).mean((2, 3))
        torch.testing.assert_close(classifier(images), nn.functional.linear(seen, state["fc.weight"], state["fc.bias"]))
    assert sys.modules["layers"] is layers
    assert layers.act == "of the user"
    assert not [path for path in sys.path if path in (str(tmp_path / "A"), str(tmp_path / "B"))]


def test_a_helper_that_was_edited_is_read_again(tmp_path):
    _homes(tmp_path, "from layers import act", "", "layers.py")
    images, options = (
        torch.randn(2, 3, 16, 16),
        ModelOptions(arch=f"{tmp_path / 'A' / 'net.py'}:N", input_size=(16, 16)),
    )
    first = open_model(tmp_path / "w.pt", options).classifier(images)
    (tmp_path / "A" / "layers.py").write_text(
        "import torch\nact = torch.tanh  # and a remark, so that the size differs\n"
    )
    assert not torch.allclose(first, open_model(tmp_path / "w.pt", options).classifier(images))


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("def train():\n    class CNN(nn.Module):\n        pass\n", "CNN", r"inside of train\(\).*copy the class"),
        ("def train():\n    class CNN(nn.Module):\n        pass\n", "Net", "CNN stands inside of train"),
        ("class CNN(nn.Module):\n    pass\n", "cnn", "it has CNN, written so"),
        ("import no_such_package.parts\n", "CNN", "install no_such_package, or copy the class alone"),
        ("raise RuntimeError('operator torchvision::nms does not exist')\n", "CNN", "torch and torchvision do not fit"),
        ("class CNN(nn.Module)\n    pass\n", "CNN", "not the Python of this environment"),
        ("open('train.csv')\n", "CNN", "put code that trains under if __name__"),
    ],
)  # fmt: skip
def test_advice_on_code_that_cannot_be_used_works(tmp_path, text, name, words):
    torch.save({"w": torch.ones(2, 2)}, tmp_path / "w.pth")
    (tmp_path / "local.py").write_text(f"from torch import nn\n{text}")
    with pytest.raises(InputError, match=words):
        open_model(tmp_path / "w.pth", ModelOptions(arch=f"{tmp_path / 'local.py'}:{name}"))


def _images(class_names, count=6):
    rng = np.random.default_rng(0)
    ids = np.array([f"i{k}" for k in range(count)])
    labels = np.arange(count) % len(class_names)
    return ImageSet(rng.random((count, *SHAPE), dtype=np.float32), labels, class_names, ("R", "G", "B"), ids)


@pytest.mark.parametrize(
    ("model", "images", "place", "words"),
    [
        (("Elliptical", "NoGalaxy", "Spiral"), ("elliptical", "spiral"), [0, 2], "whatever their capital letters"),
        (("smooth round", "edge-on disc"), ("Edge_on_disc", "SMOOTH ROUND"), [1, 0], "whatever their capital letters"),
        (("disc", "ring", "bar"), ("0", "1", "2"), [0, 1, 2], "0 is disc, 1 is ring, 2 is bar"),
        (("disc", "ring", "bar"), ("0", "1"), [0, 1], "0 is disc, 1 is ring"),
        (("a", "b", "c"), ("c", "a"), [2, 0], "put into the order of the model"),
    ],
)
def test_class_names_are_matched_with_a_word(model, images, place, words):
    made = arrange(_images(images), model, None)
    assert made.class_names == model
    assert [place[k] for k in np.arange(6) % len(images)] == made.labels.tolist()
    assert words in made.notes[-1]


@pytest.mark.parametrize(("model", "images"), [(("A", "a"), ("a", "b")), (("disc", "ring"), ("disk", "ring"))])
def test_class_names_that_are_not_the_same_are_left_alone(model, images):
    assert arrange(_images(images), model, None).class_names == images


def test_images_may_show_fewer_classes_than_the_network_has(tmp_path, code):
    torch.save(settled(import_named(str(code))[0].Galaxies()).state_dict(), tmp_path / "w.pth")
    arch = f"{code}:Galaxies"
    with pytest.raises(
        InputError, match=r"3 outputs and 2 classes are named: elliptical, spiral; name all 3.*--classes"
    ):
        open_model(tmp_path / "w.pth", ModelOptions(arch=arch), images=_images(("elliptical", "spiral")))
    made = open_model(tmp_path / "w.pth", ModelOptions(arch=arch), images=_images(("0", "1")))
    assert made.classifier.class_names == ("0", "1", "2")
    named = ModelOptions(arch=arch, classes=("elliptical", "merger", "spiral"))
    made = open_model(tmp_path / "w.pth", named, images=_images(("Elliptical", "Spiral")))
    assert made.classifier.class_names == named.classes


PROBED = """
import torch
from safetensors.torch import save_file
from torch import nn


class {name}(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x{more}):
        {first}
        return self.fc(torch.relu(self.c(x)).mean((2, 3)))
"""


def _probed(folder, first, more=""):
    (folder / "probed.py").write_text(textwrap.dedent(PROBED.format(name="Net", first=first, more=more)))
    torch.save(import_named(str(folder / "probed.py"))[0].Net().state_dict(), folder / "w.pth")
    return ModelOptions(arch=f"{folder / 'probed.py'}:Net")


@pytest.mark.parametrize("first", ["x = torch.sqrt(x - 0.5)", "x = torch.log(x - 0.9)", "assert x.max() > 1"])
def test_networks_for_calibrated_values_are_tried_on_the_images(tmp_path, first):
    options, images = _probed(tmp_path, first), _images(("a", "b", "c"))
    with pytest.raises(InputError, match=r"between 0 and 1 are NaN.*--data|values from 0 to 1, and --data"):
        open_model(tmp_path / "w.pth", ModelOptions(arch=options.arch, input_size=(32, 32)))
    made = open_model(tmp_path / "w.pth", options, images=_images_above_one())
    assert made.classifier(torch.from_numpy(_images_above_one().images)).isfinite().all()
    with pytest.raises(InputError, match=r"the images given are NaN|AssertionError"):
        open_model(tmp_path / "w.pth", options, images=images)


def _images_above_one():
    images = _images(("a", "b", "c"))
    return ImageSet(images.images + 1, images.labels, images.class_names, images.bands, images.ids)


@pytest.mark.parametrize("first", ["x -= 0.5", "x.mul_(2)"])
def test_a_network_that_writes_into_its_input_is_refused_for_that(tmp_path, first):
    from robustkit.models.preflight import check_network

    options = _probed(tmp_path, first)
    made = open_model(tmp_path / "w.pth", options, images=_images(("a", "b", "c")))
    with pytest.raises(InputError, match="the network writes into its input"):
        check_network(made.classifier, torch.rand(4, *SHAPE)).require()


@pytest.mark.parametrize("more", [", alpha", ", alpha, beta"])
def test_a_network_that_wants_more_than_images_is_told_apart(tmp_path, more):
    options = _probed(tmp_path, "x = x", more)
    with pytest.raises(InputError, match=r"does not take one tensor of images.*forward\(x\)"):
        open_model(tmp_path / "w.pth", options, images=_images(("a", "b", "c")))


def test_a_wrong_size_is_refused_with_the_right_one(tmp_path, code):
    (tmp_path / "flat.py").write_text(
        CODE.replace("self.pool = nn.AdaptiveAvgPool2d(4)", "self.pool = nn.MaxPool2d(8)")
    )
    torch.save(import_named(str(tmp_path / "flat.py"))[0].Galaxies().state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"it takes 32x32; bring the images there with --resize 32 32"):
        open_model(tmp_path / "w.pth", ModelOptions(arch=f"{tmp_path / 'flat.py'}:Galaxies", input_size=(64, 64)))


def test_a_path_stays_what_it_was(tmp_path, code):
    before = list(sys.path), os.getcwd()
    import_named(str(code))
    assert (list(sys.path), os.getcwd()) == before
