"""Networks of others for which memory runs out: what fits is as if nothing happened, what does not is marked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from robustkit.errors import OutOfMemory
from robustkit.files import read_json
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.findings.sweep.measure import run_sweep
from robustkit.findings.sweep.record import SweepRequest
from robustkit.models import ModelOptions
from robustkit.runs.opening import open_sample
from tests.attacks import silent
from tests.audits import make_audit
from tests.models.foreign.networks import settled

HUNGRY = """
import os

import torch
from torch import nn


class Hungry(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.fc1 = nn.Linear(64, 8)
        self.fc2 = nn.Linear(8, 3)

    def forward(self, x):
        if len(x) > int(os.environ["MOST_IMAGES"]):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return self.fc2(torch.relu(self.fc1(self.pool(torch.relu(self.conv(x))).flatten(1))))
"""

REQUESTS = {
    run_attack: AttackRequest(n=4, budget=12, group=8, searches=("random", "de")),
    run_certify: CertifyRequest(n=4, budget=30, group=8),
    run_sweep: SweepRequest(perturbations=("gaussian", "shift"), n=4, group=8),
}


@pytest.fixture(scope="module")
def hungry(tmp_path_factory):
    """Runs a command on the network in a folder, which takes so many images at once."""
    folder = tmp_path_factory.mktemp("hungry")
    _, data = make_audit(folder)
    (folder / "network.py").write_text(HUNGRY)
    namespace = {}
    exec(HUNGRY, namespace)
    network = settled(namespace["Hungry"]())
    torch.save(network.state_dict(), folder / "weights.pt")
    options = ModelOptions(arch=f"{folder / 'network.py'}:Hungry", stretch="arcsinh")

    def start(run, out, *, n=4, **more):
        request = replace(REQUESTS[run], data=data, options=options, n=n)
        return run(folder / "weights.pt", request, out=out, device="cpu", **{"say": silent, **more})

    return start


def found(result):
    """What a run found, without what it cost."""
    record = result.record
    return {name: value for name, value in vars(record).items() if name not in ("seconds", "costs")}


@pytest.mark.parametrize("run", REQUESTS)
def test_what_does_not_fit_at_once_is_done_in_parts_to_the_same_answer(hungry, tmp_path, monkeypatch, run):
    monkeypatch.setenv("MOST_IMAGES", "100000")
    whole = found(hungry(run, tmp_path / "whole"))
    monkeypatch.setenv("MOST_IMAGES", "3")
    parts = found(hungry(run, tmp_path / "parts"))
    assert parts.keys() == whole.keys()
    for name, value in whole.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.testing.assert_allclose(parts[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
        elif isinstance(value, np.ndarray):
            assert np.array_equal(parts[name], value), name


@pytest.mark.parametrize("run", REQUESTS)
def test_where_not_even_one_fits_each_is_marked(hungry, tmp_path, monkeypatch, run):
    def opened(*arguments, **options):
        sample = open_sample(*arguments, **options)
        monkeypatch.setenv("MOST_IMAGES", "0")
        return sample

    monkeypatch.setattr("robustkit.runs.measurement.open_sample", opened)
    monkeypatch.setenv("MOST_IMAGES", "100000")
    said = []
    record = found(hungry(run, tmp_path / "run", n=2, say=said.append))
    unknown = record["out_of_memory"] if run is run_certify else record["clean_class"] == -2
    assert unknown.all()
    assert len(unknown) == 2
    assert "memory ran out for 2 images" in "\n".join(said)
    assert read_json(tmp_path / "run" / "summary.json")["plan"] == {"group": 8, "halved": {"0": [0, 0]}}


def test_a_network_that_takes_no_two_images_is_refused_for_memory_and_nothing_else(hungry, tmp_path, monkeypatch):
    monkeypatch.setenv("MOST_IMAGES", "1")
    with pytest.raises(OutOfMemory, match="memory ran out for two images at once; use a device with more"):
        hungry(run_attack, tmp_path / "run")
    assert not (tmp_path / "run").exists()
