"""Training on a CUDA device: exact where it is on the CPU, close where precision or a compiler changes the sums."""

from dataclasses import replace

import pytest
import torch

from robustkit.training import Settings, holding, keeping, train
from tests.training.test_resume import DANN, Killed, assert_same, kill_at
from tests.training.worlds import QUICK, noisier, squares

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
    # Some operations of torch say that they have no deterministic form; what counts is whether the weights are equal.
    pytest.mark.filterwarnings("ignore:.*deterministic:UserWarning"),
]
MMD = Settings(method="mmd", **QUICK)


def trained(out, settings, **how):
    source = squares()
    return train(source, noisier(source), out=out, settings=settings, device=DEVICE, **how)


def losses(run):
    return [row[name] for row in run.history for name in ("task", "penalty")]


@pytest.mark.parametrize("count", [3, 6])
def test_a_run_that_is_killed_on_the_device_ends_with_the_same_bits(count, tmp_path, monkeypatch):
    whole = trained(tmp_path / "whole" / "a.pt", DANN)
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "SAVE_EVERY", -1.0)  # a state after every step
        kill_at(patch, "after_step", count)
        with pytest.raises(Killed):
            trained(tmp_path / "a.pt", DANN)
    assert_same(trained(tmp_path / "a.pt", DANN, resume=True), whole)


def test_images_that_stay_in_main_memory_train_the_same_weights(tmp_path, monkeypatch):
    held = trained(tmp_path / "held" / "a.pt", MMD)
    places = []

    def kept(images, device):
        with monkeypatch.context() as patch:
            patch.setattr(holding, "free_bytes", lambda place: 0)
            images = holding.hold(images, device)
        places.append(images.device.type)
        return images

    monkeypatch.setattr("robustkit.training.domains.hold", kept)
    assert_same(trained(tmp_path / "a.pt", MMD), held)
    assert set(places) == {"cpu"}


def test_bf16_on_the_device_is_close_to_float32(tmp_path):
    exact = trained(tmp_path / "a.pt", MMD)
    rough = trained(tmp_path / "b.pt", replace(MMD, precision="bf16"))
    assert losses(rough) == pytest.approx(losses(exact), abs=0.02)
    assert losses(rough) != losses(exact)
    assert all(p.dtype == torch.float32 for p in rough.network.parameters())


@pytest.mark.filterwarnings("ignore")  # the compiler has its own
def test_a_compiled_network_learns_the_same_on_the_device(tmp_path):
    plain = trained(tmp_path / "a.pt", MMD)
    compiled = trained(tmp_path / "b.pt", replace(MMD, compiled=True))
    assert losses(compiled) == pytest.approx(losses(plain), abs=1e-2)
