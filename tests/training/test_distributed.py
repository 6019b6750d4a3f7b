import importlib
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

from robustkit.errors import InputError
from robustkit.models import open_checkpoint
from robustkit.training import Settings, train
from robustkit.training.alignment import Outputs
from robustkit.training.distributed import World, open_world, share_batch_norm
from tests.training.distributed_worker import METHODS, first_step, train_small
from tests.training.worlds import squares

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two processes make of every method."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "tests.training.distributed_worker", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_have_the_losses_and_gradients_of_one(method, together):
    one, two = first_step(method), torch.load(together / f"{method}.step", weights_only=True)
    assert two["terms"] == pytest.approx(one["terms"], abs=1e-5)
    assert len(two["gradients"]) == len(one["gradients"])
    for ours, theirs in zip(two["gradients"], one["gradients"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_two_processes_train_as_one(together, tmp_path):
    train_small(tmp_path / "a.pt")
    logs = [
        [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()] for folder in (tmp_path, together)
    ]
    for one, two in zip(*logs, strict=True):
        for name in ("task", "penalty", "information_loss", "fisher", "valid_loss", "information"):
            assert two[name] == pytest.approx(one[name], abs=1e-5), name
    assert open_checkpoint(together / "a.pt").card.training["complete"]


def test_one_process_shares_nothing():
    world = World(0, 1, torch.device("cpu"))
    outputs = Outputs(torch.ones(2, 3), torch.ones(2, 2))
    assert world.gather(outputs) is outputs
    assert world.gather(None) is None
    network = nn.Sequential(nn.BatchNorm2d(2))
    assert share_batch_norm(network, world) is network
    assert world.wrap(network) is network
    assert world.any(True)
    assert world.first


def test_a_share_is_a_slice_of_the_batch():
    rows = torch.arange(8)
    shares = [World(rank, 2, torch.device("cpu")).share(rows).tolist() for rank in (0, 1)]
    assert shares == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_batch_that_processes_cannot_share_is_refused_before_training(tmp_path, monkeypatch):
    module = importlib.import_module("robustkit.training.train")

    def alone_among(size):
        return lambda device: nullcontext(World(0, size, torch.device("cpu")))

    # 63 training images, which is the batch when none is given.
    for size, batch, advice in ((2, None, "63 images .* 2 processes; give --batch 62"), (3, 32, "give --batch 30")):
        monkeypatch.setattr(module, "open_world", alone_among(size))
        with pytest.raises(InputError, match=advice):
            train(squares(), out=tmp_path / "a.pt", settings=Settings(batch=batch))
    with pytest.raises(InputError, match="fewer processes"):
        World(0, 4, torch.device("cpu")).check_batch(3)
    assert not list(tmp_path.iterdir())
    World(0, 3, torch.device("cpu")).check_batch(63)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="--device cpu"), open_world("cuda"):
        pass
