"""The claims of the papers, compared with the results: agrees, differs, not settled, or cannot be compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.distances.record import NOISY, PERTURBATIONS, PIXEL
from robustkit.reproduce.attacks import COMPLETE, PUBLISHED
from robustkit.reproduce.papers import FLIPPED_MEANS, SOURCE, TARGET, Paper
from robustkit.reproduce.results import NetworkStudy, Study, paired
from robustkit.stats import Estimate, holm, over_runs, ratio_over_runs

AGREES, DIFFERS, OPEN, INCOMPARABLE = "agrees", "differs", "not settled", "cannot be compared"
RULE = (
    "A claim agrees where its number lies on its side and p, adjusted for all claims of a page (Holm), is below 0.05: "
    "in at most one of twenty such pages is any claim settled wrongly. It differs where the same holds of the other "
    "side, and is not settled otherwise, also where its own 95% interval, printed without that adjustment, lies on "
    "one side. One training gives no interval and settles nothing. What a claim could have seen is the least "
    "difference that its 95% interval would have settled in four of five repetitions."
)
LEVEL, POWER = 0.05, 0.8
# The loss of accuracy on the source that still counts as little or nothing.
COST = 0.02


@dataclass(frozen=True)
class Claim:
    """A claim of the paper about one network, and what was found.

    Attributes:
        name: A short name.
        text: The claim.
        published: The published number, as text.
        found: Our number, as text.
        verdict: `AGREES`, `DIFFERS`, `OPEN` or `INCOMPARABLE`, at an error of 0.05 over all claims of the page.
        how: The statistic and its threshold.
        p: Two-sided, over trainings, of this claim alone; `None` where it cannot be had.
        adjusted: The same, adjusted for all claims of the page.
        seen: The least difference that could have been seen, as text.
    """

    name: str
    network: str
    text: str
    published: str
    found: str
    verdict: str
    how: str
    p: float | None = None
    adjusted: float | None = None
    seen: str = ""


def claims_of(study: Study) -> list[Claim]:
    """All claims of the paper, network by network."""
    found = []
    for network in study.networks:
        found += _scores(study.plan.paper, network)
        if study.plan.paper.distances:
            found += _robustness(study.plan.paper, network)
    return adjust(found)


def adjust(claims: list[Claim]) -> list[Claim]:
    """The claims with p-values adjusted for all of them; what is not below 0.05 then is not settled."""
    tested = [claim.p for claim in claims if claim.p is not None]
    adjusted = iter(holm(tested)) if tested else iter(())
    found = []
    for claim in claims:
        p = None if claim.p is None else float(next(adjusted))
        settled = claim.verdict if p is None or p < LEVEL else OPEN
        found.append(replace(claim, adjusted=p, verdict=settled))
    return found


def spoken(claims: list[Claim]) -> str:
    """The number of claims with each verdict, in a sentence."""
    words = {
        AGREES: ("holds", "hold"), DIFFERS: ("does not", "do not"), OPEN: ("is not settled", "are not settled"),
        INCOMPARABLE: ("cannot be compared", "cannot be compared"),
    }  # fmt: skip
    counts = {verdict: sum(claim.verdict == verdict for claim in claims) for verdict in words}
    said = (f"{count} {words[verdict][count != 1]}" for verdict, count in counts.items())
    return f"Of {len(claims)} claims {', '.join(said)}."


def verdict(found: Estimate | None, threshold: float) -> str:
    """Whether a claim holds that a number is above a threshold, by its own interval."""
    if found is None or not math.isfinite(found.value):
        return INCOMPARABLE
    return AGREES if found.low > threshold else DIFFERS if found.high < threshold else OPEN


def p_value(found: Estimate | None, threshold: float, *, ratio: bool) -> float | None:
    """Two-sided p of a number over trainings being the threshold, by Student's t; `None` for one training.

    Args:
        found: The number with its 95 % interval.
        threshold: What it is compared with.
        ratio: Whether the interval is one of logarithms.
    """
    error = _error(found, ratio=ratio)
    if found is None or error is None:
        return None
    value, null = (math.log(found.value), math.log(threshold)) if ratio else (found.value, threshold)
    if error == 0:
        return float(value == null)
    return float(2 * student.sf(abs(value - null) / error, found.n - 1))


def could_see(found: Estimate | None, *, ratio: bool) -> str:
    """The least difference, or ratio, that would have been settled in four of five repetitions."""
    error = _error(found, ratio=ratio)
    if found is None or error is None:
        return ""
    least = error * float(student.ppf(1 - LEVEL / 2, found.n - 1) + student.ppf(POWER, found.n - 1))
    return f"a factor of {math.exp(least):.2f}" if ratio else f"{least:.3f}"


def _error(found: Estimate | None, *, ratio: bool) -> float | None:
    """Standard error over trainings, from the interval."""
    if found is None or not math.isfinite(found.low):
        return None
    low, high = (math.log(end) if ratio else float(end) for end in (found.low, found.high))
    return (high - low) / 2 / float(student.ppf((1 + found.level) / 2, found.n - 1))


def _scores(paper: Paper, network: NetworkStudy) -> list[Claim]:
    """The claims about accuracy."""
    base, domains = paper.methods[0], paper.domains
    drop = _difference(network.scores(base, TARGET), network.scores(base, SOURCE))
    claims = [
        _claim(
            "target-breaks-it", network, f"Without adaptation, accuracy falls from {domains[0]} to {domains[1]}.",
            _published(paper, network.network, (base, SOURCE), (base, TARGET)), drop, 0.0,
            f"accuracy on {domains[0]} minus accuracy on {domains[1]}, above 0",
        )
    ]  # fmt: skip
    for method in paper.methods[1:]:
        name = method.upper()
        gain = _difference(network.scores(base, TARGET), network.scores(method, TARGET))
        kept = _difference(network.scores(base, SOURCE), network.scores(method, SOURCE))
        claims += [
            _claim(
                f"{method}-gains", network, f"{name} raises accuracy on {domains[1]}.",
                _published(paper, network.network, (method, TARGET), (base, TARGET)), gain, 0.0,
                f"accuracy with {name} minus accuracy without, seed by seed, above 0",
            ),
            _claim(
                f"{method}-costs-little", network, f"{name} costs little or nothing on {domains[0]}.",
                _published(paper, network.network, (method, SOURCE), (base, SOURCE)), kept, -COST,
                f"accuracy with {name} minus accuracy without, seed by seed, above -{COST}",
            ),
        ]  # fmt: skip
    return claims


def _robustness(paper: Paper, network: NetworkStudy) -> list[Claim]:
    """The claims about single pixels and the latent space."""
    base, adapted = paper.methods[:2]
    flipped, of = paper.flipped[network.network]
    both = _flipped_by_both(network, base, adapted)
    claims = [
        _claim(
            "one-pixel-flips-most", network, "One pixel flips most images, with adaptation and without.",
            f"{flipped / of:.3f} ({flipped} of {of}, right or wrong)", both, 0.5,
            "share of the images correct for both models that the published search flips in both, above one half; "
            f"{FLIPPED_MEANS}",
        )
    ]  # fmt: skip
    moves = {
        PIXEL: "An image must move farther in the latent space to be flipped by a pixel after adaptation.",
        NOISY: "Noise moves images farther in the latent space after adaptation.",
    }
    for p, said in moves.items():
        medians = [paper.distances[network.network, method, PERTURBATIONS[p]].median for method in (base, adapted)]
        claims.append(
            _claim(
                f"d_e-{'pixel' if p == PIXEL else 'noise'}", network, said, f"times {medians[1] / medians[0]:.2f}",
                _ratio(network, p, "euclidean"), 1.0, "ratio of median d_E, adapted over base, above 1",
            )
        )  # fmt: skip
    claims.append(_js(paper, network))
    claims += [
        _claim(
            "more-iterations", network, "The search needs more queries to flip an image after adaptation.",
            "stated, without a number", _generations(network, base, adapted), 1.0,
            "geometric mean of the ratio of generations of the attempt that flipped the image (without those of the "
            "classes tried before), over the images flipped in both, adapted over base, above 1",
        ),
        _claim(
            "farther-without-scale", network,
            "So adaptation makes it more robust: the distance to a flip is longer even where a latent space of another "
            "scale makes no difference.",
            "implied", _ratio(network, PIXEL, "reach"), 1.0,
            "ratio of the median 1 / t* of the flip, which no change of coordinates moves, adapted over base, above 1",
        ),
        _claim(
            "fewer-flips", network,
            "So adaptation makes it more robust: fewer images can be flipped by one pixel at all.",
            "implied", _fewer(network, base, adapted), 0.0,
            "flip rate of the complete search, base minus adapted, on images correct for both, above 0",
        ),
    ]  # fmt: skip
    return claims


def _claim(
    name: str, network: NetworkStudy, text: str, published: str, found: Estimate | None, threshold: float, how: str
) -> Claim:
    said = "not measured" if found is None else seeds_text(found)
    ratio = found is not None and "logarithms" in found.method
    p, seen = p_value(found, threshold, ratio=ratio), could_see(found, ratio=ratio)
    return Claim(name, network.network, text, published, said, verdict(found, threshold), how, p, seen=seen)


def seeds_text(found: Estimate) -> str:
    """An estimate over trainings, as text."""
    places = 3 if abs(float(found.value)) < 10 else 1
    trainings = "1 training" if found.n == 1 else f"{found.n} trainings"
    if not math.isfinite(found.low):
        return f"{found.value:.{places}f}, {trainings}"
    return f"{found.value:.{places}f} [{found.low:.{places}f}, {found.high:.{places}f}], {trainings}"


def _published(paper: Paper, network: str, first: tuple[str, str], second: tuple[str, str]) -> str:
    one, other = (paper.scores[network, *key]["accuracy"] for key in (first, second))
    return f"{one - other:+.2f} ({other:.2f} to {one:.2f})" if first[1] == second[1] else f"{one - other:.2f}"


def _difference(first: dict[int, float], second: dict[int, float]) -> Estimate | None:
    """Second minus first, over the seeds that both have."""
    one, other = paired(first, second)
    return over_runs(other - one) if len(one) else None


def _flipped_by_both(network: NetworkStudy, base: str, adapted: str) -> Estimate | None:
    def share(one: np.ndarray, other: np.ndarray, right: np.ndarray) -> float:
        return float((one & other)[right].mean())

    return _of_attacks(network, PUBLISHED, base, adapted, None, share)


def _fewer(network: NetworkStudy, base: str, adapted: str) -> Estimate | None:
    def difference(one: np.ndarray, other: np.ndarray, right: np.ndarray) -> float:
        return float(one[right].mean() - other[right].mean())

    return _of_attacks(network, COMPLETE, base, adapted, "complete", difference)


def _of_attacks(
    network: NetworkStudy,
    kind: str,
    base: str,
    adapted: str,
    search: str | None,
    number: Callable[[np.ndarray, np.ndarray, np.ndarray], float],
) -> Estimate | None:
    """A number of the flips of two attacks on the same images, over the seeds that have both."""
    values = []
    for one, other in _both(network, kind, base, adapted):
        right = one.correct & other.correct
        if right.any():
            values.append(number(one.flipped_images(search), other.flipped_images(search), right))
    return over_runs(values) if values else None


def _both(network: NetworkStudy, kind: str, base: str, adapted: str) -> Iterator[tuple[AttackRecord, AttackRecord]]:
    """The attacks on both models, for each seed that has them."""
    for seed in range(max(network.part.seeds.values())):
        one, other = (network.attacks.get((kind, method, seed)) for method in (base, adapted))
        if one is not None and other is not None:
            yield one, other


def _ratio(network: NetworkStudy, perturbation: int, field: str) -> Estimate | None:
    """Median of the adapted model over that of the base, on shared images, over seeds."""
    ratios = []
    for pair in network.pairs.values():
        one, other = (getattr(record, field)[perturbation] for record in (pair.base, pair.adapted))
        there = np.isfinite(one) & np.isfinite(other)
        if there.any() and np.median(one[there]) > 0:
            ratios.append(float(np.median(other[there]) / np.median(one[there])))
    return ratio_over_runs(ratios) if ratios else None


def _generations(network: NetworkStudy, base: str, adapted: str) -> Estimate | None:
    ratios = []
    for one, other in _both(network, PUBLISHED, base, adapted):
        name = one.searches[0]
        first, second = one.generations_to_flip(name), other.generations_to_flip(name)
        both = np.isfinite(first) & np.isfinite(second)
        if both.any():
            ratios.append(float(np.exp(np.mean(np.log(second[both] / first[both])))))
    return ratio_over_runs(ratios) if ratios else None


def _js(paper: Paper, network: NetworkStudy) -> Claim:
    """The JS distance needs a null: two samples of one distribution never have distance 0."""
    found = []
    for pair in network.pairs.values():
        for one in pair.comparison["comparisons"]:
            if one["perturbation"] == PERTURBATIONS[PIXEL] and one["measure"]["field"] == "euclidean":
                found.append(one["divergence"])
    found = [one for one in found if one is not None]
    published = paper.js.get(network.network)
    said, verdict, worst = "not measured", INCOMPARABLE, None
    if found:
        js, null = (np.mean([one[name] for one in found]) for name in ("js", "null_mean"))
        below = sum(one["p"] < 0.05 for one in found)
        said = f"{js:.2f}, and {null:.2f} if nothing differed; p < 0.05 in {below} of {len(found)} trainings"
        # A test that does not reject has not shown that nothing differs, so this claim never differs.
        verdict = AGREES if below == len(found) > 1 else OPEN
        worst = float(max(one["p"] for one in found))
    return Claim(
        "js", network.network, "The distribution of d_E under one pixel changes with adaptation.",
        "not given in the text" if published is None else f"{published:.2f}, without a null", said, verdict,
        "JS distance of d_E, base and adapted, against relabelled images; agrees where p < 0.05 in every training, and "
        "the largest of them enters the adjustment", worst,
    )  # fmt: skip
