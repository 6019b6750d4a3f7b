"""One line before a search: what computes, why nothing faster, how fast, and how long it may take."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from robustkit.engine.rate import in_words
from robustkit.files import read_json
from robustkit.models import AuditedClassifier, ConvNet
from robustkit.perturb.search.base import Problem
from robustkit.perturb.search.registry import make_search
from robustkit.perturb.values import Corners
from robustkit.seeds import Streams

Run = Callable[..., tuple[int, str, str]]
CODE = """
from robustkit.models import ConvNet

class Branches(ConvNet):
    def forward(self, images):
        if images.shape[0] > 1000000:
            images = images * 1
        return super().forward(images)

def net():
    return ConvNet(bands=1, classes=2, size=(24, 24))

def branches():
    return Branches(bands=1, classes=2, size=(24, 24))
"""
LINE = r"engine: (\w+)(, because .+)?; [\d,]+ candidates/s measured; at most ([\d,]+) candidates, (less than|about) \S+"


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(CODE)
    torch.manual_seed(0)
    network = ConvNet(bands=1, classes=2, size=(24, 24)).eval()
    images = np.random.default_rng(0).random((9, 1, 24, 24), dtype=np.float32)
    with torch.no_grad():
        network.fc.bias -= network(torch.from_numpy(images)).mean(0)
        labels = network(torch.from_numpy(images)).argmax(1).numpy()
    torch.save(network.state_dict(), "net.pt")
    np.savez("d.npz", images=images, labels=labels)
    return images


@pytest.mark.parametrize(("command", "most"), [("attack", 9 * 30), ("certify", 9 * 30)])
@pytest.mark.parametrize(("network", "engine"), [("net", "chain"), ("branches", "plain")])
def test_a_search_says_once_what_computes(
    robustkit: Run, images: np.ndarray, command: str, most: int, network: str, engine: str
) -> None:
    given = ["--model", "net.pt", "--arch", f"net.py:{network}", "--data", "d.npz", "--device", "cpu", "--budget", 30]
    given += ["--search", "random"] if command == "attack" else []
    code, said, wrong = robustkit(command, *given)
    assert code == 0, wrong
    [found] = re.findall(LINE, said)
    assert found[0] == engine
    assert ("Branches does not trace" in found[1]) == (engine == "plain")
    assert int(found[2].replace(",", "")) == most


def test_what_a_search_asks_besides_its_queries_is_said_and_kept(robustkit: Run, images: np.ndarray) -> None:
    given = ["--model", "net.pt", "--arch", "net.py:net", "--data", "d.npz", "--device", "cpu", "--budget", 40]
    code, said, wrong = robustkit("attack", *given, "--search", "auto", "--search", "random", "--out", "run")
    assert code == 0, wrong
    found = read_json("run/summary.json")["searches"]
    # The stand-in is asked for a lattice of the cells that 25 budgets cover, and once as it is.
    assert 40 < found["auto"]["stand_in_queries"] <= 25 * 40 + 1
    assert found["random"]["stand_in_queries"] == found["random"]["gradient_passes"] == 0
    assert f"besides its queries: {found['auto']['stand_in_queries']:,} queries of a stand-in image" in said
    with open("run/attacks.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["search"]]
    for name in ("auto", "random"):
        mine = [row for row in rows if row["search"] == name]
        assert {int(row["stand_in_queries"]) for row in mine} == {found[name]["stand_in_queries"]}
        for kind in ("gradient_passes", "partial_passes"):
            assert sum(int(row[kind]) for row in mine) == found[name][kind]
    # Whoever flips among the cells that the stand-in ranks is sent back by no gradient.
    assert {int(row["gradient_passes"]) for row in rows} <= {0, 2}


def test_what_is_counted_of_an_image_depends_on_no_other(robustkit: Run, images: np.ndarray) -> None:
    tables = []
    for group in (2, 9):
        given = ["--model", "net.pt", "--arch", "net.py:net", "--data", "d.npz", "--device", "cpu", "--budget", 200]
        code, _, wrong = robustkit("attack", *given, "--search", "auto", "--group", group, "--out", f"group-{group}")
        assert code == 0, wrong
        tables.append(Path(f"group-{group}/attacks.csv").read_text())
    assert tables[0] == tables[1]


def test_gradients_are_counted_image_by_image_and_class_by_class(images: np.ndarray) -> None:
    classifier = AuditedClassifier(
        ConvNet(bands=1, classes=3, size=(24, 24)).eval(), input_shape=(1, 24, 24), latent="bottleneck"
    )
    seen = torch.from_numpy(images)
    with torch.no_grad():
        logits: Tensor = classifier(seen)
    problem = Problem(
        images=seen, clean_logits=logits, labels=logits.argmax(1), targets=torch.full((9,), -1),
        values=Corners(torch.zeros(1), torch.ones(1)), streams=Streams(0, [str(i) for i in range(9)], purpose="x"),
        classifier=classifier,
    )  # fmt: skip
    make_search("gradient").start(problem)
    assert problem.passes.gradient == 9 * 2
    assert (problem.each.gradient, problem.each.stand_in) == (2, 0)
    assert problem.passes.stand_in == 0
    make_search("random").start(problem)
    assert problem.passes.gradient == 9 * 2
    make_search("universal").start(problem)
    assert problem.passes.stand_in == problem.each.stand_in == 24 * 24 * 2 + 1


def test_times_are_said_as_one_says_them() -> None:
    times = [in_words(seconds) for seconds in (0.2, 12.3, 240, 3 * 3600, 5 * 86400)]
    assert times == ["less than a second", "about 12 s", "about 4 min", "about 3 h", "about 5 days"]
