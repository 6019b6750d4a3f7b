"""The tables of the papers in their layout, with our numbers next to the published ones."""

from __future__ import annotations

import math

import numpy as np

from robustkit.findings.distances.record import NEAREST, PERTURBATIONS, DistanceRecord
from robustkit.report.sections.facts import Facts
from robustkit.reproduce.attacks import COMPLETE, PUBLISHED
from robustkit.reproduce.claims import AGREES, DIFFERS, INCOMPARABLE, Claim, seeds_text
from robustkit.reproduce.papers import FLIPPED_MEANS, SOURCE, TARGET
from robustkit.reproduce.results import NetworkStudy, Study, paired
from robustkit.stats import Estimate, over_runs

METRICS = {
    "accuracy": "accuracy",
    "precision_weighted": "precision (weighted)",
    "recall_weighted": "recall (weighted)",
    "f1_weighted": "F1 (weighted)",
}
OTHER_DATA = f"{INCOMPARABLE} (other data)"


def scores_table(study: Study, network: NetworkStudy) -> Facts:
    """Tables 2 and 4 of AD22, Table 1 of DA20: scores on test images of both domains."""
    paper, rows = study.plan.paper, []
    for method in paper.methods:
        for metric, name in METRICS.items():
            published = {domain: paper.scores[network.network, method, domain] for domain in (SOURCE, TARGET)}
            if metric not in published[SOURCE]:
                continue
            line: list[str] = [_training(method), name]
            for domain, scores in published.items():
                found = network.scores(method, domain, metric)
                line += [f"{scores[metric]:.3g}", *_ours(found, scores[metric], study.published)]
            rows.append(line)
    columns = ["training", "score"]
    for domain in paper.domains:
        columns += [f"{domain}, published", f"{domain}, here", f"{domain}, verdict"]
    sizes = "; ".join(
        f"{name}: {len(row.predictions[0].ids)} test images"
        for name, domain in zip(paper.domains, (SOURCE, TARGET), strict=True)
        if (row := network.row(paper.methods[0], domain)) is not None
    )
    said = (
        f"{network.network}. Here: mean over trainings with Student's 95% interval, and the standard deviation over "
        f"trainings. {sizes}."
    )
    return Facts(
        f"scores-{network.network}",
        paper.heading("scores", network.network, f"Scores of {network.network}"),
        said,
        columns,
        rows,
    )


def seeds_table(study: Study, network: NetworkStudy) -> Facts | None:
    """Section 5 of DA20: mean and standard deviation over seeds."""
    paper, rows = study.plan.paper, []
    for method in paper.methods:
        line = [_training(method)]
        for domain in (SOURCE, TARGET):
            published = paper.over_seeds.get((network.network, method, domain))
            if published is None:
                return None
            scores = network.scores(method, domain)
            line += [f"{published[0]:.3f} +- {published[1]:.3f}", *_ours(scores, published[0], study.published)]
        rows.append(line)
    what = ("published", "here", "verdict")
    columns = ["training", *(f"{domain}, {where}" for domain in paper.domains for where in what)]
    said = (
        "Accuracy over seeds. Published: mean and standard deviation of ten. Here: mean with Student's 95% interval, "
        "and the standard deviation."
    )
    return Facts(
        f"seeds-{network.network}",
        paper.heading("seeds", network.network, f"{network.network} over seeds"),
        said,
        columns,
        rows,
    )


def distances_table(study: Study, network: NetworkStudy) -> Facts | None:
    """Tables 3 and 5 of AD22: d_E of the images that were flipped in both models, or are noisy in both."""
    paper, rows = study.plan.paper, []
    if not network.pairs:
        return None
    for p, perturbation in enumerate(PERTURBATIONS[:NEAREST]):
        for side, method in enumerate(paper.methods[:2]):
            published = paper.distances[network.network, method, perturbation]
            found = [_moved((pair.base, pair.adapted), side, p) for pair in network.pairs.values()]
            found = [one for one in found if len(one) > 1]
            if not found:
                continue
            first = found[0]
            error = float(first.std(ddof=1) / np.sqrt(len(first)))
            medians, means = ([float(f(one)) for one in found] for f in (np.median, np.mean))
            rows.append(
                [
                    perturbation, _training(method),
                    f"{published.median:g} / {published.mean:g} / {published.error:g}",
                    f"{np.median(first):.3g} / {first.mean():.3g} / {error:.2g}", len(first),
                    seeds_text(over_runs(medians)), seeds_text(over_runs(means)),
                    _judged(over_runs(medians), published.median, study.published),
                ]
            )  # fmt: skip
    columns = [
        "perturbation", "training", "published median / mean / st. err.", "here, first seed", "images",
        "median, all seeds", "mean, all seeds", "verdict on the median",
    ]  # fmt: skip
    said = (
        f"{network.network}. d_E in the latent space, of the images that have the perturbed version under both models "
        "of a seed. Over all seeds: the mean over seeds, with Student's 95% interval. Latent units differ between "
        "models: comparable numbers are in the claims."
    )
    return Facts(
        f"distances-{network.network}",
        paper.heading("distances", network.network, f"d_E of {network.network}"),
        said,
        columns,
        rows,
    )


def scale_free_table(study: Study, network: NetworkStudy) -> Facts | None:
    """Beyond the paper: distances that are comparable between models, seed by seed."""
    rows = []
    for seed, pair in network.pairs.items():
        for one in pair.comparison["comparisons"]:
            ratio, divergence = one["ratio_of_medians"], one["divergence"]
            rows.append(
                [
                    seed, one["perturbation"], one["measure"]["name"], "yes" if one["measure"]["invariant"] else "no",
                    one["n"], "" if ratio is None else _interval(ratio),
                    "" if one["p_holm"] is None else f"{one['p_holm']:.3g}",
                    "" if divergence is None else f"{divergence['js']:.2f}",
                    "" if divergence is None else f"{divergence['null_mean']:.2f}",
                    "" if divergence is None else f"{divergence['p']:.3g}",
                ]
            )  # fmt: skip
    if not rows:
        return None
    columns = [
        "seed", "perturbation", "measure", "comparable between models", "images", "ratio of medians, adapted / base",
        "p (Wilcoxon, Holm)", "JS", "JS if nothing differed", "p of JS",
    ]  # fmt: skip
    said = (
        f"{network.network}. Intervals here are over images, for one pair of checkpoints: they say nothing about "
        "another training. The claims use one number per seed."
    )
    return Facts(
        f"scale-free-{network.network}", f"Distances with and without a scale: {network.network}", said, columns, rows
    )


def flips_table(study: Study, network: NetworkStudy) -> Facts | None:
    """How many images one pixel flips: by the published search, and by every pixel and corner value."""
    rows, known = [], "{} of {}".format(*study.plan.paper.flipped.get(network.network, ("-", "-")))
    for (kind, method, seed), record in network.attacks.items():
        right = record.correct
        for search in record.searches:
            flipped = int(record.flipped_images(search)[right].sum())
            queries = record.queries_to_flip(search)[right]
            there = np.isfinite(queries)
            rows.append(
                [
                    _training(method), seed, _search(kind, search), len(record.ids), int(right.sum()), flipped,
                    f"{flipped / right.sum():.3f}" if right.any() else "-", known if kind == PUBLISHED else "",
                    f"{np.median(queries[there]):.0f}" if there.any() else "-",
                ]
            )  # fmt: skip
    if not rows:
        return None
    columns = [
        "training", "seed", "search", "drawn", "right", "flipped", "of those right",
        "published (of all drawn, right or wrong, flipped in both)", "median queries to a flip",
    ]  # fmt: skip
    said = (
        f"{network.network}. Published search: differential evolution, values from 0 to 1, a wrong class above a "
        "probability of 0.5. Complete: every pixel with every corner of the range of the training data, so images "
        "not flipped cannot be flipped by these values. Differential evolution in that range is shown for comparison."
    )
    if network.examples is not None:
        said += f" {network.examples.ends()}"
    if network.network in study.plan.paper.flipped:
        said += f" The column before the last has another denominator: {FLIPPED_MEANS}."
    return Facts(f"flips-{network.network}", f"Flips of {network.network}", said, columns, rows)


def methods_table(study: Study, network: NetworkStudy) -> Facts:
    """Beyond the paper: the gain of every method, and its flip rate by one pixel."""
    base, domains, rows = study.plan.paper.methods[0], study.plan.paper.domains, []
    rates = {method: network.flip_rates(COMPLETE, method, "complete") for method in network.methods}
    for method in network.methods:
        line: list[str] = [_training(method)]
        for domain in (SOURCE, TARGET):
            scores = network.scores(method, domain)
            line.append(seeds_text(over_runs(list(scores.values()), bounds=(0, 1))) if scores else "-")
        one, other = paired(network.scores(base, TARGET), network.scores(method, TARGET))
        line.append(seeds_text(over_runs(other - one)) if method != base and len(one) else "")
        if any(rates.values()):
            line.append(seeds_text(over_runs(list(rates[method].values()), bounds=(0, 1))) if rates[method] else "-")
        rows.append(line)
    columns = [
        "training", f"accuracy, {domains[0]}", f"accuracy, {domains[1]}", f"gain on {domains[1]}, seed by seed",
    ]  # fmt: skip
    said = [
        f"{network.network}. Mean over trainings with Student's 95% interval. AdaBN (batch norm's statistics from the "
        "target) and noise augmentation are the controls: their gains need no alignment of latents."
    ]
    if "oracle" in network.methods:
        said.append("ORACLE was trained on target labels; it is a bound, not a result.")
    if any(rates.values()):
        columns.append("flipped by one pixel, complete search")
        said.append("Flip rates are shares of the images that each model classifies correctly.")
    return Facts(f"methods-{network.network}", f"All methods: {network.network}", " ".join(said), columns, rows)


def claims_table(claims: list[Claim], said: str) -> Facts:
    """The claims and their verdicts."""
    rows = [
        (one.network, one.text, one.published, one.found, one.verdict, _p(one.p), _p(one.adjusted), one.seen, one.how)
        for one in claims
    ]
    columns = (
        "network", "claim", "published", "here, 95% by itself", "verdict over all claims",
        "p", "p, adjusted", "could have seen", "what is compared",
    )  # fmt: skip
    return Facts("claims", "Which claims hold on these data", said, columns, rows)


def _ours(scores: dict[int, float], published: float, same_data: bool) -> tuple[str, str]:
    if not scores:
        return "-", "not run"
    values = list(scores.values())
    found = over_runs(values, bounds=(0, 1) if all(0 <= one <= 1 for one in values) else (-1, 1))
    spread = f", sd {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{seeds_text(found)}{spread}", _judged(found, published, same_data)


def _judged(found: Estimate, published: float, same_data: bool) -> str:
    """Whether a published number lies in the interval over trainings, where the images are the same."""
    if not same_data:
        return OTHER_DATA
    if not math.isfinite(found.low):
        return f"{INCOMPARABLE} (one training)"
    return AGREES if found.low <= published <= found.high else DIFFERS


def _moved(records: tuple[DistanceRecord, DistanceRecord], side: int, p: int) -> np.ndarray:
    """d_E of one model, for the images that have it under both."""
    both = np.isfinite(records[0].euclidean[p]) & np.isfinite(records[1].euclidean[p])
    return records[side].euclidean[p][both]


def _interval(estimate: dict[str, float | None]) -> str:
    if estimate["low"] is None:
        return f"{estimate['value']:.2f}"
    return f"{estimate['value']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]"


def _training(method: str) -> str:
    return {"source": "source only", "oracle": "ORACLE"}.get(method, method)


def _search(kind: str, search: str) -> str:
    if kind == PUBLISHED:
        return "published"
    return "complete" if search == COMPLETE else "evolution, corner values"


def _p(p: float | None) -> str:
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
