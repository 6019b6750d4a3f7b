"""Claims decided together: what passes, what fails, and how seldom a page errs."""

import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.stats import claim_of_calibration, claim_of_means, decide, images_needed


def _rates(*rates, n=200, margin=0.1):
    return [claim_of_means(str(i), np.arange(n) < rate * n, margin) for i, rate in enumerate(rates)]


def test_the_interval_excludes_the_margin_exactly_where_a_claim_is_settled():
    rng = np.random.default_rng(0)
    claims = [claim_of_means(str(i), rng.random(150) < rate, 0.1) for i, rate in enumerate(np.linspace(0, 0.3, 25))]
    changes = rng.choice([-1, 0, 1], p=[0.05, 0.9, 0.05], size=(20, 3, 150))
    margins = np.linspace(-0.3, 0.2, 20)
    claims += [
        claim_of_means(f"b{i}", change, margin, low=-1, most=False, series="abc")
        for i, (change, margin) in enumerate(zip(changes, margins, strict=True))
    ]
    seen = set()
    for one in decide(claims):
        assert one.low <= one.value <= one.high
        good, bad = (one.high < one.margin, one.low > one.margin) if one.most else (
            one.low > one.margin, one.high < one.margin)  # fmt: skip
        assert one.status == ("pass" if good else "fail" if bad else "undecided")
        seen.add((one.status, one.most))
    assert len(seen) == 6


def test_many_claims_are_harder_to_settle_than_one():
    (alone,) = decide(_rates(0.045))
    crowd = decide(_rates(0.045, *[0.1] * 25))
    assert (alone.status, crowd[0].status) == ("pass", "undecided")
    assert crowd[0].leans == "pass"
    assert 200 < crowd[0].needed < 1000
    assert (crowd[1].needed, crowd[1].leans) == (None, "pass")


def test_twenty_six_at_the_margin_seldom_fail():
    """Each image loses 0.1 on average to each of 26: the worst estimate is above, and that is chance."""
    rng = np.random.default_rng(1)
    lost = (rng.random((250, 26, 150)) < 0.1).astype(float)
    names = [str(i) for i in range(26)]
    found = [claim_of_means("fault_loss", one, 0.1, low=-1, series=names) for one in lost]
    assert np.mean([one.breaks <= 0.05 for one in found]) <= 0.05 + 0.03
    assert np.mean([one.value > 0.1 for one in found]) == 1
    lost[:, 7] = rng.random((250, 150)) < 0.3
    found = [claim_of_means("fault_loss", one, 0.1, low=-1, series=names) for one in lost]
    assert np.mean([one.breaks <= 0.05 and one.worst == "7" for one in found]) > 0.8


def test_what_is_needed_is_enough_four_times_in_five():
    rng = np.random.default_rng(2)
    pilot = (np.arange(1000) < 50).astype(float)
    n = round(images_needed(pilot, 0.1, below=True, tail=0.01))
    claims = [claim_of_means(str(i), rng.random(n) < 0.05, 0.1) for i in range(400)]
    assert 0.75 < np.mean([one.holds <= 0.01 for one in claims]) < 0.88
    assert images_needed(np.zeros(9), 0.05, below=True, tail=0.01) == pytest.approx(np.log(0.01) / np.log(0.95))
    assert images_needed(pilot, 0.05, below=True, tail=0.01) == np.inf
    assert images_needed(pilot, 0.02, below=False, tail=0.01) < 400


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_images_settle_nothing(n):
    rng = np.random.default_rng(n)
    zeros = claim_of_means("zeros", np.zeros(n), 0.05)
    ones = claim_of_means("ones", np.ones(n), 0.95, most=False)
    said = rng.dirichlet(np.ones(3), n)
    found = decide([zeros, ones, claim_of_calibration("calibration", said, said.argmax(1), 0.1)])
    assert [one.status for one in found] == ["undecided"] * 3
    assert found[0].high > 0.5
    assert all(one.n == n and one.low <= one.high for one in found)


def test_no_image_and_names_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="at least one image"):
        claim_of_means("a", [], 0.1)
    with pytest.raises(InputError, match="1 series"):
        claim_of_means("a", np.zeros((2, 3)), 0.1)


def _said(rng, n, off):
    confidence = rng.uniform(0.6, 1, n)
    right = rng.random(n) < np.clip(confidence - off, 0, 1)
    return np.stack([confidence, 1 - confidence], 1), np.where(right, 0, 1)


def test_a_calibrated_classifier_can_pass_and_a_boast_fails():
    rng = np.random.default_rng(3)
    few = [claim_of_calibration("c", *_said(rng, 240, 0.0), 0.1) for _ in range(100)]
    assert np.mean([one.holds < 0.05 for one in few]) > 0.7
    assert np.mean([one.value for one in few]) < 0.04
    assert max(one.breaks for one in few) > 0.5
    (boast,) = decide([claim_of_calibration("c", *_said(rng, 240, 0.3), 0.1)])
    assert boast.status == "fail"
    assert 0.2 < boast.value < 0.4
    (large,) = decide([claim_of_calibration("c", *_said(rng, 5000, 0.05), 0.1)])
    assert large.status == "pass"
    assert large.low < 0.05 < large.high


def test_the_interval_of_calibration_agrees_with_its_tests():
    rng = np.random.default_rng(4)
    for off in (0.0, 0.08, 0.2):
        one = claim_of_calibration("c", *_said(rng, 300, off), 0.1)
        low, high = one.ends(0.02, 0.02)
        assert low <= one.value <= high
        assert (high < 0.1) == (one.holds < 0.02)
        assert (low > 0.1) == (one.breaks < 0.02)


@pytest.mark.parametrize(("sure", "right"), [(1.0, True), (0.999, True), (0.02, False)])
def test_a_few_sure_answers_do_not_show_calibration(sure, right):
    classes = 2 if right else 100
    rest = (1 - sure) / (classes - 1)
    for n, status in ((3, "undecided"), (12, "undecided"), (240, "pass")):
        said = np.full((n, classes), rest)
        said[:, 0] = sure + (0 if right else 1e-6)
        labels = np.zeros(n, dtype=int) if right else np.ones(n, dtype=int)
        (one,) = decide([claim_of_calibration("c", said, labels, 0.1)])
        assert one.status == status
        assert (one.high > 0.1) == (status == "undecided")
        # An error that often leaves every answer right lies within the interval.
        assert one.high >= 1 - 0.5 ** (1 / n) - 0.03


def test_sure_answers_pass_as_calibrated_no_oftener_than_they_may():
    """Every confidence is 0.1 too high, the largest error that is no pass."""
    rng = np.random.default_rng(6)
    for n in (12, 30, 150):
        said = np.tile([1.0, 0.0], (n, 1))
        passed = [
            claim_of_calibration("c", said, (rng.random(n) < 0.1).astype(int), 0.1).holds < 0.05 for _ in range(300)
        ]
        assert np.mean(passed) < 0.09
