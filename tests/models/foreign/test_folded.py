"""State_dicts whose weights a tool had split in parts open as the network that they are of."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from robustkit.errors import InputError
from robustkit.models import ModelOptions, open_model

SOURCE = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 5, 3), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(5, 3))
"""


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """What the network answers after each of its layers was split, and the opened classifier."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SOURCE)

    def _saved(split, keep=lambda state: state):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(5, 3),
        )  # fmt: skip
        for layer in (network[0], network[2], network[5]):
            split(layer)
        images = torch.rand(4, 3, 8, 8)
        with torch.no_grad():
            network.train()(images)  # spectral norms estimate their vectors in passes of training
            expected = network.eval()(images)
        torch.save(keep(network.state_dict()), "net.pt")
        opened = open_model("net.pt", ModelOptions(arch="net.py:Net", input_size=(8, 8)))
        with torch.no_grad():
            return expected, opened.classifier(images), "; ".join(opened.origin.notes)

    return _saved


@pytest.mark.parametrize(
    ("split", "how"),
    [
        (weight_norm, "weight norm of 3 weights computed"),
        (lambda layer: weight_norm(layer, dim=None), "weight norm"),
        (parametrizations.weight_norm, "weight norm"),
        (spectral_norm, "spectral norm of 3 weights computed"),
        (parametrizations.spectral_norm, "spectral norm"),
        (lambda layer: prune.l1_unstructured(layer, "weight", 0.4), "pruning of 3 weights computed"),
    ],
    ids=["weight_norm", "weight_norm-whole", "weight_norm-new", "spectral", "spectral-new", "pruned"],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_split_weights_are_made_whole(saved, split, how):
    for keep in (lambda state: state, lambda state: {"model": {f"module.{k}": v for k, v in state.items()}}):
        expected, got, notes = saved(split, keep)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
        assert how in notes


def test_what_cannot_be_made_whole_names_what_to_do(saved):
    with pytest.raises(InputError, match="remove_parametrizations"):
        saved(lambda layer: parametrize.register_parametrization(layer, "weight", nn.Tanh()))
    with pytest.raises(InputError, match="merge_and_unload"):
        saved(lambda layer: layer.register_parameter("lora_A", nn.Parameter(torch.ones(2))))


@pytest.mark.parametrize("keep", [lambda s: [s, 3], lambda s: (3, {"sd": s}), lambda s: [{"epoch": 1}, [s]]])
def test_a_state_dict_in_a_list_opens(saved, keep):
    expected, got, _ = saved(lambda layer: None, keep)
    torch.testing.assert_close(got, expected)
