"""Several targets, a few known target labels, learned weights, and the curves of a run."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from robustkit.cli import main
from robustkit.data.readers import gather
from robustkit.errors import InputError
from robustkit.models import open_checkpoint
from robustkit.training import Settings, train
from robustkit.training.evaluate import predict_test
from robustkit.training.known import read_known
from robustkit.training.objective import LearnedWeights
from robustkit.training.scores import class_shift
from robustkit.training.setup import make_setup
from robustkit.training.watch import alarms
from tests.training.worlds import QUICK, noisier, one_step, squares, start

MMD = Settings(method="mmd", **QUICK)


def strangers(n: int = 60, seed: int = 3):
    """A target of other objects."""
    images = noisier(squares(n, seed=seed))
    return replace(images, ids=np.array([f"stranger {i}" for i in range(n)]))


def run(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def table(path, images, rows):
    lines = [f"{images.ids[row]},{images.class_names[images.labels[row]]}" for row in rows]
    path.write_text("\n".join(["id,class", *lines]) + "\n")
    return path


def test_several_targets_are_learned_from_and_scored_each(tmp_path):
    source, first, second = squares(), noisier(squares()), strangers()
    for name, images in (("s", source), ("t", first), ("u", second)):
        images.save(tmp_path / name)
    settings = replace(MMD, epochs=2)
    trained = train(tmp_path / "s", [tmp_path / "t", tmp_path / "u"], out=tmp_path / "m.pt", settings=settings)
    found = {one.domain: one for one in predict_test(tmp_path / "m.pt")}
    assert list(found) == ["source", "target", "target 2"]
    for name, images in (("target", first), ("target 2", second)):
        np.testing.assert_array_equal(found[name].labels, images.labels[images.positions(found[name].ids)])
    assert not set(found["target 2"].ids) & set(trained.card.data["more_targets"][0]["split"]["train"])
    setup = make_setup(source, [first, second], settings)
    feed = setup.feed("cpu")
    assert feed.target is not None
    assert len(feed.target) == sum(len(one.rows("train")) for one in setup.targets)
    seen = {one for _, batch in feed.epoch(0) for one in batch.target_ids}
    assert seen == set(feed.target.ids)


def test_an_object_of_two_targets_is_in_the_same_part_of_both():
    second = noisier(strangers(), 0.5)
    setup = make_setup(squares(), [strangers(), second.select(np.arange(0, 60, 2))], MMD)
    one, two = (domain.split for domain in setup.targets)
    for part in ("train", "valid", "test"):
        assert set(two.objects(part)) <= set(one.objects(part))


@pytest.mark.parametrize("method", ["augment", "oracle"])
def test_methods_of_one_target_refuse_two(method):
    with pytest.raises(InputError, match=f"{method} takes one target, got 2"):
        make_setup(squares(), [noisier(squares()), strangers()], Settings(method=method, **QUICK))


@pytest.mark.parametrize("method", ["source", "mmd"])
def test_known_target_labels_are_learned_from_and_never_tested_on(tmp_path, method):
    target = strangers()
    known = table(tmp_path / "known.csv", target, range(0, 24))
    settings = Settings(method=method, **QUICK)
    setup = make_setup(squares(), replace(target, labels=None), settings, target_labels=known)
    assert setup.known is not None
    assert sum(len(one.images) for one in setup.known.domains) == 24
    assert set(target.ids[:24]) <= set(setup.targets[0].split.train)
    feed = setup.feed("cpu")
    _, batch = next(feed.epoch(0))
    assert batch.known.shape[0] == batch.known_labels.shape[0] == min(setup.settings.batch, 24)
    _, run, _ = start(settings, target=target)
    _, batch = next(feed.epoch(0))
    source, beside = run.network(batch.source, batch.beside)
    outputs = type(source)(*(rows[-len(batch.known) :] for rows in beside))
    aligned = type(source)(*(rows[: len(rows) - len(batch.known)] for rows in beside)) if method == "mmd" else None
    _, terms = run.objective(source, batch.labels, aligned, 1.0, (outputs, batch.known_labels))
    weights = run.objective.weights
    expected = torch.nn.functional.cross_entropy(outputs.logits, batch.known_labels, weights)
    assert terms["target_task"] == pytest.approx(expected.item())


def test_a_few_target_labels_teach_what_the_source_cannot(tmp_path):
    source, target = squares(60), strangers(90)
    turned = replace(target, labels=(target.labels + 1) % 3)  # the target calls the classes otherwise
    known = table(tmp_path / "known.csv", turned, range(60))
    settings = Settings(method="source", epochs=8, batch=16, weight_decay=0.0)
    trained = train(source, turned, out=tmp_path / "m.pt", settings=settings, target_labels=known)
    losses = [row["target_task"] for row in trained.history]
    assert losses[-1] < 0.9 * losses[0], losses
    assert "target_task" in (tmp_path / "m.csv").read_text().splitlines()[0]


def test_a_run_with_other_known_labels_does_not_resume(tmp_path):
    target = strangers()
    known = table(tmp_path / "known.csv", target, range(12))
    train(squares(), target, out=tmp_path / "m.pt", settings=replace(MMD, epochs=2), target_labels=known)
    table(known, target, range(13))
    with pytest.raises(InputError, match="target labels"):
        train(
            squares(), target, out=tmp_path / "m.pt", settings=replace(MMD, epochs=2), target_labels=known, resume=True
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,flux\na,1\n", "no column of classes among name, flux"),
        ("flux,class\n1,class 0\n", "no column of ids"),
        ("id,class\nstranger 1,class 7\n", "class 7"),
        ("id,class\nstranger 1,class 0\nstranger 1,class 1\n", "two classes"),
        ("id,class\nnobody,class 0\n", "none of the 1 objects of"),
        ("id,class\n", "no rows"),
    ],
)
def test_tables_of_labels_that_cannot_be_used_are_refused(tmp_path, text, words):
    (tmp_path / "known.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        make_setup(squares(), strangers(), MMD, target_labels=tmp_path / "known.csv")


def test_labels_without_a_target_and_a_missing_table_are_refused(tmp_path):
    with pytest.raises(InputError, match="--target-labels needs target images"):
        make_setup(squares(), None, Settings(**QUICK), target_labels=tmp_path / "known.csv")
    with pytest.raises(InputError, match="no such file"):
        read_known(tmp_path / "known.csv")


def test_labels_of_objects_that_the_source_tests_are_left_out_and_said(tmp_path, caplog):
    target = noisier(squares())
    known = table(tmp_path / "known.csv", target, range(90))
    with caplog.at_level(logging.WARNING):
        setup = make_setup(squares(), target, MMD, target_labels=known)
    assert setup.known is not None
    assert sum(len(one.images) for one in setup.known.domains) == len(setup.source.rows("train"))
    assert "in the validation or test part" in caplog.text


def test_learned_weights_are_those_of_the_published_loss_with_its_bounds():
    balance = LearnedWeights()
    task, penalty = torch.tensor(0.7), torch.tensor(0.2)
    assert balance(task, penalty).item() == pytest.approx(0.45)
    with torch.no_grad():
        balance.eta.copy_(torch.tensor([2.0, 0.1]))
    a, b = 2.0, 0.5  # not below a quarter of the first
    value = balance(task, penalty)
    assert value.item() == pytest.approx(0.7 / (2 * a**2) + 0.2 / (2 * b**2) + np.log(a * b))
    value.backward()
    assert balance.eta.grad.tolist() == pytest.approx([-0.7 / a**3 + 1 / a, -0.2 / b**3 + 1 / b], rel=1e-5)


def test_a_run_learns_its_weights_and_logs_them(tmp_path):
    settings = Settings(method="sinkhorn", weight="learned", **QUICK)
    _, run, feed = start(settings)
    before = run.objective.balance.eta.detach().clone()
    one_step(run, feed, ramp=0.0)
    assert torch.equal(run.objective.balance.eta, before)  # the warm-up trains the task alone
    terms = one_step(run, feed, step=1)
    assert not torch.equal(run.objective.balance.eta, before)
    assert {"task_weight", "penalty_weight"} <= terms.keys()


@pytest.mark.parametrize("method", ["source", "dann", "cdan"])
def test_learned_weights_need_a_penalty_that_is_no_opponents(method):
    with pytest.raises(InputError, match="cannot be learned"):
        Settings(method=method, weight="learned", **QUICK)
    with pytest.raises(InputError, match="or learned"):
        Settings(method="mmd", weight="heavy", **QUICK)


def test_a_part_that_lies_in_a_file_trains_to_the_same_bytes(tmp_path, monkeypatch):
    settings = Settings(method="mmd", epochs=2, batch=16, warm_up=1)
    train(squares(), noisier(squares()), out=tmp_path / "a.pt", settings=settings)
    monkeypatch.setattr(gather, "IN_MEMORY_BYTES", 1000)
    train(squares(), noisier(squares()), out=tmp_path / "b.pt", settings=settings)
    one, two = (open_checkpoint(tmp_path / f"{name}.pt").classifier.module.state_dict() for name in "ab")
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


def test_shares_of_classes_that_differ_are_told_from_chance():
    def logits(counts):
        return np.eye(3)[np.repeat(np.arange(3), counts)]

    same = class_shift(logits([40, 40, 40]), logits([38, 41, 41]))
    assert same["class_shift"] < 0.03
    assert same["class_shift_p"] > 0.5
    lost = class_shift(logits([40, 40, 40]), logits([70, 45, 5]))
    assert lost["class_shift"] == pytest.approx(35 / 120)
    assert lost["class_shift_p"] < 1e-6
    assert class_shift(logits([9, 0, 0]), logits([9, 0, 0])) == {"class_shift": 0.0, "class_shift_p": 1.0}
    row = {"epoch": 3, "gate": 0.9, **lost}
    assert any("29 per cent" in one for one in alarms(row, MMD, 3))
    assert not alarms({"epoch": 3, "gate": 0.9, **same}, MMD, 3)


def test_the_command_takes_several_targets_a_table_and_learned_weights(tmp_path, capsys):
    target = strangers()
    for name, images in (("s", squares()), ("t", noisier(squares())), ("u", target)):
        images.save(tmp_path / name)
    known = table(tmp_path / "known.csv", target, range(9))
    targets = ["--target", str(tmp_path / "t"), "--target", str(tmp_path / "u")]
    command = ["train", "--source", str(tmp_path / "s"), *targets]
    command += ["--target-labels", str(known), "--method", "mmd", "--weight", "learned", "--epochs", "2"]
    assert run([*command, "--warm-up", "1", "--batch", "16", "--out", str(tmp_path / "m.pt")]) == 0
    assert "m.curves.png" in capsys.readouterr().out
    assert (tmp_path / "m.curves.png").stat().st_size > 5000
    assert run(["evaluate", "--model", str(tmp_path / "m.pt"), "--out", str(tmp_path / "e")]) == 0
    assert "target 2" in capsys.readouterr().out
    assert run([*command, "--weight", "heavy", "--out", str(tmp_path / "n.pt")]) == 2
    assert "or learned" in capsys.readouterr().err
