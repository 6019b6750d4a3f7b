import json

import numpy as np
import pytest
from scipy.stats import binomtest

from robustkit.findings.attack.summary import summarize
from tests.perturb.records import flip, make_record, miss, small_record


def counts(estimate):
    return round(float(estimate.value) * int(estimate.n)), int(estimate.n)


def test_denominators_and_rates():
    summary = summarize(small_record())
    assert (summary.drawn, summary.correct, summary.broken) == (6, 5, 0)
    assert counts(summary.accuracy) == (5, 6)
    assert summary.chance == 0.5
    assert list(summary.searches) == ["de", "random", "any"]
    assert counts(summary.searches["de"].flipped) == (2, 5)
    assert counts(summary.searches["random"].flipped) == (2, 5)
    assert counts(summary.searches["any"].flipped) == (3, 5)
    interval = binomtest(3, 5).proportion_ci(method="wilson")
    union = summary.searches["any"].flipped
    np.testing.assert_allclose((union.low, union.high), interval, rtol=1e-9)


def test_classes_pairs_and_what_only_one_search_found():
    summary = summarize(small_record())
    de, everything = summary.searches["de"], summary.searches["any"]
    assert {name: counts(rate) for name, rate in de.per_class.items() if rate.n} == {
        "spiral": (2, 3),
        "elliptical": (0, 1),
        "merger": (0, 1),
    }
    assert {name: counts(rate) for name, rate in de.per_pair.items()} == {
        "spiral -> elliptical": (1, 3),
        "spiral -> merger": (1, 3),
    }
    # Image 0 went both ways, and counts once in each.
    assert {name: counts(rate) for name, rate in everything.per_pair.items()} == {
        "spiral -> elliptical": (1, 3),
        "spiral -> merger": (2, 3),
        "elliptical -> spiral": (1, 1),
    }
    assert (de.only_here, summary.searches["random"].only_here) == (1, 1)


def test_queries_of_flips_and_of_all():
    de = summarize(small_record()).searches["de"]
    assert de.median_queries == 20
    assert de.median_spent == 100
    assert de.unproved == 3
    assert de.candidates_per_second == 500


def test_what_doubling_the_budget_added():
    attempts = [flip(0, "de", 50, 1), flip(1, "de", 51, 1), flip(2, "de", 90, 1), miss(3, "de", 100)]
    summary = summarize(make_record(attempts, true=[0] * 4, clean=[0] * 4, searches=["de"]))
    assert summary.searches["de"].doubled == (100, 2)
    assert "half of its 100 queries would have missed 2 of these flips" in summary.text()
    assert summary.to_json()["searches"]["de"]["flips_in_the_second_half_of_them"] == 2


def test_a_class_that_was_asked_for_and_never_reached_is_shown():
    record = make_record(
        [flip(0, "de", 3, 1, target=1), miss(0, "de", 9, target=2)], true=[0], clean=[0], searches=["de"]
    )
    record.settings["targeted"] = "each"
    pairs = summarize(record).searches["de"].per_pair
    assert {name: counts(rate) for name, rate in pairs.items()} == {
        "spiral -> elliptical": (1, 1),
        "spiral -> merger": (0, 1),
    }


def test_text_says_the_clean_accuracy_first_and_every_denominator():
    lines = summarize(small_record()).text().splitlines()
    assert lines[0].startswith("clean accuracy 0.83")
    text = "\n".join(lines)
    assert "6 images drawn, 5 correct before the attack and attacked" in text
    assert "flips 2 of 5: 0.40 [0.12, 0.77], n = 5, half of them by query 20" in text
    assert "candidates that flipped in a batch and not alone: 3, not counted" in text


@pytest.mark.parametrize(("right", "warned"), [(30, True), (60, False)])
def test_a_classifier_no_better_than_a_constant_answer_is_called_so(right, warned):
    true = [0] * 40 + [1] * 40
    clean = true[:right] + [2] * (80 - right)
    summary = summarize(make_record([], true=true, clean=clean, searches=["de"]))
    assert summary.near_chance == warned
    assert ("not shown to be better than always giving one answer" in summary.text()) == warned


def test_nothing_attacked_is_null_and_not_a_number():
    summary = summarize(make_record([], true=[0, 1], clean=[1, -1], searches=["de", "random"]))
    value = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert value["attacked"] == 0
    assert value["not_finite"] == 1
    assert value["searches"]["any"]["flip_rate"]["value"] is None
    assert "flips 0 of 0" in summary.text()


def test_fewest_queries_of_an_image():
    record = small_record()
    assert record.queries_to_flip("de").tolist() == [10, 30, np.inf, np.inf, np.inf, np.inf]
    assert record.flipped_images("random").tolist() == [True, False, False, True, False, False]
