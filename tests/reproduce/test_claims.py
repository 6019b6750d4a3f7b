from types import SimpleNamespace

import numpy as np
import pytest

from robustkit.reproduce.claims import (
    AGREES,
    DIFFERS,
    INCOMPARABLE,
    OPEN,
    Claim,
    adjust,
    claims_of,
    could_see,
    p_value,
    spoken,
    verdict,
)
from robustkit.reproduce.papers import AD22, DA20, FLIPPED_MEANS, SOURCE, TARGET
from robustkit.reproduce.plan import AttackPlan, NetworkPlan, PaperPlan
from robustkit.reproduce.results import NetworkStudy, Pair, Study
from robustkit.reproduce.tables import flips_table, methods_table, scores_table, seeds_table
from robustkit.stats import over_runs, ratio_over_runs


def row(method, domain, accuracies):
    scores = tuple(
        SimpleNamespace(**dict.fromkeys(("accuracy", "precision_weighted", "recall_weighted", "f1_weighted"), one))
        for one in (SimpleNamespace(value=value) for value in accuracies)
    )
    predictions = (SimpleNamespace(ids=np.arange(50)),) * len(accuracies)
    seeds = tuple(range(len(accuracies)))
    return SimpleNamespace(method=method, domain=domain, seeds=seeds, scores=scores, predictions=predictions)


class Attack:
    """Ten images, all right; the first so many are flipped after so many queries."""

    searches = ("complete",)
    ids = np.arange(10)
    correct = np.ones(10, bool)

    def __init__(self, flips, queries=100):
        self.flips, self.queries = flips, queries

    def flipped_images(self, search=None):
        return np.arange(10) < self.flips

    def queries_to_flip(self, search):
        """The same for all: those of the targets tried before dominate."""
        return np.where(self.flipped_images(), 32_800, np.inf)

    def generations_to_flip(self, search):
        return np.where(self.flipped_images(), self.queries // 100, np.inf)


def distances(euclidean, reach):
    """The whitened distance, which a shrunk covariance lets a change of coordinates move, says the opposite."""
    moved = np.stack([np.full(10, euclidean), np.full(10, euclidean)])
    return SimpleNamespace(euclidean=moved, reach=np.full((2, 10), reach), whitened=np.full((2, 10), 1 / euclidean))


def pair(ratio, reach, p=0.001):
    divergence = {"js": 0.6, "null_mean": 0.2, "p": p}
    one = {"perturbation": "one pixel", "measure": {"field": "euclidean"}, "divergence": divergence}
    return Pair(distances(2.0, 3.0), distances(2.0 * ratio, 3.0 * reach), {"comparisons": [one]})


@pytest.fixture
def found():
    """MMD gains on the target, loses a little on the source, moves flips farther and makes as many of them."""
    scores = {
        ("source", SOURCE): (0.90, 0.91, 0.89), ("source", TARGET): (0.50, 0.55, 0.52),
        ("mmd", SOURCE): (0.80, 0.82, 0.80), ("mmd", TARGET): (0.70, 0.74, 0.73),
    }  # fmt: skip
    rows = [row(method, domain, values) for (method, domain), values in scores.items()]
    attacks = {
        (kind, method, seed): Attack(8 + seed % 2 * (method == "mmd"), 100 if method == "source" else 300 + seed)
        for kind in ("published", "complete")
        for method in ("source", "mmd")
        for seed in range(3)
    }
    pairs = {seed: pair(1.5 + seed / 10, 1 + (seed - 1) / 10) for seed in range(3)}
    part = NetworkPlan("convnet", 100, None, {}, {"source": 3, "mmd": 3}, AttackPlan())
    return NetworkStudy(part, rows, attacks, pairs)


def study(found, paper=AD22, published=False):
    return Study(PaperPlan(paper, "small", 32, {}, (found.part,)), (found,), published)


def test_each_claim_is_held_against_its_own_number(found):
    verdicts = {claim.name: claim.verdict for claim in claims_of(study(found))}
    assert verdicts == {
        "target-breaks-it": AGREES,
        "mmd-gains": AGREES,
        "mmd-costs-little": DIFFERS,
        "one-pixel-flips-most": AGREES,
        "d_e-pixel": AGREES,
        "js": AGREES,
        "d_e-noise": AGREES,
        "more-iterations": AGREES,
        "farther-without-scale": OPEN,
        "fewer-flips": OPEN,
    }


def test_claims_share_one_error():
    alone = [Claim(str(k), "convnet", "", "", "", AGREES, "", p) for k, p in enumerate((0.001, 0.02, 0.03, None))]
    found = adjust(alone)
    assert [claim.adjusted for claim in found] == pytest.approx([0.003, 0.04, 0.04, None])
    assert [claim.verdict for claim in found] == [AGREES] * 4
    # With twenty more that say nothing, only the first is settled.
    more = [Claim("open", "convnet", "", "", "", OPEN, "", 0.5)] * 20
    assert [claim.verdict for claim in adjust(alone + more)][:4] == [AGREES, OPEN, OPEN, AGREES]


def test_p_is_that_of_a_t_test_and_power_that_of_its_interval():
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(0).normal(0.1, 0.1, 5)
    found = over_runs(values)
    assert p_value(found, 0.02, ratio=False) == pytest.approx(ttest_1samp(values, 0.02).pvalue)
    ratios = np.exp(values)
    assert p_value(ratio_over_runs(ratios), 1.0, ratio=True) == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert p_value(over_runs([0.1]), 0, ratio=False) is None
    # What can be seen is seen in about four of five repetitions.
    least = float(could_see(found, ratio=False)) / values.std(ddof=1)
    repeats = np.random.default_rng(1).normal(least, 1, (4000, 5))
    seen = np.mean(ttest_1samp(repeats, 0, axis=1).pvalue < 0.05)
    assert 0.75 < seen < 0.87
    assert could_see(ratio_over_runs(ratios), ratio=True).startswith("a factor of 1.")


def test_numbers_are_paired_by_seed(found):
    gain = next(claim for claim in claims_of(study(found)) if claim.name == "mmd-gains")
    expected = over_runs([0.20, 0.19, 0.21])
    assert gain.found == f"0.200 [{expected.low:.3f}, {expected.high:.3f}], 3 trainings"
    assert gain.published == "+0.09 (0.48 to 0.57)"


def test_what_was_not_measured_cannot_be_compared(found):
    bare = NetworkStudy(found.part, found.rows)
    verdicts = {claim.name: claim.verdict for claim in claims_of(study(bare))}
    assert verdicts["mmd-gains"] == AGREES
    assert {verdicts[name] for name in ("one-pixel-flips-most", "d_e-pixel", "js", "fewer-flips")} == {INCOMPARABLE}


def test_one_training_settles_nothing():
    rows = [row("source", SOURCE, [0.9]), row("source", TARGET, [0.1])]
    one = NetworkStudy(NetworkPlan("convnet", 100, None, {}, {"source": 1}), rows)
    drop = claims_of(study(one))[0]
    assert (drop.verdict, drop.found) == (OPEN, "0.800, 1 training")


@pytest.mark.parametrize(
    ("values", "threshold", "expected"),
    [([1.0, 1.1, 1.2], 0.5, AGREES), ([1.0, 1.1, 1.2], 2.0, DIFFERS), ([1.0, 1.1, 1.2], 1.1, OPEN)],
)
def test_a_verdict_needs_the_whole_interval(values, threshold, expected):
    assert verdict(over_runs(values), threshold) == expected


def test_no_number_is_no_verdict():
    assert verdict(None, 0) == INCOMPARABLE


def test_claims_are_counted():
    claims = [Claim(f"{i}", "convnet", "", "", "", v, "") for i, v in enumerate([AGREES, AGREES, DIFFERS, OPEN])]
    assert spoken(claims) == "Of 4 claims 2 hold, 1 does not, 1 is not settled, 0 cannot be compared."


def test_numbers_of_other_images_are_not_judged_and_those_of_the_paper_are(found):
    other = scores_table(study(found), found).rows
    assert {line[4] for line in other} == {"cannot be compared (other data)"}
    same = scores_table(study(found, published=True), found).rows
    assert same[0][:5] == ["source only", "accuracy", "0.7", "0.900 [0.873, 0.923], 3 trainings, sd 0.010", DIFFERS]
    assert same[0][7] == AGREES  # 0.48 published, 0.523 [0.461, 0.586] here


def test_the_published_flips_stand_beside_what_they_count(found):
    claim = next(claim for claim in claims_of(study(found)) if claim.name == "one-pixel-flips-most")
    assert claim.published == "0.893 (134 of 150, right or wrong)"
    assert FLIPPED_MEANS in claim.how
    table = flips_table(study(found), found)
    assert table is not None
    assert FLIPPED_MEANS in table.said
    assert "published (of all drawn, right or wrong, flipped in both)" in table.columns
    for said in ("right or wrong", "both trainings", "target above 0.5", "before any pixel changes"):
        assert said in FLIPPED_MEANS


def test_tables_count_what_was_right(found):
    table = flips_table(study(found), found)
    assert table is not None
    assert table.rows[0] == ["source only", 0, "published", 10, 10, 8, "0.800", "134 of 150", "32800"]
    gain = {line[0]: line[3] for line in methods_table(study(found), found).rows}
    assert gain["source only"] == ""
    assert gain["mmd"].startswith("0.200 [")


def test_seeds_stand_beside_those_of_the_paper():
    rows = [row(m, d, [0.8, 0.9]) for m in DA20.methods for d in (SOURCE, TARGET)]
    seeds = dict.fromkeys(DA20.methods, 2)
    deep = NetworkStudy(NetworkPlan("deepmerge", 100, None, {}, seeds), rows)
    table = seeds_table(study(deep, DA20), deep)
    assert table is not None
    here, verdict = "0.850 [0.034, 0.999], 2 trainings, sd 0.071", "cannot be compared (other data)"
    assert table.rows[0] == ["source only", "0.836 +- 0.007", here, verdict, "0.570 +- 0.052", here, verdict]
    assert [claim.name for claim in claims_of(study(deep, DA20))] == [
        "target-breaks-it", "mmd-gains", "mmd-costs-little", "dann-gains", "dann-costs-little",
    ]  # fmt: skip
    other = NetworkStudy(NetworkPlan("resnet18", 100, None, {}, seeds), rows)
    assert seeds_table(study(other, DA20), other) is None
