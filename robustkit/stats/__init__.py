"""Statistics that can be believed: pure functions of arrays, every number with its interval or its null.

An `Estimate` is a number with its interval and its n; it prints as it is written in a paper. A *cluster* is an object
(a galaxy) that several rows show; intervals then resample objects. A *null* is what a statistic would be if nothing
differed. Functions that draw random numbers take a NumPy `rng`. What cannot be answered is refused with an
`InputError`, or has no interval and says why in `method`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustkit.lazy import lazy_names

if TYPE_CHECKING:
    from robustkit.stats.bounded import bounded_mean, p_above, p_below
    from robustkit.stats.calibration import Reliability, brier_scores, reliability
    from robustkit.stats.claims import Claim, Decision, claim_of_calibration, claim_of_means, decide, images_needed
    from robustkit.stats.classification import Scores, score_classifier
    from robustkit.stats.divergence import BinChoice, Divergence, compare_samples, js_distance
    from robustkit.stats.estimate import Estimate, as_percent, as_points, format_p
    from robustkit.stats.majority import AgainstChance, against_chance, best_constant, chance
    from robustkit.stats.mmd import MMD, mmd_test
    from robustkit.stats.multiple import benjamini_hochberg, holm
    from robustkit.stats.paired import PairedShift, hodges_lehmann, paired_ratio, paired_shift, what_is_compared
    from robustkit.stats.permutation import permutation_null, permutation_p
    from robustkit.stats.proportions import (
        McNemar,
        PairedCounts,
        clopper_pearson,
        hypergeometric,
        mcnemar,
        newcombe,
        newcombe_paired,
        paired_counts,
        wilson,
        wilson_shares,
    )
    from robustkit.stats.resampling import bootstrap, bootstrap_many, bootstrap_weights, weighted_mean, weighted_median
    from robustkit.stats.runs import over_runs, ratio_over_runs
    from robustkit.stats.summary import Summary, standard_error, summarize
    from robustkit.stats.survival import LogRank, Survival, flips_sooner, kaplan_meier, log_rank
    from robustkit.stats.two_sample import ClassifierTest, classifier_two_sample

__all__ = [
    "MMD",
    "AgainstChance",
    "BinChoice",
    "Claim",
    "ClassifierTest",
    "Decision",
    "Divergence",
    "Estimate",
    "LogRank",
    "McNemar",
    "PairedCounts",
    "PairedShift",
    "Reliability",
    "Scores",
    "Summary",
    "Survival",
    "against_chance",
    "as_percent",
    "as_points",
    "benjamini_hochberg",
    "best_constant",
    "bootstrap",
    "bootstrap_many",
    "bootstrap_weights",
    "bounded_mean",
    "brier_scores",
    "chance",
    "claim_of_calibration",
    "claim_of_means",
    "classifier_two_sample",
    "clopper_pearson",
    "compare_samples",
    "decide",
    "flips_sooner",
    "format_p",
    "hodges_lehmann",
    "holm",
    "hypergeometric",
    "images_needed",
    "js_distance",
    "kaplan_meier",
    "log_rank",
    "mcnemar",
    "mmd_test",
    "newcombe",
    "newcombe_paired",
    "over_runs",
    "p_above",
    "p_below",
    "paired_counts",
    "paired_ratio",
    "paired_shift",
    "permutation_null",
    "permutation_p",
    "ratio_over_runs",
    "reliability",
    "score_classifier",
    "standard_error",
    "summarize",
    "weighted_mean",
    "weighted_median",
    "what_is_compared",
    "wilson",
    "wilson_shares",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
