import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robustkit.auditing.merge import merge_runs
from robustkit.cli import main
from robustkit.data import ImageSet
from robustkit.data.rates import RATES, SEVERITIES, rate_of
from robustkit.data.survey import LSST, Depth
from robustkit.errors import InputError
from robustkit.findings.hazard.measure import Hazard, run_hazard
from robustkit.findings.hazard.record import HazardRecord, HazardRequest
from robustkit.findings.hazard.summary import chance, describe, drift, per_million, rarely, summary, total
from robustkit.perturb.faults.registry import HITS
from robustkit.perturb.rare import rare_chance
from robustkit.runs.measurement import start
from robustkit.seeds import Streams
from robustkit.stats import bounded_mean
from tests.audits import make_audit


def silent(line):
    """Says nothing."""


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    model, data = make_audit(folder)
    images = ImageSet.load(data)
    return model, replace(images, meta=Depth(LSST, 10, 10).meta()).save(folder / "lsst")


def record_of(chances, rate, *, clean=None, classes=2, events=100):
    """A record whose images change to the other class in a share of the events."""
    chances = np.asarray(chances, float)
    clean = np.zeros(chances.shape[1], int) if clean is None else np.asarray(clean)
    hits = np.round(chances * events).astype(int)
    became = np.zeros((*chances.shape, classes + 1), int)
    for i, label in enumerate(clean):
        became[:, i, label] = events - hits[:, i]
        became[:, i, 1 - label] = hits[:, i]
    faults = ["cosmic-ray", "satellite"][: len(chances)]
    return HazardRecord(
        ids=np.array([str(i) for i in range(len(clean))]), true=clean, clean=clean, faults=faults, became=became,
        level=np.ones((len(chances), events)), units=["pixels"] * len(faults), rate=np.asarray(rate, float),
        source=["somewhere (2026)"] * len(faults), kept=1.0, depth="Y10", class_names=["a", "b"], settings={},
        rare=np.empty((len(chances), 0, len(clean))),
    )  # fmt: skip


def test_the_expected_changes_are_rate_times_chance_and_add_up():
    record = record_of([[0.1, 0.0, 0.2, 0.1], [0.5, 0.5, 0.5, 0.5]], [0.02, 0.001])
    assert per_million(record, 0)["value"] == pytest.approx(1e6 * 0.02 * 0.1, rel=1e-2)
    assert total(record)["value"] == pytest.approx(1e6 * (0.02 * 0.1 + 0.001 * 0.5), rel=1e-2)
    assert total(record, kept=0.5)["value"] == pytest.approx(total(record)["value"] / 2, rel=1e-2)


@pytest.mark.parametrize("kept", [1.0, 1e-3, 1e-9])
def test_no_rate_is_too_small_for_its_interval(kept):
    chances = np.linspace(0, 1, 31)
    record = record_of([chances, chances[::-1]], [0.002, 1e-4], events=7)
    found = total(record, kept=kept)
    assert found["low"] < found["value"] < found["high"]
    assert found["value"] == pytest.approx(1e6 * 0.0021 * kept * 0.5, rel=0.05)


def test_an_object_changes_once_however_often_it_is_hit():
    record = record_of([[0.5] * 20, [1.0] * 20], [40.0, 1.0])
    found = total(record)
    assert found["value"] == pytest.approx(1e6 * (1 - np.exp(-21)))
    assert found["high"] <= 1e6
    assert drift(record)["a"] == pytest.approx(-found["value"])


def test_the_classes_lose_what_others_gain():
    record = record_of([[0.1, 0.3, 0.0, 0.0]], [0.01], clean=[0, 0, 1, 1])
    moved = drift(record)
    assert moved["a"] == pytest.approx(-1e6 * 0.01 * 0.1, rel=1e-2)
    assert moved["a"] + moved["b"] == pytest.approx(0)


def test_a_fault_without_a_rate_says_which_rate_would_be_too_many():
    record = record_of([[0.1, 0.1, 0.1, 0.1], [0.5, 0.5, 0.5, 0.5]], [0.02, np.nan])
    assert per_million(record, 1) is None
    numbers = summary(record)["faults"]["satellite"]
    assert numbers["most_events_per_image_for_1_in_1000"] == pytest.approx(1e-3 / chance(record, 1).high)
    assert "unknown rate: at most" in describe(record)
    nothing = record_of([[0.1, 0.1]], [np.nan])
    assert total(nothing) is None
    assert "give rates with --rate" in describe(nothing)


def test_what_was_never_seen_has_an_upper_end():
    record = record_of(np.zeros((1, 150)), [0.01])
    found = per_million(record, 0)
    assert found["value"] == found["low"] == 0
    assert 0 < found["high"] < 1e6 * 0.01 * 0.05


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, held, surveys = np.random.default_rng(0), 0, 200
    truth = 0.02 * (0.3 * 0.25)  # to the first order, which is all there is at this rate
    for _ in range(surveys):
        chances = np.where(rng.random(150) < 0.3, rng.beta(1, 3, 150), 0.0)  # seven in ten are never flipped
        found = total(record_of(rng.binomial(40, chances)[None] / 40, [0.02], events=40))
        held += found["low"] <= 1e6 * truth <= found["high"]
    assert 0.93 <= held / surveys <= 0.97


@pytest.mark.parametrize("share", [1.0, 0.4, 0.1])
def test_intervals_of_a_chance_hold_the_truth_as_often_as_they_say(share):
    rng = np.random.default_rng(1)
    chances = np.where(rng.random((150, 150)) < share, rng.beta(0.5, 2, (150, 150)), 0.0)  # surveys of 150 images
    found = bounded_mean(rng.binomial(40, chances) / 40, against=0.0)
    held = (found.low <= share * 0.2) & (share * 0.2 <= found.high)
    assert 0.91 <= held.mean() <= 0.985


def test_splitting_climbs_to_a_chance_of_one_in_a_million():
    def value(who, points):
        return np.where(who == 0, 0.01 - np.abs(points - 0.3).max(1), -1.0)  # one subject of four, a cube of 0.02**3

    found = [rare_chance(value, 4, 3, np.random.default_rng(seed)) for seed in range(40)]
    assert np.mean([one.chance for one in found]) == pytest.approx(2e-6, rel=0.2)
    assert max(one.tried for one in found) < 60_000


def test_splitting_says_zero_where_nothing_can_change():
    assert rare_chance(lambda who, points: np.full(len(who), -1.0), 3, 2, np.random.default_rng(0)).chance == 0


def test_splitting_agrees_with_what_trying_every_pixel_counts(audit):
    model, data = audit
    asked = {"data": data, "n": 6, "take_all": True, "faults": ("hot-pixel",), "depths": ("own",), "events": 5}
    hazard = start(Hazard, model, HazardRequest(**asked, rare=True), "cpu", silent)
    found = hazard.found().record
    assert found.rare.shape == (1, 2, 6)
    assert (found.rare >= 0).all()
    assert (found.rare <= 1).all()
    assert rarely(found, 0)["value"] == pytest.approx(found.rare.mean())
    parts = [hazard.measure(part, None)["hazard"] for part in (slice(0, 1), slice(1, 4), slice(4, 6))]
    np.testing.assert_array_equal(np.concatenate([part.rare for part in parts], 2), found.rare)
    np.testing.assert_array_equal(np.concatenate([part.became for part in parts], 1), found.became)
    assert "by splitting" in describe(found)


def test_every_rate_has_a_source_and_a_year():
    assert {rate.fault for rate in RATES} == {"cosmic-ray", "hot-pixel", "dead-pixel"}
    assert all(rate.source and 2000 <= rate.year <= 2030 and rate.events > 0 for rate in RATES)
    assert rate_of("lsst", "satellite") is None
    assert rate_of("des", "cosmic-ray") is None
    visits, exposure = np.array([80.0, 184.0]), np.array([2400.0, 5520.0])
    assert rate_of("lsst", "hot-pixel").expected((100, 100), exposure, visits).sum() == pytest.approx(1e-5 * 1e4 * 264)
    assert rate_of("lsst", "cosmic-ray").expected((100, 100), exposure, visits)[1] == pytest.approx(0.678, rel=1e-2)


def test_the_documented_rates_are_those_of_the_code_with_their_sources():
    page = (Path(__file__).parents[2] / "docs" / "concepts" / "accidents.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for fault in HITS:
        (row,) = [row for row in rows if f"`{fault}`" in row]
        rate = rate_of("lsst", fault)
        if rate is None:
            assert "nobody publishes" in row
        else:
            assert rate.source.partition(":")[0] in row
            assert str(rate.year) in row
    assert all(one.source for one in SEVERITIES.values())


def test_severities_follow_their_quantiles():
    lengths = SEVERITIES["cosmic-ray"].at((np.arange(10_000) + 0.5) / 10_000)
    assert np.median(lengths) == pytest.approx(8.5, rel=1e-3)
    assert np.quantile(lengths, 0.84) == pytest.approx(20.8, rel=1e-2)


def test_the_command_leaves_what_it_says(audit, tmp_path, capsys):
    model, data = audit
    asked = ["--data", str(data), "--n", "6", "--all", "--events", "3", "--fault", "cosmic-ray", "--fault", "satellite"]
    with pytest.raises(SystemExit) as ended:
        main(["hazard", "--model", str(model), *asked, "--rate", "satellite=0.01", "--out", str(tmp_path / "run")])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    record = HazardRecord.load(tmp_path / "run" / "hazard.npz")
    numbers = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert record.became.sum(2).min() == record.became.sum(2).max() == 3
    assert record.source[1] == "given"
    assert record.rate[1] == 0.01
    assert numbers["looked_at"] == len(record.ids)
    assert "of a million objects" in said
    assert "in Y10 and" in said
    assert "in Y1 and" in said
    assert "in a single visit change class because of the detector" in said
    rows = list(csv.DictReader((tmp_path / "run" / "hazard.csv").read_text().splitlines()))
    assert len(rows) == 3 * 2 * (1 + len(record.class_names))
    events = {row["depth"]: float(row["events_per_image"]) for row in rows if row["fault"] == "cosmic-ray"}
    assert events["Y1"] == pytest.approx(events["Y10"] / 10)
    assert events["visit"] == pytest.approx(events["Y10"] * 3 / 448)
    given = {row["depth"]: float(row["events_per_image"]) for row in rows if row["fault"] == "satellite"}
    assert given["Y1"] == pytest.approx(0.001)


def test_a_shallower_exposure_has_the_noise_of_one(audit):
    model, data = audit
    hazard = start(Hazard, model, HazardRequest(data=data, n=6, take_all=True, depths=("Y1", "visit")), "cpu", silent)
    stored = torch.zeros(4, 3, 100, 100)
    for depth, visits in zip(hazard.depths, (80, 8, 1), strict=True):
        made = depth.images(stored, hazard.conditions, Streams(0, list("abcd"), "test"))
        assert depth.conditions.visits[0] == pytest.approx(visits)
        own = hazard.conditions
        expected = (own.visits / depth.conditions.visits - 1) * own.background
        np.testing.assert_allclose(made.var((0, 2, 3)).numpy(), expected, rtol=0.05)


@pytest.mark.parametrize(
    ("depths", "why"),
    [
        (("Y20",), "deeper than the images"),
        (("one year",), "expected --depth as own, visit or years such as Y1"),
        (("Y0",), "expected --depth as"),
    ],
)
def test_depths_that_cannot_be_made_are_refused(audit, depths, why):
    model, data = audit
    with pytest.raises(InputError, match=why):
        start(Hazard, model, HazardRequest(data=data, n=6, take_all=True, depths=depths), "cpu", silent)


def test_groups_change_no_event(audit):
    one, other = (_found(*audit, group) for group in (2, 16))
    np.testing.assert_array_equal(one.became, other.became)


def test_a_run_that_was_stopped_is_resumed_and_shards_are_merged(audit, tmp_path):
    model, data = audit
    request = HazardRequest(data=data, n=6, take_all=True, events=2, faults=("hot-pixel",), group=3)
    whole = run_hazard(model, request, out=tmp_path / "whole", device="cpu", say=silent)
    (tmp_path / "whole" / "parts" / "0000001.npz").unlink()
    (tmp_path / "whole" / "summary.json").unlink()
    again = run_hazard(model, request, out=tmp_path / "whole", resume=True, device="cpu", say=silent)
    for k in (1, 2):
        run_hazard(model, request, out=tmp_path / f"{k}", shard=f"{k}/2", device="cpu", say=silent)
    merged = merge_runs([tmp_path / "1", tmp_path / "2"], out=tmp_path / "merged", say=silent)
    for one in (again, merged):
        np.testing.assert_array_equal(one.record.became, whole.record.became)


def _found(model, data, group):
    request = HazardRequest(data=data, n=6, take_all=True, events=2, faults=("hot-pixel", "bad-column"), group=group)
    return start(Hazard, model, request, "cpu", silent).found().record


def test_images_without_units_are_refused(audit, tmp_path):
    model, data = audit
    bare = replace(ImageSet.load(data), units="unknown").save(tmp_path / "bare")
    with pytest.raises(InputError, match="needs images in electrons"):
        start(Hazard, model, HazardRequest(data=bare, n=6, take_all=True), "cpu", silent)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"faults": ("cosmic",)}, "did you mean 'cosmic-ray'"),
        ({"faults": ("cosmic-ray", "cosmic-ray")}, "given twice"),
        ({"events": 0}, "--events must be from 1 to"),
        ({"kept": 1.5}, "--kept must be between 0 and 1"),
        ({"rates": ("satellite=-1",)}, "events per image from 0 to 1000"),
        ({"rates": ("satellite=2000",)}, "events per image from 0 to 1000"),
        ({"rates": ("satellite",)}, "events per image from 0 to 1000"),
        ({"rates": ("satelite=1",)}, "did you mean 'satellite'"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, why):
    with pytest.raises(InputError, match=why):
        HazardRequest(**wrong)
