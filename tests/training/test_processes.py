"""Training as a process that others see: killed without warning, or started by torchrun."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from robustkit.models import open_checkpoint
from tests.training.worlds import noisier, squares

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
QUICK = ["--epochs", "4", "--warm-up", "1", "--batch", "16", "--device", "cpu"]


@pytest.fixture
def pair(tmp_path):
    squares().save(tmp_path / "Y10")
    noisier(squares()).save(tmp_path / "Y1")
    return ["train", "--source", str(tmp_path / "Y10"), "--target", str(tmp_path / "Y1"), *QUICK]


def test_a_process_that_is_killed_outright_goes_on_to_the_same_weights(pair, tmp_path):
    command = [sys.executable, "-m", "robustkit", *pair, "--method", "dann", "--fisher", "--out"]
    whole, killed = tmp_path / "whole.pt", tmp_path / "killed.pt"
    subprocess.run([*command, str(whole)], env=ENVIRONMENT, cwd=ROOT, check=True, capture_output=True)
    process = subprocess.Popen(
        [*command, str(killed)], env=ENVIRONMENT, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not killed.with_suffix(".state").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    again = [*command, str(killed), "--resume"]
    subprocess.run(again, env=ENVIRONMENT, cwd=ROOT, check=True, capture_output=True)
    one, other = (open_checkpoint(path).classifier.module.state_dict() for path in (whole, killed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.with_suffix(".jsonl").read_text() == killed.with_suffix(".jsonl").read_text()


def test_torchrun_trains_with_the_command_and_one_process_speaks(pair, tmp_path):
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "robustkit"]
    command = [*start, *pair, "--method", "mmd", "--out", str(tmp_path / "a.pt")]
    done = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("balanced accuracy") == 1
    assert open_checkpoint(tmp_path / "a.pt").card.training["complete"]
