# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Two models on the same images, where it is known what differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.findings.distances.comparison import compare_models, describe_comparison
from robustkit.findings.distances.measure import measure_distances
from robustkit.findings.distances.record import PIXEL, shared_measures
from robustkit.stats import flips_sooner, holm, paired_shift
from tests.embeddings import make_attack_record, make_embeddings


def measured(found, name):
    return measure_distances(replace(found, model_sha256=name), make_attack_record(found), model=name)


@pytest.fixture(scope="module")
def pair():
    """The same images; the second model's flips go farther, and it has images that the first has not."""
    first = measured(make_embeddings(), "base")
    other = measured(make_embeddings(push=2.0), "adapted")
    rows = np.r_[np.arange(59, -1, -1), 0]  # in another order, and one image more
    fields = ("ids", "true", "clean_class", "attempted", "flipped", "margin", "queries", "generations", "fell")
    wide = ("new_class", "euclidean", "in_scatter", "whitened", "crossing", "reach", "decision_share")
    turned = {name: getattr(other, name)[rows] for name in fields}
    turned |= {name: getattr(other, name)[:, rows] for name in wide}
    turned["ids"] = np.r_[turned["ids"][:-1], ["stranger"]]
    return first, replace(other, **turned)


@pytest.fixture(scope="module")
def compared(pair):
    return compare_models(*pair, draws=199)


def one(compared, perturbation, field):
    return next(c for c in compared.comparisons if (c.perturbation, c.measure.field) == (perturbation, field))


def test_images_are_paired_by_their_ids(pair, compared):
    assert compared.shared == 60
    found = one(compared, "one pixel", "euclidean")
    first = pair[0].euclidean[PIXEL]
    assert found.n == np.isfinite(first).sum()
    for ratio in (found.ratio_of_means, found.ratio_of_medians, found.geometric_ratio):
        assert ratio.value == pytest.approx(2 / 1.3, rel=1e-4)
    assert found.shift.rank_biserial == 1.0
    assert found.shift.larger == found.n
    both = np.isfinite(first)
    assert found.shift.p == paired_shift(first[both], first[both] * 2 / 1.3).p
    assert one(compared, "one pixel", "reach").first.median.value == pytest.approx(1.3, rel=1e-4)


def test_what_can_be_compared_stands_first_and_what_a_shrunk_covariance_gave_is_not_called_so(pair, compared):
    assert next(c.measure.field for c in compared.comparisons if c.perturbation == "one pixel") == "reach"
    plain, shrunk = (replace(record, shrinkage=value) for record, value in zip(pair, (0.0, 0.06), strict=True))
    names = {measure.field: measure.invariant for measure in shared_measures([plain, shrunk])}
    assert names["reach"]
    assert not names["whitened"]
    assert {m.field: m.invariant for m in plain.measures()}["whitened"]
    assert not {m.field: m.invariant for m in shrunk.measures()}["whitened"]
    both = compare_models(plain, shrunk, draws=99)
    assert not one(both, "one pixel", "whitened").measure.invariant
    none = compare_models(plain, replace(shrunk, shrinkage=float("nan")), draws=99)
    assert "whitened" not in {c.measure.field for c in none.comparisons}
    assert "one pixel, whitened distance (changes with the coordinates" in describe_comparison(both)


def test_p_values_are_adjusted_as_one_family(compared):
    tested = [c for c in compared.comparisons if c.shift is not None]
    assert [c.p_holm for c in tested] == holm([c.shift.p for c in tested]).tolist()


def test_what_is_the_same_is_said_and_not_tested(compared):
    still = one(compared, "noisy", "euclidean")
    assert still.shift is None
    assert "the same in every pair" in still.without
    assert still.divergence.js == 0
    assert "the same in every pair" in describe_comparison(compared)


def test_flip_rates_and_queries_are_compared_with_the_unflipped_censored(pair):
    first, second = pair
    slower = replace(second, queries=second.queries + 5, flipped=second.flipped & (np.arange(61) % 4 != 3))
    found = compare_models(first, slower, draws=99)
    lost = int((first.flipped.sum()) - slower.flipped[:60].sum())
    assert lost > 0
    assert found.flip_difference.value == pytest.approx(-lost / found.attacked)
    assert found.attacked == first.attempted.sum()
    known = first.attempted
    expected = flips_sooner(first.queries[known], first.fell[known], first.queries[known] + 5, first.fell[known])
    assert (found.sooner.first_only, found.sooner.second_only) == (expected.first_only, expected.second_only)
    assert found.sooner.first_only == first.fell.sum()
    other = compare_models(first, replace(slower, search="random"), draws=99)
    assert other.sooner is None  # queries of two searches are no durations of one


def test_it_says_what_is_compared(compared):
    text = describe_comparison(compared)
    assert "two checkpoints, not two methods" in text
    assert "one pixel, d_E (changes with the coordinates" in text
    assert "one pixel, 1 / t*," in text
    assert "adapted against base, 60 shared images" in text


def test_what_cannot_be_compared_is_refused(pair):
    first, second = pair
    with pytest.raises(InputError, match="the same checkpoint"):
        compare_models(first, first)
    with pytest.raises(InputError, match="share 0 images"):
        compare_models(first, replace(second, ids=np.array([f"x{i}" for i in range(61)])))
