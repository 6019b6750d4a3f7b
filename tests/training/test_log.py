"""What a run measures and shows on its way, and the form of the tensors that it computes with."""

import numpy as np
import pytest
import torch
from torch import nn

from robustkit.training import Settings, loop, train
from robustkit.training.alignment.adversarial import Adversarial
from robustkit.training.alignment.mmd import MedianMMD
from robustkit.training.judge import Judge
from robustkit.training.network import predict
from robustkit.training.scores import information, target_scores
from tests.training.worlds import QUICK, noisier, squares, start

LABEL_FREE = ("information", "certainty", "snd", "iw", "dev")


def settings(**changes):
    return Settings(**{"method": "mmd", **QUICK} | changes)


def test_every_label_free_score_is_in_the_log_and_is_that_of_its_domains(tmp_path):
    trained = train(squares(), noisier(squares()), out=tmp_path / "a.pt", settings=settings())
    for row in trained.history:
        assert np.isfinite([row[name] for name in LABEL_FREE]).all()
        assert (row["gate"], row["score"]) == (row["valid_balanced_accuracy"], row["information"])
    setup, run, _ = start(settings())
    judge = setup.judge("cpu")
    row = judge(run)
    source, target = (predict(run.network, part.images) for part in (judge.valid, judge.target))
    expected = target_scores(source, judge.valid.labels.numpy(), target)
    assert {name: row[name] for name in LABEL_FREE} == expected
    assert row["information"] == information(target.logits.numpy()) != information(source.logits.numpy())
    assert row["target_most_common"] == np.bincount(target.logits.argmax(1)).max() / len(target.logits)


@pytest.mark.parametrize("changes", [{"method": "source"}, {"method": "mmd", "select": "source"}])
def test_without_information_on_the_target_the_loss_on_the_source_is_the_score(changes):
    setup, run, _ = start(settings(**changes))
    row = setup.judge("cpu")(run)
    assert (row["gate"], row["score"]) == (row["valid_balanced_accuracy"], -row["valid_loss"])
    assert "information" not in row


def test_how_well_the_discriminator_tells_each_domain_is_in_the_log_and_raises_the_alarm(tmp_path, monkeypatch):
    source, dann = squares(), settings(method="dann", ramp=False)
    trained = train(source, noisier(source), out=tmp_path / "a.pt", settings=dann)
    for row in trained.history:
        assert all(0 <= row[name] <= 1 for name in ("source_told", "target_told"))
    discriminator = Adversarial(2)
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.zero_()
        list(discriminator.parameters())[-1].fill_(1.0)  # it calls every image one of the source
    discriminator(torch.randn(6, 2), torch.randn(4, 2))
    assert discriminator.figures() == {"source_told": 1.0, "target_told": 0.0}

    monkeypatch.setattr(Adversarial, "figures", lambda self: {"source_told": 1.0, "target_told": 0.99})
    told = train(source, noisier(source), out=tmp_path / "b.pt", settings=dann)
    assert not told.history[0]["alarm"]  # in the warm-up the latents need not be aligned
    assert all("without error (1.000, 0.990)" in row["alarm"] for row in told.history[1:])


def test_under_bf16_the_loss_is_computed_in_float32_with_autocast_off(tmp_path, monkeypatch):
    seen, inside, real = [], [], MedianMMD.forward

    def penalty(self, source, target):
        seen.append((source.dtype, target.dtype, torch.is_autocast_enabled("cpu")))
        return real(self, source, target)

    def relu(self, rows):
        inside.append((rows.dtype, torch.is_autocast_enabled("cpu")))
        return torch.relu(rows)

    monkeypatch.setattr(MedianMMD, "forward", penalty)
    monkeypatch.setattr(nn.ReLU, "forward", relu)
    train(squares(), noisier(squares()), out=tmp_path / "a.pt", settings=settings(precision="bf16", epochs=2))
    assert set(seen) == {(torch.float32, torch.float32, False)}
    assert (torch.bfloat16, True) in inside


@pytest.mark.parametrize("network", ["convnet", "deepmerge"])
def test_network_and_images_are_channels_last(network, tmp_path, monkeypatch):
    found, real = [], Judge.__call__

    def judged(self, run):
        weights = [layer.weight for layer in run.network.module.modules() if isinstance(layer, nn.Conv2d)]
        found.extend(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
        found.append(self.valid.images.is_contiguous(memory_format=torch.channels_last))
        return real(self, run)

    monkeypatch.setattr(Judge, "__call__", judged)
    train(squares(60), out=tmp_path / "a.pt", settings=Settings(network=network, epochs=1, batch=16))
    assert len(found) > 2
    assert all(found)


def test_the_bar_shows_epoch_losses_and_how_well_the_domains_are_told_apart(tmp_path, monkeypatch):
    shown, moved = [], []

    class Bar:
        disable = False

        def set_postfix(self, figures, refresh):
            shown.append(figures)

        def update(self, steps=1):
            moved.append(steps)

        def close(self):
            moved.append("closed")

    monkeypatch.setattr(loop, "progress", lambda *, total, label, unit: moved.append(total) or Bar())
    trained = train(
        squares(),
        noisier(squares()),
        out=tmp_path / "a.pt",
        settings=settings(method="dann", fisher="ratio", entropy=0.1),
    )
    names = {"task", "penalty", "fisher", "information_loss", "source_told", "target_told"}
    assert all(set(figures) == {"epoch", *names} for figures in shown)
    assert moved == [12, 0, *[1] * 12, "closed"]  # three epochs of four steps
    for row in trained.history:
        steps = [figures for figures in shown if figures["epoch"] == row["epoch"]]
        for name in names:
            assert np.mean([float(figures[name]) for figures in steps]) == pytest.approx(row[name], abs=6e-4)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_batch_job_logs_one_line_an_epoch(tmp_path, capsys, monkeypatch, terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    trained = train(squares(), out=tmp_path / "a.pt", settings=settings(method="source"))
    said = [line for line in capsys.readouterr().err.splitlines() if ", epoch " in line]
    row = trained.history[0]
    first = f"convnet, source, seed 0, epoch 1 of 3: task {row['task']:.3f}, gate {row['gate']:.3f}, "
    assert len(said) == (0 if terminal else len(trained.history))
    assert terminal or said[0].startswith(first)
