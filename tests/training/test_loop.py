"""Each test here fails when a bug of a published training code is put back; its name says which."""

import logging
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from robustkit.errors import InputError, RobustkitError
from robustkit.models import open_checkpoint
from robustkit.training import Settings, train
from robustkit.training.alignment import ALIGNMENTS, information_loss
from robustkit.training.alignment.mmd import MedianMMD
from robustkit.training.judge import Judge
from robustkit.training.network import Trainee, adapt_statistics, predict
from robustkit.training.objective import class_weights
from robustkit.training.selection import Selector
from robustkit.training.watch import alarms
from tests.training.worlds import QUICK, noisier, one_step, squares, start

MMD = Settings(method="mmd", **QUICK)


def parameters(run):
    return {f"network {n}": p for n, p in run.network.named_parameters()} | {
        f"objective {n}": p for n, p in run.objective.named_parameters()
    }


def test_gradients_do_not_add_up_over_steps():
    _, run, feed = start(Settings(learning_rate=1e-30, schedule="constant", weight_decay=0.0, **QUICK))
    gradients = []
    for _ in range(2):
        one_step(run, feed)
        gradients.append([p.grad.clone() for p in run.network.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("method", ["mmd", "dann", "cdan", "sinkhorn"])
def test_everything_that_is_trained_is_in_one_group_of_the_optimiser_and_moves(method):
    _, run, feed = start(Settings(method=method, fisher="ratio", **QUICK))
    named = parameters(run)
    grouped = [id(p) for group in run.optimiser.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in named.values())
    before = {name: p.detach().clone() for name, p in named.items()}
    one_step(run, feed)
    still = [name for name, p in named.items() if torch.equal(p.detach(), before[name])]
    # A bias before a batch norm has no effect, so it need not move.
    assert not [name for name in still if not re.search(r"features\.\d+\.bias", name)]


def test_the_discriminator_learns_in_the_warm_up_but_sends_no_gradient_back():
    _, run, feed = start(Settings(method="dann", **QUICK))
    _, plain, _ = start(Settings(method="source", **QUICK))
    plain.network.load_state_dict(run.network.state_dict())
    _, batch = next(feed.epoch(0))
    source, target = run.network(batch.source, batch.target)
    run.objective(source, batch.labels, target, 0.0)[0].backward()
    source, target = plain.network(batch.source, batch.target)
    plain.objective(source, batch.labels, None, 0.0)[0].backward()
    for ours, theirs in zip(run.network.parameters(), plain.network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert all(p.grad.abs().sum() > 0 for p in run.objective.alignment.parameters())


def test_the_loss_is_task_plus_weight_times_penalty():
    _, run, feed = start(Settings(method="coral", weight=3.0, **QUICK))
    _, batch = next(feed.epoch(0))
    outputs = run.network(batch.source, batch.target)
    loss, terms = run.objective(outputs[0], batch.labels, outputs[1], 0.5)
    assert float(loss.detach()) == pytest.approx(terms["task"] + 1.5 * terms["penalty"], rel=1e-6)


@pytest.mark.parametrize(
    ("labels", "expected"), [([0, 0, 0, 1, 2, 2], [6 / 9, 6 / 3, 6 / 6]), ([0, 0, 1], [0.75, 1.5])]
)
def test_class_weights_are_those_of_the_paper(labels, expected):
    torch.testing.assert_close(class_weights(torch.tensor(labels), len(expected)), torch.tensor(expected))


def test_the_information_loss_looks_at_the_target_alone():
    _, run, feed = start(Settings(entropy=0.1, **QUICK))
    _, batch = next(feed.epoch(0))
    source, target = run.network(batch.source, batch.target)
    _, terms = run.objective(source, batch.labels, target, 1.0)
    assert terms["information_loss"] == pytest.approx(float(information_loss(target.logits).detach()))


def test_judging_leaves_no_trace_in_the_network():
    setup, run, _ = start(MMD)
    run.network.train()
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    state = torch.get_rng_state()
    setup.judge("cpu")(run)
    assert all(torch.equal(before[name], tensor) for name, tensor in run.network.state_dict().items())
    assert all(module.training for module in run.network.modules())
    assert torch.equal(state, torch.get_rng_state())


def test_validation_images_are_not_turned_and_training_images_are():
    setup, _, feed = start(MMD)
    judge = setup.judge("cpu")
    expected = setup.stretch(setup.source.images.images[setup.source.rows("valid")])
    np.testing.assert_array_equal(judge.valid.images.numpy(), expected)
    rows = setup.source.images.positions(next(feed.epoch(0))[1].ids)
    drawn = next(feed.epoch(0))[1].source.numpy()
    assert not np.array_equal(drawn, setup.stretch(setup.source.images.images[rows]))


def test_every_image_is_stretched_the_last_too_and_both_domains_by_the_source():
    setup, _, feed = start(MMD)
    train_rows = setup.source.images.images[setup.source.rows("train")]
    assert setup.stretch == type(setup.stretch).fit(train_rows)
    for domain, part in ((setup.source, feed.source), (setup.targets[0], feed.target)):
        np.testing.assert_array_equal(part.images.numpy(), setup.stretch(domain.images.images[domain.rows("train")]))


def test_a_source_only_run_never_touches_a_target_image(tmp_path):
    class Untouchable(np.ndarray):
        def __getitem__(self, key):
            raise AssertionError("a target image was read")

        def __array__(self, *args, **kwargs):
            raise AssertionError("the target images were read")

    source = squares()
    target = replace(noisier(source), images=noisier(source).images.view(Untouchable))
    train(source, target, out=tmp_path / "a.pt", settings=Settings(**QUICK))
    with pytest.raises(AssertionError, match="target"):
        train(source, target, out=tmp_path / "b.pt", settings=MMD)


class Secret(np.ndarray):
    """Labels that must not be read."""

    def _refuse(self, *args, **kwargs):
        raise AssertionError("a target label was read")

    __getitem__ = __array__ = __array_ufunc__ = __array_function__ = __iter__ = __eq__ = __lt__ = _refuse
    __hash__ = None  # type: ignore[assignment]


def secretly_labelled(images):
    target = noisier(images)
    object.__setattr__(target, "labels", target.labels.view(Secret))
    return target


@pytest.mark.parametrize("method", ["source", "adabn", "augment", *ALIGNMENTS])
def test_target_labels_reach_neither_training_nor_selection(method, tmp_path):
    target = secretly_labelled(squares())
    settings = Settings(method=method, entropy=0.05 if method == "mmd" else 0.0, **{**QUICK, "epochs": 2})
    trained = train(squares(), target, out=tmp_path / "a.pt", settings=settings)
    assert trained.card.training["complete"]
    assert not [name for row in trained.history for name in row if name.startswith("oracle")]


def test_the_guard_of_the_labels_works(tmp_path):
    target = secretly_labelled(squares())
    with pytest.raises(AssertionError, match="target label"):
        train(squares(), target, out=tmp_path / "a.pt", settings=Settings(method="oracle", **QUICK))


def test_a_target_without_labels_works_and_the_oracle_column_does_not_change_the_weights(tmp_path):
    source = squares()
    bare = train(source, replace(noisier(source), labels=None), out=tmp_path / "a.pt", settings=MMD)
    told = train(source, noisier(source), out=tmp_path / "b.pt", settings=MMD, report_oracle=True)
    for one, other in zip(bare.network.state_dict().values(), told.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert 0 <= told.history[-1]["oracle_balanced_accuracy"] <= 1
    unlabelled = replace(noisier(source), labels=None)
    with pytest.raises(InputError, match="labels"):
        train(source, unlabelled, out=tmp_path / "c.pt", settings=MMD, report_oracle=True)


@pytest.mark.parametrize("method", ["mmd", "adabn"])
def test_the_checkpoint_is_the_network_that_earned_its_score(method, tmp_path, monkeypatch):
    offer = Selector.offer
    # The last two epochs are not chosen, whatever they score.
    monkeypatch.setattr(Selector, "offer", lambda self, epoch, *rest: epoch < 4 and offer(self, epoch, *rest))
    settings = replace(MMD, method=method, epochs=6)
    source, target = squares(), noisier(squares())
    trained = train(source, target, out=tmp_path / "a.pt", settings=settings, report_oracle=True)
    setup, run, _ = start(settings, source, target, report_oracle=True)
    run.network.module.load_state_dict(open_checkpoint(tmp_path / "a.pt").classifier.module.state_dict())
    again, logged = setup.judge("cpu")(run), trained.card.training["figures"]
    chosen = trained.history[logged["epoch"] - 1]
    assert chosen["epoch"] == logged["epoch"] <= 4
    assert len(trained.history) == 6
    if method == "adabn":  # its statistics changed after the choice, which rested on these two
        again |= {name: chosen[name] for name in ("gate", "score")}
        assert logged["valid_loss"] != chosen["valid_loss"]
        assert f"{logged['valid_balanced_accuracy']:.3f} on source" in str(trained)
        assert "statistics of the target" in str(trained)
    else:
        assert chosen == logged
    assert again == pytest.approx({name: logged[name] for name in again}, abs=1e-12)


def test_early_stopping_returns_the_best_network(tmp_path):
    settings = Settings(epochs=12, batch=16, patience=1, learning_rate=1e-9, schedule="constant")
    trained = train(squares(60), out=tmp_path / "a.pt", settings=settings)
    assert 6 <= len(trained.history) < 12
    assert trained.card.training["epochs_run"] == len(trained.history)


def scripted(monkeypatch, gates):
    """Lets the epochs have these accuracies; returns the weights that each of them has."""
    weights = []

    def judge(self, run):
        weights.append({name: tensor.clone() for name, tensor in run.network.module.state_dict().items()})
        gate = gates[len(weights) - 1]
        return {"gate": gate, "score": gate - 1, "valid_balanced_accuracy": gate}

    monkeypatch.setattr(Judge, "__call__", judge)
    return weights


def test_the_epoch_that_is_kept_is_the_best_of_the_log(tmp_path, monkeypatch):
    scripted(monkeypatch, [0.5, 0.9, 0.6, 0.7])
    trained = train(squares(60), out=tmp_path / "a.pt", settings=Settings(epochs=4, batch=16))
    assert [row["best"] for row in trained.history] == [True, True, False, False]
    assert trained.card.training["figures"]["epoch"] == 2


def test_the_best_weights_are_restored_when_training_ends(tmp_path, monkeypatch):
    weights = scripted(monkeypatch, [0.5, 0.9, 0.6])
    trained = train(squares(60), out=tmp_path / "a.pt", settings=Settings(epochs=3, batch=16))
    kept = open_checkpoint(trained.checkpoint).classifier.module.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights[1].items())
    assert not all(torch.equal(kept[name], tensor) for name, tensor in weights[2].items())


@pytest.mark.parametrize(("patience", "epochs"), [(3, 12), (2, 12), (1, 6)])
def test_patience_begins_anew_with_every_better_epoch(patience, epochs, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.50, 0.4, 0.52, 0.4, 0.54, 0.4, 0.56, 0.4, 0.58, 0.4, 0.60, 0.4])
    settings = Settings(epochs=12, batch=16, patience=patience)
    trained = train(squares(60), out=tmp_path / "a.pt", settings=settings)
    assert len(trained.history) == epochs


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("network", ["convnet", "deepmerge"])
def test_two_and_three_classes_work(classes, network, tmp_path):
    images = squares(60, classes=classes)
    trained = train(images, out=tmp_path / "a.pt", settings=Settings(network=network, epochs=1, batch=16))
    assert len(trained.card.class_names) == classes


def test_a_loss_that_is_not_a_number_stops_and_names_step_and_images(tmp_path):
    source = squares()
    settings = Settings(epochs=4, batch=16, learning_rate=1e18, schedule="constant")
    with pytest.raises(RobustkitError, match=r"epoch \d+, step \d+ .*object \d+, object \d+"):
        train(source, out=tmp_path / "a.pt", settings=settings)


def test_the_images_of_both_domains_are_named_when_the_loss_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(MedianMMD, "forward", lambda self, source, target: (source.sum() + target.sum()) * np.nan)
    source = squares()
    target = replace(noisier(source), ids=np.array([f"stranger {i}" for i in range(len(source))]))
    with pytest.raises(RobustkitError) as failed:
        train(source, target, out=tmp_path / "a.pt", settings=MMD)
    _, _, feed = start(MMD, source, target)
    _, batch = next(feed.epoch(0))
    assert "penalty nan" in str(failed.value)
    expected = f"{', '.join(batch.ids)} in the source and {', '.join(batch.target_ids)} in the target"
    assert str(failed.value).endswith(expected)
    assert all(name.startswith("stranger") for name in batch.target_ids)


def test_the_last_good_checkpoint_is_kept_when_the_loss_fails(tmp_path, monkeypatch):
    from robustkit.training import loop

    def fail_later(loss, terms, run, batch):
        if run.epoch == 2:
            raise RobustkitError("not finite")

    monkeypatch.setattr(loop, "check_finite", fail_later)
    with pytest.raises(RobustkitError, match="not finite"):
        train(squares(), out=tmp_path / "a.pt", settings=Settings(**QUICK))
    card = open_checkpoint(tmp_path / "a.pt").card
    assert card.training["epochs_run"] == 2
    assert not card.training["complete"]


def test_adabn_takes_its_statistics_from_the_target_alone(tmp_path):
    _, run, _ = start(MMD)
    images = torch.randn(700, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 + 1
    weights = [p.detach().clone() for p in run.network.parameters()]
    adapt_statistics(run.network, images)
    first = run.network.module.features[1]
    with torch.no_grad():
        maps = run.network.module.features[0](images)
    torch.testing.assert_close(first.running_mean, maps.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(first.running_var, maps.var((0, 2, 3)), rtol=2e-2, atol=1e-3)
    assert all(torch.equal(p, w) for p, w in zip(run.network.parameters(), weights, strict=True))
    assert first.momentum == 0.1


def test_adabn_changes_the_statistics_of_a_source_run_and_nothing_else(tmp_path):
    source, target = squares(), noisier(squares())
    plain = train(source, target, out=tmp_path / "a.pt", settings=Settings(**QUICK)).network.state_dict()
    adapted = train(source, target, out=tmp_path / "b.pt", settings=Settings(method="adabn", **QUICK))
    changed = {name for name, value in adapted.network.state_dict().items() if not torch.equal(value, plain[name])}
    assert changed
    assert all("running" in name or "num_batches" in name for name in changed)


def test_joint_batch_norm_sees_both_domains_and_separate_each_by_itself():
    _, run, _ = start(MMD)
    source, target = torch.randn(2, 8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    target = 3 * target
    for mode in ("joint", "separate"):
        network = Trainee(run.network.module, mode).train()
        first, second = network(source, target)
        alone = network(source)[0]
        assert torch.allclose(first.logits, alone.logits, atol=1e-5) == (mode == "separate")
        network.release()
        assert len(second.latents) == 8


def test_latents_are_those_that_an_audit_sees(tmp_path):
    train(squares(), out=tmp_path / "a.pt", settings=Settings(network="deepmerge", **QUICK))
    classifier = open_checkpoint(tmp_path / "a.pt").classifier
    images = torch.rand(5, 3, 16, 16)
    with torch.no_grad():
        network = Trainee(classifier.module)
        torch.testing.assert_close(predict(network, images).latents, classifier.embed(images))
        torch.testing.assert_close(predict(network, images).logits, classifier(images))


def test_a_discriminator_that_wins_or_is_dead_raises_an_alarm(caplog):
    settings = Settings(method="dann", epochs=60)
    row = {"epoch": 50, "gate": 0.8}
    assert "without error" in alarms(row | {"source_told": 0.99, "target_told": 1.0}, settings, 3)[0]
    assert "calls every image the same" in alarms(row | {"source_told": 1.0, "target_told": 0.0}, settings, 3)[0]
    assert "one class" in alarms(row | {"target_most_common": 1.0}, settings, 3)[0]
    assert not alarms(row | {"source_told": 0.7, "target_told": 0.6, "target_most_common": 0.5}, settings, 3)
    warm_up = row | {"epoch": 2, "source_told": 1.0, "target_told": 1.0}
    assert not alarms(warm_up, settings, 3)


@pytest.mark.parametrize("ramp", [True, False])
def test_one_class_in_the_warm_up_is_no_alarm(ramp):
    settings = Settings(method="mmd", epochs=4, warm_up=2, ramp=ramp)
    row = {"gate": 0.9, "target_most_common": 1.0}
    assert [bool(alarms(row | {"epoch": epoch}, settings, 3)) for epoch in (1, 2, 3, 4)] == [False, False, True, True]


def test_the_first_alarm_is_logged(tmp_path, caplog, monkeypatch):
    from robustkit.training import watch

    monkeypatch.setattr(watch, "alarms", lambda row, settings, classes: ["something is wrong"])
    with caplog.at_level(logging.WARNING, "robustkit.training"):
        trained = train(squares(), out=tmp_path / "a.pt", settings=Settings(**QUICK))
    assert [record.getMessage() for record in caplog.records] == [
        "convnet, source, seed 0, epoch 1: something is wrong"
    ]
    assert all(row["alarm"] for row in trained.history)
