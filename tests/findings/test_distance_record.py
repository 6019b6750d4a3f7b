# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Distances of a whole run: nothing dropped, numbers by their definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.files import jsonable, read_json, write_json
from robustkit.findings.distances.measure import measure_distances
from robustkit.findings.distances.record import NOISY, PIXEL, DistanceRecord
from robustkit.findings.distances.summary import (
    DistancesResult,
    DistanceSummary,
    caveats,
    clouds,
    describe,
    lasting,
    read_summary,
    summarize,
)
from robustkit.latent.distances import within_class
from robustkit.latent.embeddings import pack_head
from robustkit.latent.geometry import crossings, margins
from robustkit.latent.heads import ReLUHead
from robustkit.stats import kaplan_meier
from tests.embeddings import make_attack_record, make_embeddings


@pytest.fixture(scope="module")
def found():
    return make_embeddings()


@pytest.fixture(scope="module")
def record(found):
    return measure_distances(found, make_attack_record(found), model="net")


def test_distances_are_those_of_the_twins_and_nothing_is_dropped(found, record):
    np.testing.assert_allclose(record.euclidean[NOISY], np.linalg.norm(found.noisy - found.clean, axis=1), rtol=1e-5)
    moved = (found.attacked - found.clean)[found.flipped].astype(float)
    np.testing.assert_allclose(record.euclidean[PIXEL][found.flipped], np.linalg.norm(moved, axis=1))
    assert np.isnan(record.euclidean[PIXEL][~found.flipped]).all()
    assert len(record.ids) == len(found.ids)
    np.testing.assert_array_equal(record.censored, found.attempted & ~found.flipped)
    assert record.censored.sum() > 10
    scatter = within_class(found.clean, found.true).scatter
    np.testing.assert_allclose(record.in_scatter[NOISY], record.euclidean[NOISY] / scatter)
    np.testing.assert_allclose(record.margin, margins(found.head, found.clean).distance)


def test_flips_reach_the_boundary_as_far_as_they_were_pushed(found, record):
    np.testing.assert_allclose(record.reach[PIXEL][found.flipped], 1.3, rtol=1e-4)
    t = crossings(found.head, found.clean, found.noisy.astype(float) - found.clean).t
    np.testing.assert_allclose(record.crossing[NOISY], t)
    np.testing.assert_array_equal(record.reach[NOISY] > 1, found.noisy_class != found.clean_class)


def test_a_search_that_gave_up_is_censored_at_what_it_spent(found, record):
    attack = make_attack_record(found)
    np.testing.assert_array_equal(record.fell, found.flipped)
    assert np.isnan(record.queries[~found.attempted]).all()
    np.testing.assert_array_equal(record.queries[record.censored], 400)
    one = np.flatnonzero(found.flipped)[3]
    assert record.queries[one] == attack.queries[np.flatnonzero(attack.image == one)[0]]
    curve = lasting(record, "queries")
    known = found.attempted
    expected = kaplan_meier(record.queries[known], found.flipped[known])
    assert (curve.n, curve.flipped) == (known.sum(), found.flipped.sum())
    np.testing.assert_array_equal(curve.surviving, expected.surviving)


def test_the_record_is_saved(record, tmp_path):
    again = DistanceRecord.load(record.save(tmp_path / "d.npz"))
    np.testing.assert_array_equal(again.whitened, record.whitened)
    assert [measure.field for measure in again.measures()][-1] == "decision_share"


def test_a_summary_says_its_denominators(found, record):
    summary = summarize(record, found, draws=199)
    noisy, pixel = summary.perturbations["noisy"], summary.perturbations["one pixel"]
    assert (noisy.n, pixel.n) == (60, found.flipped.sum())
    d = record.euclidean[PIXEL][found.flipped]
    assert pixel.measures["euclidean"].median.value == pytest.approx(np.median(d))
    assert pixel.measures["euclidean"].standard_error == pytest.approx(d.std(ddof=1) / np.sqrt(len(d)))
    assert pixel.changed.value == 1.0
    assert summary.between.n == found.flipped.sum()
    assert summary.cloud_mmd.n == 60
    text = describe(record, summary)
    assert f"of {found.attempted.sum()} images attacked {found.flipped.sum()} were flipped" in text
    assert f"{record.censored.sum()} never were" in text
    assert "1 / t*: median 1.3" in text
    again = summarize(record, found, draws=199)
    assert str(again.between) == str(summary.between)


def written(record, summary, folder):
    """`summary.json` of one model, as the command and an audit write it."""
    result = DistancesResult(record, None, None, [(record, summary)], None)
    write_json(folder / "summary.json", result.summary())
    return folder


def test_the_numbers_of_a_summary_come_back_as_numbers(found, record, tmp_path):
    summary = summarize(record, found, draws=99)
    again = read_summary(written(record, summary, tmp_path), record.model)
    assert isinstance(again, DistanceSummary)
    assert jsonable(again) == jsonable(summary)
    assert caveats(record, again) == caveats(record, summary)
    assert [str(one) for one in clouds(again)] == [str(one) for one in clouds(summary)]
    assert str(again.between) == str(summary.between)
    alone = summarize(record, replace(found, noisy=np.full_like(found.noisy, np.nan)), draws=99)
    assert read_summary(written(record, alone, tmp_path), record.model).cloud_mmd is None


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("attacked",), "many"),
        (("between",), 5),
        (("between", "sensitivity"), [{"bins": 5}]),
        (("perturbations",), [1, 2]),
        (("perturbations", "noisy", "measures", "euclidean", "median"), None),
        (("survival", "times"), [[0], "x"]),
    ],
)
def test_a_damaged_summary_is_refused(found, record, tmp_path, where, value):
    folder = written(record, summarize(record, found, draws=99), tmp_path)
    everything = read_json(folder / "summary.json")
    inside = everything["models"][record.model]
    for name in where[:-1]:
        inside = inside[name]
    inside[where[-1]] = value
    write_json(folder / "summary.json", everything)
    with pytest.raises(InputError, match="does not hold a readable DistanceSummary"):
        read_summary(folder, record.model)
    with pytest.raises(InputError, match="does not hold a readable DistanceSummary"):
        read_summary(folder, "another")


def test_what_has_to_be_known_beside_the_numbers_is_said(found, record):
    summary = summarize(record, found, draws=99)
    censored = int(record.censored.sum())
    assert f"{censored} never were" in caveats(record, summary)[0]
    lines = caveats(replace(record, affine=False, shrinkage=0.25), summary)
    assert any("not affine" in line for line in lines)
    assert any("shrunk by 0.25" in line for line in lines)


def test_without_noisy_twins_or_flips_the_rest_is_measured(found):
    alone = replace(found, noisy=np.full_like(found.noisy, np.nan))
    record = measure_distances(alone, make_attack_record(found), model="net")
    summary = summarize(record, alone, draws=99)
    assert list(summary.perturbations) == ["one pixel"]
    assert summary.between is None
    assert summary.cloud_mmd is None
    never = replace(found, flipped=np.zeros_like(found.flipped), attacked=np.full_like(found.attacked, np.nan))
    record = measure_distances(never, make_attack_record(never), model="net")
    summary = summarize(record, never, draws=99)
    assert list(summary.perturbations) == ["noisy"]
    assert "0 were flipped" in describe(record, summary)
    assert summary.survival.flipped == 0


def test_a_head_that_is_not_affine_has_no_crossings(found):
    rng = np.random.default_rng(0)
    sizes, parameters = pack_head(
        ReLUHead((rng.normal(size=(5, 12)), rng.normal(size=(3, 5))), (rng.normal(size=5), rng.normal(size=3)))
    )
    record = measure_distances(
        replace(found, head_sizes=sizes, head_parameters=parameters), make_attack_record(found), model="net"
    )
    assert [measure.field for measure in record.measures()] == ["euclidean", "in_scatter", "whitened"]
    assert np.isnan(record.reach).all()
    summary = summarize(record, found, draws=99)
    assert "reach" not in summary.perturbations["noisy"].measures
    assert "the head is not affine" in describe(record, summary)


def test_what_cannot_be_measured_is_refused(found):
    attack = make_attack_record(found)
    with pytest.raises(InputError, match="of one class"):
        measure_distances(replace(found, true=np.zeros_like(found.true)), attack, model="net")
    with pytest.raises(InputError, match="all distances of the noisy images are 0"):
        measure_distances(replace(found, noisy=found.clean), attack, model="net")
    few = {name: getattr(found, name)[:3] for name in ("ids", "true", "clean", "noisy", "attacked", "flipped")}
    with pytest.raises(InputError, match="has a single one"):
        measure_distances(replace(found, **few), attack, model="net")
