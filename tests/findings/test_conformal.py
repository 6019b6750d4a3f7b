# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
from dataclasses import replace

import numpy as np
import pytest
import torch

from robustkit.engine import paint
from robustkit.errors import InputError
from robustkit.files import read_json
from robustkit.findings.certify.conformal import extremes, run_conformal
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.findings.certify.sets import ConformalRecord, ConformalResult, needed, quantile
from robustkit.models import AuditedClassifier, ConvNet, open_checkpoint, save_checkpoint
from robustkit.models.fronts import Repaired, make_front
from robustkit.perturb.values import SingleBand
from tests.audits import make_audit

HOW = {"take_all": True, "values": "single-band", "part": "test"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_audit(tmp_path_factory.mktemp("audit"))[0]


@pytest.fixture(scope="module")
def found(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    how = {"out": folder, "say": lambda line: None, "device": "cpu"}
    return run_certify(model, CertifyRequest(n=20, conformal=0.8, **HOW), **how), folder


@pytest.mark.parametrize("front", [None, "clip"])
def test_extremes_are_those_of_every_cell_painted_and_run(front):
    torch.manual_seed(0)
    network = ConvNet(size=(9, 10)).eval()
    network = network if front is None else Repaired(make_front(front), network).eval()
    classifier = AuditedClassifier(network, input_shape=(3, 9, 10))
    images = torch.rand(2, 3, 9, 10)
    values = SingleBand(torch.zeros(3), torch.ones(3))
    lowest, highest, broken = extremes(classifier, images, values)
    assert broken.tolist() == [0, 0]
    for i in range(2):
        row, column, option = (part.flatten() for part in torch.meshgrid(
            torch.arange(9), torch.arange(10), torch.arange(values.size), indexing="ij"))  # fmt: skip
        value = values.option(images[i, :, row, column].T, option)
        many = images[i].expand(len(row), -1, -1, -1)
        with torch.inference_mode():
            chance = torch.softmax(classifier(paint(many, row[:, None], column[:, None], value[:, None])).double(), 1)
        np.testing.assert_allclose(lowest[i], chance.amin(0), atol=1e-4)
        np.testing.assert_allclose(highest[i], chance.amax(0), atol=1e-4)
        assert (lowest[i] <= chance.amin(0) + 1e-9).all()  # rounding is on the safe side


def test_half_of_the_sample_calibrates_and_the_other_half_is_tested(found):
    result, folder = found
    assert isinstance(result, ConformalResult)
    summary = read_json(folder / "summary.json")
    assert (summary["calibration"], summary["test"]) == (10, 10)
    assert summary["worst"]["threshold"] >= summary["plain"]["threshold"]
    assert summary["worst"]["mean_size"] >= summary["plain"]["mean_size"]
    assert "hold it under any one declared pixel" in result.describe()
    assert "hold it least under the fault" in result.describe()
    assert summary["calibrated_on_images_that_the_model_never_saw"] is True
    assert summary["warnings"] == []
    under = summary["worst"]["coverage_under_faults"]
    assert len(under) > 5
    assert all(one["n"] == 10 for one in under.values())
    assert set(summary["worst"]["coverage_by_class"]) <= {"spiral", "elliptical", "merger"}
    record = ConformalRecord.load(folder / "conformal.npz")
    assert (record.scores(worst=True) >= record.scores(worst=False)).all()
    assert len(result.to_pandas()) == 20
    assert result.plot() is not None
    assert not (folder / "certificates.npz").exists()


def test_which_images_calibrate_follows_from_their_ids_and_not_from_groups(found, model, tmp_path):
    result, _ = found
    how = {"out": tmp_path / "run", "say": lambda line: None, "device": "cpu"}
    other = run_certify(model, CertifyRequest(n=20, conformal=0.8, group=3, **HOW), **how)
    np.testing.assert_array_equal(other.record.calibration, result.record.calibration)
    np.testing.assert_allclose(other.record.lowest, result.record.lowest, atol=1e-5)


def test_worst_score_sets_hold_under_attack_as_often_as_promised():
    """Over many draws of calibration and test images of one population, whatever the scores are."""
    rng = np.random.default_rng(0)
    held, plain = [], []
    for _ in range(300):
        chance = rng.beta(5, 1, 60)
        lowest = chance * rng.uniform(0, 1, 60)
        both = [np.stack([one, 1 - one], 1) for one in (chance, lowest)]
        calibration = np.arange(60) < 30
        record = ConformalRecord(
            ids=np.arange(60).astype(str), labels=np.zeros(60, dtype=np.int64), calibration=calibration, clean=both[0],
            lowest=both[1], highest=both[1], not_finite=np.zeros(60, dtype=np.int64), cells=1, target=0.9,
            faulty=np.zeros((0, 60)), faults=[], unseen=True, class_names=["a", "b"], settings={}, seconds=0.0,
        )  # fmt: skip
        worst = record.scores(worst=True)[~calibration]
        held.append((worst <= record.threshold(worst=True)).mean())
        plain.append((worst <= record.threshold(worst=False)).mean())
    assert np.mean(held) >= 0.9 - 2 * np.std(held) / np.sqrt(300)
    assert np.mean(held) <= 0.94
    assert np.mean(plain) < 0.6  # a calibration on clean images promises nothing of the kind


def test_an_image_with_answers_that_are_not_finite_is_never_held():
    record = ConformalRecord(
        ids=np.array(["a"]), labels=np.array([0]), calibration=np.array([False]), clean=np.array([[0.9, 0.1]]),
        lowest=np.array([[0.9, 0.1]]), highest=np.array([[0.9, 0.1]]), not_finite=np.array([3]), cells=9, target=0.9,
        faulty=np.zeros((0, 1)), faults=[], unseen=True, class_names=["a", "b"], settings={}, seconds=0.0,
    )  # fmt: skip
    assert record.scores(worst=True)[0] == 1.0


@pytest.mark.parametrize("target", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_so_many_calibration_images_are_needed_and_no_fewer(target):
    n = needed(target)
    quantile(np.zeros(n), target)
    with pytest.raises(InputError, match=f"needs at least {n} calibration images"):
        quantile(np.zeros(n - 1), target)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conformal": 0.95}, "needs at least 19 calibration images, and half of 20 are 10; ask for --n 38"),
        ({"conformal": 1.0}, "above 0 and below 1"),
        ({"conformal": float("nan")}, "above 0 and below 1"),
        ({"conformal": 0.8, "part": "train"}, "trained on or chosen by"),
        ({"conformal": 0.8, "part": "all"}, "trained on or chosen by"),
        ({"conformal": 0.8, "budget": 10}, "leave --budget out"),
        ({"conformal": 0.8, "values": "line"}, "use --values corners"),
        ({"conformal": 0.8, "values": "corners+edge"}, r"omit the \+edge"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_and_leaves_nothing(model, tmp_path, changes, words):
    def run():
        request = CertifyRequest(**{"n": 20, **HOW, **changes})
        return run_conformal(model, request, out=tmp_path / "run", say=lambda line: None, device="cpu")

    with pytest.raises(InputError, match=words):
        run()
    assert not (tmp_path / "run").exists()


def test_the_coverage_under_a_fault_is_that_of_its_images_run_through_the_network(found, model):
    result, _ = found
    from robustkit.findings.sweep.suites import faults_of, job_of

    sample, record = result.sample, result.record
    faults, _ = faults_of(sample)
    place = next(i for i, fault in enumerate(faults) if fault.name == "gaussian")
    images = list(job_of(sample, faults, 0).faulty(slice(0, 20)))[place]
    with torch.inference_mode():
        chance = torch.softmax(sample.checkpoint.classifier(images).double(), 1)
    expected = chance[torch.arange(20), sample.labels]
    np.testing.assert_allclose(record.faulty[place], expected, atol=1e-5)
    assert np.abs(record.faulty[place] - record.clean[np.arange(20), record.labels]).max() > 1e-4


def test_a_model_that_says_nothing_of_its_training_is_warned_of(model, tmp_path):
    opened = open_checkpoint(model)
    data = opened.card.data["path"]
    save_checkpoint(tmp_path / "net.pt", opened.classifier.module, replace(opened.card, data={}))
    said = []
    request = CertifyRequest(n=20, conformal=0.8, **{**HOW, "part": "all"}, data=data)
    result = run_conformal(tmp_path / "net.pt", request, out=tmp_path / "run", say=said.append, device="cpu")
    assert any("WARNING: nothing says that the model was not trained" in line for line in said)
    assert "was not trained" in read_json(tmp_path / "run" / "summary.json")["warnings"][-1]
    assert not result.record.unseen


def test_what_a_target_was_trained_on_counts_as_seen(model, tmp_path):
    opened = open_checkpoint(model)
    card, data = opened.card, opened.card.data
    test, target = data["split"]["test"], {"split": {"train": [], "valid": data["split"]["test"][:3]}}
    for place in ({"target": target}, {"target": {}, "more_targets": [target]}):
        save_checkpoint(tmp_path / "net.pt", opened.classifier.module, replace(card, data={**data, **place}))
        request = CertifyRequest(n=len(test), conformal=0.8, data=data["path"], **HOW)
        with pytest.raises(InputError, match="holds 3 images that the model was trained on or chosen by"):
            run_conformal(tmp_path / "net.pt", request, out=tmp_path / "run", say=lambda line: None, device="cpu")


def test_images_without_labels_are_refused(model, tmp_path):
    opened = open_checkpoint(model)
    save_checkpoint(tmp_path / "net.pt", opened.classifier.module, replace(opened.card, data={}))
    np.save(tmp_path / "images.npy", np.random.default_rng(0).normal(0, 3, (20, 3, 24, 24)).astype(np.float32))
    request = CertifyRequest(n=20, conformal=0.8, take_all=True, data=tmp_path / "images.npy", part="all")
    with pytest.raises(InputError, match="label"):
        run_conformal(tmp_path / "net.pt", request, out=tmp_path / "run", say=lambda line: None, device="cpu")
