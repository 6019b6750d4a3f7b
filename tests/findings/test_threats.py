import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from robustkit.cli import main
from robustkit.data import ImageSet
from robustkit.data.survey import LSST, Depth
from robustkit.engine import make_evaluator
from robustkit.errors import InputError
from robustkit.findings.attack.record import AttackRequest
from robustkit.findings.threats.measure import Threat
from robustkit.findings.threats.record import ThreatRecord
from robustkit.perturb.conditions import conditions_of
from robustkit.perturb.fault_scorer import FaultScorer, every_point
from robustkit.perturb.faults.space import FaultSpace
from robustkit.runs.measurement import start
from tests.audits import make_audit
from tests.own_fault import own_fault


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    model, data = make_audit(folder)
    images = ImageSet.load(data)
    return model, replace(images, meta=Depth(LSST, 10, 10).meta()).save(folder / "lsst")


def threat_of(audit, text, **more):
    return start(Threat, audit[0], AttackRequest(n=3, data=audit[1], threat=text, take_all=True, **more), "cpu", str)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("cosmic-ray", 24 * 24), ("cosmic-ray,level=3", 24 * 24), ("hot-pixel", 24 * 24 * 3),
        ("dead-pixel", 24 * 24 * 3),
        ("bad-column,width=2", 23 * 3), ("satellite", 24 * 24), ("saturation", 24 * 24),
    ],
)  # fmt: skip
def test_every_point_has_the_logits_of_the_whole_image_and_every_place_is_one(audit, text, places):
    measure = threat_of(audit, text)
    stored = torch.from_numpy(np.array(measure.sample.whole.images[measure.sample.rows[:1]], np.float32))
    classifier = measure.sample.checkpoint.classifier
    scorer = FaultScorer(classifier, make_evaluator(classifier, measure.sample.inputs[:1]), measure.space, stored)
    points = np.random.default_rng(0).uniform(0, 1, (40, len(measure.space)))
    points[:2] = 0.0
    points[2:4] = 1.0
    plain = torch.stack([scorer.alone(point)[1] for point in points])
    torch.testing.assert_close(scorer(points), plain, atol=1e-3, rtol=1e-4)
    assert len(plain.unique(dim=0)) > 20
    assert len(every_point(measure.space, points[5])) == places


def test_a_complete_pass_counts_what_brute_force_counts(audit):
    measure = threat_of(audit, "bad-column", searches=("complete",))
    record = measure.result(measure.measure(slice(0, 3), None), None).record
    space, classifier = measure.space, measure.sample.checkpoint.classifier
    assert space.finite
    for row, image in enumerate(record.image):
        stored = torch.from_numpy(np.array(measure.sample.whole.images[measure.sample.rows[[image]]], np.float32))
        count = 0
        for level in space.named.kind.levels:
            fault = space.named.at(level)
            for column in range(24):
                for band in range(3):
                    streams = type("S", (), {"__len__": lambda self: 1})()
                    drawn = iter([column, band])
                    streams.integers = lambda high, *shape, drawn=drawn: np.array([[next(drawn)]])
                    hit = fault(stored, conditions=space.conditions, streams=streams)
                    count += int(classifier(space.stretch(hit)).argmax()) != int(record.true[image])
        assert record.queries[row] == 5 * 24 * 3
        assert record.reached[row] == count
        assert record.flipped[row] == (count > 0)


def test_a_flip_is_proved_and_its_parameters_make_it_again(audit):
    measure = threat_of(audit, "cosmic-ray", budget=300)
    record = measure.result(measure.measure(slice(0, 3), None), None).record
    assert record.flipped.any()
    assert set(record.searches) == {"de-best1bin", "random"}
    for p, image in enumerate(record.shown):
        classes = measure.sample.checkpoint.classifier(torch.from_numpy(record.after[p : p + 1])).argmax(1)
        mine = record.new_class[(record.image == image) & record.flipped]
        assert int(classes[0]) in mine
        assert int(classes[0]) != record.true[image]
    level = record.values[:, record.names.index("level (pixels of length)")]
    assert ((level >= 4) & (level <= 75)).all()
    again = measure.result(measure.measure(slice(1, 3), None), None).record
    np.testing.assert_array_equal(again.values, record.values[record.image > 0])  # whatever the batch


def test_the_command_leaves_table_record_and_pictures(audit, tmp_path, capsys):
    out = tmp_path / "run"
    asked = ["--model", str(audit[0]), "--data", str(audit[1]), "--n", "4", "--all", "--budget", "200"]
    with pytest.raises(SystemExit) as ended:
        main(["attack", *asked, "--threat", "hot-pixel,level=20:5000", "--out", str(out)])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "correct images are flipped by some such fault" in said
    assert "robustkit audit" in said  # and no window of an attack on pixels
    rows = list(csv.DictReader((out / "threat.csv").read_text().splitlines()))
    record, numbers = ThreatRecord.load(out / "threat.npz"), json.loads((out / "summary.json").read_text())
    assert numbers["correct"] * 2 == len(rows) == len(record.image)
    assert {"level (electrons per second)", "row (pixel)", "column (pixel)", "band"} <= set(rows[0])
    assert (out / "worst-cases.png").exists() == bool(len(record.shown))


def test_a_fault_of_ones_own_becomes_a_threat_by_its_ranges(audit, tmp_path):
    (tmp_path / "own.py").write_text(own_fault("(1, 4)"))
    measure = threat_of(audit, f"{tmp_path}/own.py:Corner", searches=("complete", "random"), budget=50, footprints=3)
    record = measure.result(measure.measure(slice(0, 2), None), None).record
    assert record.names == ["level (electrons)", "width", "draw 1"]
    assert set(record.values[:, 1]) <= {1, 2, 3, 4}
    assert record.queries[0] == 3 * 4


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hot-pixel,level=5:inf", "two finite numbers"), ("hot-pixel,level=9:5", "low:high"),
        ("hot-pixel,level=a:b", "low:high"),
        ("hot-pixel,level=1:1e9", "takes a level of"), ("hot-pixel,sise=1:2", "no field"), ("hot-pxel", "hot-pixel"),
        ("read-noise", "normal noise"), ("jpeg", "after the stretch"),
    ],
)  # fmt: skip
def test_ranges_and_faults_that_make_no_sense_are_refused(audit, text, why):
    with pytest.raises(InputError, match=why):
        threat_of(audit, text)


def test_what_does_not_go_with_a_threat_is_refused(audit, tmp_path):
    with pytest.raises(InputError, match="omit --values"):
        AttackRequest(threat="hot-pixel", values="corners")
    with pytest.raises(InputError, match="--footprints must be at least 1"):
        AttackRequest(threat="hot-pixel", footprints=0)
    with pytest.raises(InputError, match="complete"):
        threat_of(audit, "hot-pixel", searches=("best-first",))
    images = ImageSet.load(audit[1])
    plain = replace(images, units="unknown", meta={}, bounds=None).save(tmp_path / "plain")
    with pytest.raises(InputError, match="needs images in electrons"):
        threat_of((audit[0], plain), "hot-pixel")
    (tmp_path / "endless.py").write_text(own_fault('(1, float("inf"))'))
    with pytest.raises(InputError, match="two finite numbers"):
        threat_of(audit, f"{tmp_path}/endless.py:Corner")


def test_a_fault_that_leaves_no_charge_is_no_change(audit):
    measure = threat_of(audit, "cosmic-ray,level=3")
    conditions, image = conditions_of(measure.sample.whole), torch.zeros(1, 3, 24, 24)
    full = replace(conditions, full_well=conditions.sky * 1e-6)  # no pixel has room for any charge
    space = FaultSpace("cosmic-ray,level=3", full, (24, 24), measure.space.stretch)
    classifier = measure.sample.checkpoint.classifier
    scorer = FaultScorer(classifier, make_evaluator(classifier, space.stretch(image)), space, image)
    torch.testing.assert_close(scorer(np.full((3, len(space)), 0.5)), scorer.evaluator.clean().expand(3, -1))


def test_shards_of_a_threat_are_merged(audit, tmp_path):
    asked = ["--model", str(audit[0]), "--data", str(audit[1]), "--n", "4", "--all", "--budget", "100", "--group", "2"]
    for argv in (
        ["attack", *asked, "--threat", "hot-pixel", "--shard", "1/2", "--out", str(tmp_path / "run-1")],
        ["attack", *asked, "--threat", "hot-pixel", "--shard", "2/2", "--out", str(tmp_path / "run-2")],
        ["merge", str(tmp_path / "run-1"), str(tmp_path / "run-2"), "--out", str(tmp_path / "both")],
        ["attack", *asked, "--threat", "hot-pixel", "--out", str(tmp_path / "whole")],
    ):
        with pytest.raises(SystemExit) as ended:
            main(argv)
        assert ended.value.code == 0
    both, whole = (ThreatRecord.load(tmp_path / name / "threat.npz") for name in ("both", "whole"))
    np.testing.assert_array_equal(both.values, whole.values)
