"""What a command does where nothing is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustkit.files import read_json
from robustkit.models import ConvNet
from tests.models.foreign.onnx_writing import save

Run = Callable[..., tuple[int, str, str]]
CODE = """
from robustkit.models import ConvNet
from tests.models.foreign.onnx_writing import save

def net():
    return ConvNet(bands=1, classes=2, size=(24, 24))
"""


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A network of others, and fewer images than a command draws by default."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(CODE)
    torch.manual_seed(0)
    torch.save(ConvNet(bands=1, classes=2, size=(24, 24)).state_dict(), "net.pt")
    images = np.random.default_rng(0).random((9, 1, 24, 24), dtype=np.float32)
    np.savez("d.npz", images=images, labels=np.arange(9) % 2)
    return ["--model", "net.pt", "--arch", "net.py:net", "--data", "d.npz", "--device", "cpu"]


SHORT: dict[str, list[Any]] = {
    "attack": ["--search", "random", "--budget", 20],
    "certify": ["--budget", 20],
    "sweep": ["--perturb", "gaussian", "--levels", 0.1, "--draws", 1],
}


@pytest.mark.parametrize("command", SHORT)
def test_fewer_images_than_the_default_are_all_taken(robustkit: Run, given: list[str], command: str) -> None:
    code, said, wrong = robustkit(command, *given, *SHORT[command], "--out", "run")
    assert code == 0, wrong
    assert "9 of 9 images" in said
    assert read_json("run/summary.json")["inputs"]["n"] == 9
    code, _, wrong = robustkit(command, *given, *SHORT[command], "--n", 150)
    assert code == 2
    assert "has 9 images and 150 were asked for; ask for --n 9, or add --all" in wrong


def test_a_group_of_workers_is_told_the_same(robustkit: Run, given: list[str]) -> None:
    code, _, wrong = robustkit("attack", *given, *SHORT["attack"], "--group", 5, "--shard", "1/2", "--out", "one")
    assert code == 0, wrong
    code, _, wrong = robustkit("attack", *given, *SHORT["attack"], "--group", 5, "--shard", "2/2", "--out", "two")
    assert code == 0, wrong
    code, said, wrong = robustkit("merge", "one", "two", "--arch", "net.py:net", "--out", "both")
    assert code == 0, said + wrong
    assert read_json("both/summary.json")["drawn"] == 9


def test_a_network_whose_forward_takes_more_than_images_is_refused_with_advice(
    robustkit: Run, given: list[str]
) -> None:
    more = CODE + "\n\nclass Two(ConvNet):\n    def forward(self, x, alpha):\n        return super().forward(x)\n"
    more += "\n\ndef two():\n    return Two(bands=1, classes=2, size=(24, 24))\n"
    Path("net.py").write_text(more)
    for data in ([], ["--data", "d.npz"]):
        code, said, _ = robustkit("inspect", "--model", "net.pt", "--arch", "net.py:two", *data)
        assert code == 2
        assert "its forward does not take one tensor of images, so write a class whose forward(x) calls it" in said


def test_a_network_that_no_usual_size_fits_is_refused_in_the_words_of_the_command(
    robustkit: Run, given: list[str]
) -> None:
    code = "from torch import nn\n\ndef net():\n"
    code += "    return nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(69 * 69, 2))\n"
    Path("net.py").write_text(code)
    space: dict[str, Any] = {}
    exec(code, space)
    torch.save(space["net"]().state_dict(), "net.pt")
    code, said, _ = robustkit("inspect", "--model", "net.pt", "--arch", "net.py:net")
    assert code == 2
    assert "say the size with --input-size H W, or give --data" in said


def _graph() -> None:
    from onnx import helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(576, 2)).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["scores"])]
    save(Path("net.onnx"), nodes, [numpy_helper.from_array(weights, "w")], bands=1, size=24, outputs={"scores": 2})


@pytest.mark.parametrize("command", ["inspect", "attack"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--arch", "net.py:net"], "--arch has no effect: the network is in the file, an ONNX graph"),
        (["--arch-kwargs", '{"a": 1}'], "--arch-kwargs has no effect: the network is in the file"),
        (["--key", "model"], "--key has no effect: the network is in the file"),
        (["--combine", "votes"], "--combine has no effect on one model"),
    ],
)
def test_what_is_said_of_a_graph_and_changes_nothing_is_said(
    robustkit: Run, given: list[str], command: str, options: list[str], words: str
) -> None:
    _graph()
    more = [] if command == "inspect" else [*SHORT["attack"], "--device", "cpu"]
    code, said, wrong = robustkit(command, "--model", "net.onnx", "--data", "d.npz", *options, *more)
    assert code == 0, wrong
    assert words in said


def test_one_model_has_nothing_to_combine(robustkit: Run, given: list[str]) -> None:
    torch.save(ConvNet(bands=1, classes=2, size=(24, 24)).state_dict(), "x.pt")
    Path("x.toml").write_text('arch = "robustkit:ConvNet"\narch_kwargs = { bands = 1, classes = 2, size = [24, 24] }\n')
    code, said, wrong = robustkit("inspect", "--model", "x.pt", "--data", "d.npz", "--combine", "mean")
    assert code == 0, said + wrong
    assert "--combine has no effect on one model" in said
