import numpy as np
import pytest
import torch
from torch import nn

from robustkit.data import ImageSet
from robustkit.findings.preflight.measure import preflight
from robustkit.models import ModelOptions
from robustkit.perturb.threats import make_values
from robustkit.runs import Selection
from robustkit.runs.opening import open_sample

CODE = """
from torch import nn


class Look(nn.Module):
    '''The mean of each band decides.'''

    def __init__(self):
        super().__init__()
        self.pool, self.flat, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(self.flat(self.pool(x)))
"""


@pytest.fixture
def made(tmp_path):
    """Images whose brightest band is their class, and a network that says so."""
    (tmp_path / "look.py").write_text(CODE)
    network = nn.ModuleDict({"fc": nn.Linear(3, 3)})
    with torch.no_grad():
        network["fc"].weight.copy_(torch.eye(3) * 5)
        network["fc"].bias.zero_()
    torch.save(network.state_dict(), tmp_path / "look.pth")
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = rng.uniform(0, 0.2, (60, 3, 8, 8)).astype(np.float32)
    images[np.arange(60), labels] += 0.5
    labels[::10] = (labels[::10] + 1) % 3

    def audit(order=(0, 1, 2), names=("a", "b", "c"), scale=1.0, **options):
        folder = tmp_path / f"images{len(list(tmp_path.iterdir()))}"
        ids = np.array([f"i{k}" for k in range(60)])
        image_set = ImageSet(images[:, list(order)] * np.float32(scale), labels, names, ("g", "r", "i"), ids)
        image_set.save(folder)
        asked = ModelOptions(arch=f"{tmp_path / 'look.py'}:Look", **options)
        said = []
        drawn = Selection(n=60, data=folder, take_all=True, options=asked)
        sample = open_sample(tmp_path / "look.pth", drawn, say=said.append)
        found = {finding.name: finding for finding in preflight(sample.checkpoint, sample).findings}
        return found, said

    return audit


def test_a_sound_model_on_its_images(made):
    found, said = made()
    assert {finding.verdict for finding in found.values()} == {"ok"}
    assert found["accuracy"].text.startswith("0.900 [0.799, 0.953], n = 60; true/predicted: a 20/20")
    assert found["band order"].text == "none of 5 other orders of g, r, i does better"
    assert any("part all: neither the model nor the images come with a split" in line for line in said)


def test_bands_in_another_order_are_seen(made):
    found, _ = made(order=(1, 2, 0))
    assert found["accuracy"].verdict == "warning"
    assert found["band order"].verdict == "warning"
    assert "with bands i, g, r the accuracy would be 0.900" in found["band order"].text


def test_classes_in_another_order_are_seen_and_put_right_by_what_is_advised(made):
    # The images count their classes c, a, b; the network's outputs are a, b, c in its own counting.
    found, _ = made(names=("c", "a", "b"), classes=("a", "b", "c"))
    assert "with the outputs as c,a,b the accuracy would be 0.900" in found["class order"].text
    assert found["class order"].advice.endswith("say --classes c,a,b")
    found, _ = made(names=("c", "a", "b"), classes=("c", "a", "b"))
    assert found["class order"].verdict == "ok"


def test_grey_that_is_stored_as_colours_is_seen_and_a_value_set_moves_it_as_one(made):
    found, said = made(order=(1, 1, 1))
    assert "the 3 bands of every image are equal: grey stored as colours" in found["bands"].text
    assert "--values together" in found["bands"].advice
    assert "band order" not in found
    assert any("grey stored as colours" in line for line in said)
    values = make_values("together", input_range=((0, 1), (0, 2), (0, 3)), device="cpu")
    options = values.option(torch.zeros(2, 3), torch.arange(2))
    assert options.tolist() == [[0, 0, 0], [1, 2, 3]]


def test_the_range_is_compared_with_what_was_said(made):
    found, _ = made(bounds=(0.0, 0.5))
    assert "beyond the bounds 0 to 0.5" in found["range"].text
    found, _ = made(scale=255.0)
    assert found["range"].advice == "check --stretch, or --mean and --std"
    found, _ = made(scale=255.0, mean=(0.0,), std=(255.0,))
    assert found["range"].verdict == "ok"
