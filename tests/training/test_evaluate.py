# pyright: reportOptionalOperand=false, reportOptionalIterable=false, reportOptionalSubscript=false
import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics

from robustkit.errors import InputError
from robustkit.models import open_checkpoint, save_checkpoint
from robustkit.report.blocks import Bars, Series
from robustkit.training import Settings, train
from robustkit.training.evaluate import Predictions, compare, evaluate, find_models, predict_test
from robustkit.training.figures import LOOKS, bars_panel, confusion_panel, roc, roc_panel
from robustkit.training.table import describe, save_evaluation
from tests.training.worlds import QUICK, noisier, squares


def predictions(*, method="source", seed=0, domain="target", n=60, classes=3, skill=2.0, offset=0):
    rng = np.random.default_rng(seed + 100 * offset)
    labels = np.arange(n) % classes
    logits = rng.normal(size=(n, classes)) + skill * np.eye(classes)[labels]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ids = np.array([f"object {i}" for i in range(n)])
    names = [f"class {k}" for k in range(classes)]
    return Predictions(f"{method}{seed}.pt", "convnet", method, seed, domain, names, ids, labels, p)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    source = squares()
    source.save(folder / "Y10")
    noisier(source).save(folder / "Y1")
    for method in ("source", "adabn"):
        settings = Settings(method=method, **QUICK)
        train(folder / "Y10", folder / "Y1", out=folder / "models" / f"{method}.pt", settings=settings)
    return folder / "models"


def test_test_images_are_those_that_training_put_aside(models):
    card = open_checkpoint(models / "source.pt").card
    found = predict_test(models / "source.pt")
    assert [each.domain for each in found] == ["source", "target"]
    for each, data in zip(found, (card.data, card.data["target"]), strict=True):
        assert each.ids.tolist() == data["split"]["test"]
        assert not set(each.ids) & set(data["split"]["train"] + data["split"]["valid"])
        np.testing.assert_allclose(each.probabilities.sum(1), 1)


def test_validation_images_score_what_training_logged(models):
    (found, _) = predict_test(models / "source.pt", part="valid")
    logged = open_checkpoint(models / "source.pt").card.training["figures"]
    score = metrics.balanced_accuracy_score(found.labels, found.probabilities.argmax(1))
    assert score == pytest.approx(logged["valid_balanced_accuracy"])
    assert metrics.log_loss(found.labels, found.probabilities) == pytest.approx(logged["valid_loss"], rel=1e-5)


def test_images_that_changed_since_training_are_refused(models, tmp_path):
    shutil.copytree(models.parent, tmp_path / "copy")
    data = tmp_path / "copy" / "Y1"
    other = noisier(squares(), seed=9)
    shutil.rmtree(data)
    other.save(data)
    with pytest.raises(InputError, match="changed since"):
        predict_test(tmp_path / "copy" / "models" / "source.pt")
    shutil.rmtree(tmp_path / "copy" / "Y10")
    found = predict_test(models / "source.pt")
    assert len(found) == 2


def test_a_target_that_lacks_a_class_is_scored_on_those_it_has(tmp_path):
    source = squares()
    source.save(tmp_path / "a")
    target = noisier(source).select(np.flatnonzero(source.labels > 0))
    replace(target, labels=target.labels - 1, class_names=source.class_names[1:]).save(tmp_path / "b")
    train(tmp_path / "a", tmp_path / "b", out=tmp_path / "m.pt", settings=Settings(epochs=1, batch=16))
    found = next(one for one in predict_test(tmp_path / "m.pt") if one.domain == "target")
    assert set(found.labels.tolist()) == {1, 2}
    whole = noisier(source)
    np.testing.assert_array_equal(found.labels, whole.labels[whole.positions(found.ids)])


@pytest.mark.parametrize("names", [("x", "y", "z"), ("spirals", "CLASS-0!", "mergers")])
def test_a_target_without_a_class_of_the_network_is_refused(tmp_path, names):
    source = squares()
    source.save(tmp_path / "a")
    replace(noisier(source), class_names=names).save(tmp_path / "b")
    train(tmp_path / "a", tmp_path / "b", out=tmp_path / "m.pt", settings=Settings(epochs=1, batch=16))
    with pytest.raises(InputError, match=r"the network was trained on class 0, .*give it the names of those"):
        predict_test(tmp_path / "m.pt")


def test_a_target_with_its_classes_in_another_order_is_evaluated(tmp_path):
    source = squares()
    source.save(tmp_path / "a")
    target = noisier(source)
    target.save(tmp_path / "b")
    order = np.array([2, 0, 1])
    names = tuple(source.class_names[k] for k in order)
    replace(target, labels=order.argsort()[target.labels], class_names=names).save(tmp_path / "c")
    found = []
    for name in "bc":
        train(tmp_path / "a", tmp_path / name, out=tmp_path / f"{name}.pt", settings=Settings(epochs=1, batch=16))
        found.append(next(one for one in predict_test(tmp_path / f"{name}.pt") if one.domain == "target"))
    assert (found[0].labels == found[1].labels).all()


def test_a_split_that_was_changed_is_refused(models, tmp_path):
    checkpoint = open_checkpoint(models / "source.pt")
    split = checkpoint.card.data["split"]
    learned = {"train": split["train"][1:], "valid": split["valid"], "test": [*split["test"], split["train"][0]]}
    card = replace(checkpoint.card, data=checkpoint.card.data | {"split": learned})
    save_checkpoint(tmp_path / "a.pt", checkpoint.classifier.module, card)
    with pytest.raises(InputError, match="does not fit its hash"):
        predict_test(tmp_path / "a.pt")


@pytest.mark.parametrize("gone", ["relative", "sha256", "split", "split_sha256", "valid"])
def test_a_checkpoint_that_lacks_something_of_its_images_is_refused(models, tmp_path, gone):
    content = torch.load(models / "source.pt", weights_only=True)
    card = json.loads(content["card"])
    (card["data"]["split"] if gone == "valid" else card["data"]).pop(gone)
    torch.save({**content, "card": json.dumps(card)}, tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"m\.pt"):
        predict_test(tmp_path / "m.pt")


def test_a_moved_folder_is_found_beside_the_checkpoint(models, tmp_path):
    shutil.copytree(models.parent, tmp_path / "elsewhere")
    assert len(predict_test(tmp_path / "elsewhere" / "models" / "source.pt")) == 2


def test_a_model_of_images_in_memory_is_refused(tmp_path):
    train(squares(), out=tmp_path / "a.pt", settings=Settings(epochs=1, batch=16))
    with pytest.raises(InputError, match="in memory"):
        predict_test(tmp_path / "a.pt")


def test_images_of_a_class_that_only_the_target_has_are_an_anomaly_and_in_no_other_score(tmp_path, caplog):
    source = squares()
    source.save(tmp_path / "a")
    plain = noisier(source, 0.1)
    plain.save(tmp_path / "b")
    rings = np.arange(len(plain)) >= 60  # of noise alone, which nothing was trained on
    images = plain.images.copy()
    images[rings] = np.random.default_rng(0).normal(0, 0.3, images[rings].shape)
    names = ("ring", *source.class_names)  # before those that the network knows
    labels = np.where(rings, 0, plain.labels + 1)
    replace(plain, images=images, labels=labels, class_names=names).save(tmp_path / "c")
    settings = Settings(epochs=6, batch=16)
    for name in "bc":
        train(tmp_path / "a", tmp_path / name, out=tmp_path / f"{name}.pt", settings=settings)
    whole, some = (next(one for one in predict_test(tmp_path / f"{n}.pt") if one.domain == "target") for n in "bc")
    assert "of classes that" in caplog.text
    assert "(ring)" in caplog.text
    kept = np.isin(whole.ids, some.ids)
    np.testing.assert_array_equal(whole.labels[kept], some.labels)
    np.testing.assert_allclose(whole.probabilities[kept], some.probabilities, atol=1e-6)
    assert len(some.unknown) == np.isin(plain.ids[rings], whole.ids).sum() > 0
    (row,) = (one for one in compare([some], draws=200))
    truth = np.r_[np.zeros(len(some.labels)), np.ones(len(some.unknown))]
    scores = np.r_[1 - some.probabilities.max(1), some.unknown]
    assert row.unknown_auc.value == pytest.approx(metrics.roc_auc_score(truth, scores))
    mixed = replace(some, unknown=np.linspace(0, 0.7, 40))  # some of which the network is sure about
    (uncertain,) = compare([mixed], draws=200)
    assert uncertain.unknown_auc.low < uncertain.unknown_auc.value < uncertain.unknown_auc.high
    text = describe([row])
    assert "unknown AUC" in text
    assert "0.5 is chance" in text
    save_evaluation([row], tmp_path / "out")
    assert "unknown_auc" in (tmp_path / "out" / "evaluation.csv").read_text()
    loaded = Predictions.load(next((tmp_path / "out" / "predictions").glob("*.npz")))
    np.testing.assert_array_equal(loaded.unknown, some.unknown)


def test_a_target_without_labels_has_no_row_and_that_is_said(tmp_path, caplog):
    source = squares()
    source.save(tmp_path / "a")
    replace(noisier(source), labels=None).save(tmp_path / "b")
    train(tmp_path / "a", tmp_path / "b", out=tmp_path / "m.pt", settings=Settings(epochs=1, batch=16))
    assert [each.domain for each in predict_test(tmp_path / "m.pt")] == ["source"]
    assert "the target of" in caplog.text
    assert "robustkit predict" in caplog.text


@pytest.mark.parametrize("classes", [2, 3])
def test_every_metric_is_scikit_learns(classes):
    each = predictions(classes=classes)
    (row,) = compare([each], draws=99)
    predicted, labels, p = each.probabilities.argmax(1), each.labels, each.probabilities
    expected = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "precision_weighted": metrics.precision_score(labels, predicted, average="weighted"),
        "recall_weighted": metrics.recall_score(labels, predicted, average="weighted"),
        "f1_weighted": metrics.f1_score(labels, predicted, average="weighted"),
        "precision_macro": metrics.precision_score(labels, predicted, average="macro"),
        "f1_macro": metrics.f1_score(labels, predicted, average="macro"),
        "auc": metrics.roc_auc_score(labels, p[:, 1] if classes == 2 else p, multi_class="ovr"),
    }
    assert {name: row.mean[name] for name in expected} == pytest.approx(expected)
    assert row.accuracy.value == pytest.approx(expected["accuracy"])
    assert row.balanced_accuracy.value == pytest.approx(expected["balanced_accuracy"])
    np.testing.assert_array_equal(row.scores[0].confusion, metrics.confusion_matrix(labels, predicted))
    assert row.gain is None


def test_the_calibration_error_of_a_calibrated_network_is_nearly_zero():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1.0, 1.0, 1.0], 20000)
    each = replace(predictions(n=20000), probabilities=p, labels=(rng.random((20000, 1)) > p.cumsum(1)).sum(1))
    sure = replace(each, method="mmd", probabilities=p**3 / (p**3).sum(1, keepdims=True))
    calibrated, overconfident = compare([each, sure], draws=9)
    assert calibrated.mean["ece"] < 0.02
    assert overconfident.mean["ece"] > 0.1


def test_rows_are_means_over_seeds_with_the_source_first_and_the_oracle_last():
    group = [
        predictions(method=m, seed=s, domain=d)
        for m in ("oracle", "mmd", "source")
        for s in (0, 1, 2)
        for d in ("source", "target")
    ]
    rows = compare(group, draws=99)
    assert [(row.method, row.domain) for row in rows] == [
        (m, d) for m in ("source", "mmd", "oracle") for d in ("source", "target")
    ]
    values = [metrics.accuracy_score(p.labels, p.probabilities.argmax(1)) for p in rows[0].predictions]
    assert rows[0].seeds == (0, 1, 2)
    assert rows[0].mean["accuracy"] == pytest.approx(np.mean(values))
    assert rows[0].sd["accuracy"] == pytest.approx(np.std(values, ddof=1))
    assert float(rows[0].accuracy.low) < np.mean(values) < float(rows[0].accuracy.high)


def test_the_gain_is_paired_and_zero_with_no_width_for_equal_predictions():
    base, better = predictions(skill=0.5), predictions(skill=4.0, offset=1, method="mmd")
    same = Predictions(**{**vars(base), "method": "coral"})
    rows = {row.method: row for row in compare([base, better, same], draws=499)}
    assert rows["source"].gain is None
    assert float(rows["coral"].gain.value) == 0
    difference = rows["mmd"].mean["balanced_accuracy"] - rows["source"].mean["balanced_accuracy"]
    assert float(rows["mmd"].gain.value) == pytest.approx(difference)
    assert float(rows["mmd"].gain.low) > 0


def test_seeds_with_other_test_images_are_not_averaged():
    other = predictions(seed=1, n=50)
    with pytest.raises(InputError, match="other test images"):
        compare([predictions(), other], draws=99)


def test_one_method_trained_in_several_ways_has_a_row_for_each(tmp_path):
    ways = ({}, {"weight": "learned"}, {"target_labels": "abc", "epochs": 60}, {"pixels": "worst:8"})
    plain = {"weight": 1.0, "epochs": 60, "pixels": None}
    group = [
        replace(predictions(method=m, seed=s, offset=k), trained=plain | way)
        for m in ("mmd", "source") for k, way in enumerate(ways) for s in (0, 1)
    ]  # fmt: skip
    rows = compare(group, draws=99)
    names = ["", ", pixels worst:8", ", target labels", ", weight learned"]
    assert sorted(row.method for row in rows) == [m + name for m in ("mmd", "source") for name in names]
    assert {row.seeds for row in rows} == {(0, 1)}
    assert [row.method for row in rows if row.gain is None] == ["source"]
    save_evaluation(rows, tmp_path / "out")
    assert len(list((tmp_path / "out" / "predictions").iterdir())) == len(group)
    assert compare([replace(each, trained={}) for each in group[:2]], draws=9)[0].method == "mmd"


def test_one_training_is_not_counted_as_two_seeds():
    once = predictions()
    with pytest.raises(InputError, match=r"copy.pt and source0.pt are one training twice \(seed 0\)"):
        compare([once, replace(once, model="copy.pt")], draws=9)


def test_the_roc_curve_has_the_area_that_the_table_prints():
    for classes in (2, 3):
        row = compare([predictions(classes=classes, n=600)], draws=9)[0]
        curve = roc(row)
        assert np.trapezoid(curve.true_positives, curve.false_positives) == pytest.approx(row.mean["auc"], abs=0.01)
        assert curve.true_positives[0] == 0
        assert curve.true_positives[-1] == 1


def test_pictures_show_the_numbers_of_the_rows():
    rows = compare([predictions(domain=d, seed=s) for d in ("source", "target") for s in (0, 1)], draws=9)
    bars = [block for block in bars_panel(rows).blocks if isinstance(block, Bars)]
    assert bars[0].y.tolist() == pytest.approx(
        [rows[0].mean[n] for n in ("accuracy", "precision_weighted", "recall_weighted", "f1_weighted", "brier", "auc")]
    )
    curves = [block for block in roc_panel(rows).blocks if isinstance(block, Series)]
    looks = LOOKS.including(block.of for block in [*bars, *curves])
    for blocks in (bars, curves):
        assert [(looks(one.of).line, looks(one.of).filled) for one in blocks] == [("--", False), ("-", True)]
    assert curves[1].name == f"source only on target: AUC {rows[1].mean['auc']:.3f}"
    (cells,) = confusion_panel(rows[0]).blocks
    counts = sum(scores.confusion for scores in rows[0].scores)
    assert [[int(text.split("\n")[1]) for text in row] for row in cells.text] == counts.tolist()


def test_an_evaluation_is_saved_and_can_be_read_again(models, tmp_path):
    rows = evaluate([models], draws=99)
    assert [(row.method, row.domain) for row in rows[:2]] == [("source", "source"), ("source", "target")]
    folder = save_evaluation(rows, tmp_path / "evaluation")
    saved = json.loads((folder / "evaluation.json").read_text())
    assert saved[0]["mean"]["accuracy"] == pytest.approx(rows[0].mean["accuracy"])
    with open(folder / "evaluation.csv") as file:
        table = list(csv.DictReader(file))
    assert [float(line["auc"]) for line in table] == pytest.approx([row.mean["auc"] for row in rows])
    again = Predictions.load(folder / "predictions" / "convnet-adabn-seed0-target.npz")
    np.testing.assert_array_equal(
        again.probabilities,
        next(r for r in rows if r.method == "adabn" and r.domain == "target").predictions[0].probabilities,
    )
    assert all((folder / f"{name}.png").stat().st_size > 5000 for name in ("bars", "roc", "confusion"))
    with pytest.raises(InputError, match="already holds"):
        save_evaluation(rows, folder)


def test_the_table_says_when_nothing_can_be_compared_and_what_an_oracle_is():
    text = describe(compare([predictions(method="mmd"), predictions(method="oracle")], draws=99))
    assert "so the gain from adaptation cannot be seen" in text
    assert "ORACLE was trained on target labels" in text
    assert "cannot be seen" not in describe(compare([predictions(), predictions(method="mmd")], draws=99))


def test_there_must_be_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        find_models([tmp_path])
