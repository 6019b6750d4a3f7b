"""Claims that were fixed before anybody looked, decided together so that a whole page seldom errs.

A claim says that a mean is at most, or at least, a margin; one of several series says it of each of them. Two tests ask
opposite questions: is it shown to hold (small `holds`), is it shown not to (small `breaks`)? Holm's procedure over all
claims of a page keeps the chance of any false pass at most alpha, and that of any false fail, whatever the dependence.
What neither shows is undecided, with the side on which it leans and how many images would settle it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import root_scalar
from scipy.special import ndtri
from scipy.stats import binom, ncx2

from robustkit.errors import InputError
from robustkit.stats.bounded import bounded_mean, distance, p_above, p_below
from robustkit.stats.calibration import check_probabilities
from robustkit.stats.multiple import holm

ALPHA, POWER = 0.05, 0.8
Verdict = Literal["pass", "fail", "undecided"]
Side = Literal["pass", "fail"]
# Images in a bin of confidence, at least, and bins, at most: few bins see little, many see noise.
_IN_BIN, _BINS = 25, 8


@dataclass(frozen=True, eq=False)
class Claim:
    """What is claimed, and what was measured of it.

    Attributes:
        name: Unique among the claims that are decided together.
        margin: What the number is held against.
        most: Whether the claim is "at most the margin"; otherwise "at least".
        value: The number: of several series that of the worst.
        n: How many images it rests on.
        holds: p-value against "it does not hold".
        breaks: p-value against "it holds".
        ends: The interval for two tails: how often the true number lies below it, and above it.
        needed: How many images would show, four times in five, that it holds or that it does not, where the truth is
            as measured; infinite where the number lies at the margin.
        worst: Which series `value` is of; empty for a claim of one series.
    """

    name: str
    margin: float
    most: bool
    value: float
    n: int
    holds: float
    breaks: float
    ends: Callable[[float, float], tuple[float, float]]
    needed: Callable[[Side, float], float]
    worst: str = ""


@dataclass(frozen=True)
class Decision:
    """How a claim was decided among the others of its page.

    Attributes:
        name: That of the claim.
        status: Whether it was shown to hold, shown not to hold, or neither.
        value: The number.
        low: Lower end of the interval that decides: the margin lies outside exactly where the status is not undecided.
        high: Upper end.
        n: How many images it rests on.
        margin: What it is held against.
        most: Whether the claim is "at most".
        p: The smaller of the two p-values, adjusted for the size of the family.
        family: How many claims were decided together.
        level: Confidence level of the interval by itself.
        leans: On which side of the margin the number lies.
        needed: Images that would settle an undecided claim four times in five; `None` where none would, or it is
            settled.
        worst: Which of several series the number is of.
    """

    name: str
    status: Verdict
    value: float
    low: float
    high: float
    n: int
    margin: float
    most: bool
    p: float
    family: int
    level: float
    leans: Side
    needed: int | None = None
    worst: str = ""


def decide(claims: Sequence[Claim], *, alpha: float = ALPHA) -> list[Decision]:
    """Decides the claims of one page together.

    Args:
        claims: All of them, each once.
        alpha: How often a page may hold any false pass at most, and how often any false fail.

    Returns:
        A decision for each claim, in their order.

    Source: Holm 1979; Guilbaud 2008, doi:10.1002/bimj.200710449, for the intervals.
    """
    found = {side: _stepped([getattr(one, how) for one in claims], alpha) for side, how in _TESTS.items()}
    decisions = []
    for i, one in enumerate(claims):
        (passed, pass_p, pass_tail), (failed, fail_p, fail_tail) = (found[side][i] for side in ("pass", "fail"))
        # The end that shows an "at most" claim is the upper one.
        low_tail, high_tail = (fail_tail, pass_tail) if one.most else (pass_tail, fail_tail)
        low, high = one.ends(low_tail, high_tail)
        good = one.value <= one.margin if one.most else one.value >= one.margin
        status: Verdict = "pass" if passed else "fail" if failed else "undecided"
        needed = None
        if status == "undecided":
            needed = whole(one.needed("pass", pass_tail) if good else one.needed("fail", fail_tail))
        decisions.append(
            Decision(
                one.name, status, one.value, low, high, one.n, one.margin, one.most, min(pass_p, fail_p), len(claims),
                1 - low_tail - high_tail, "pass" if good else "fail", needed, one.worst,
            )
        )  # fmt: skip
    return decisions


def statuses(claims: Sequence[Claim], *, alpha: float = ALPHA) -> list[Verdict]:
    """The statuses that `decide` gives, without the intervals, which take most of its time.

    Args:
        claims: All claims of a page.
        alpha: As in `decide`.
    """
    passed, failed = (_stepped([getattr(one, how) for one in claims], alpha) for how in _TESTS.values())
    return [
        "pass" if good else "fail" if bad else "undecided" for (good, *_), (bad, *_) in zip(passed, failed, strict=True)
    ]


_TESTS: dict[Side, str] = {"pass": "holds", "fail": "breaks"}


def _stepped(p: Sequence[float], alpha: float) -> list[tuple[bool, float, float]]:
    """Of each p-value whether Holm rejects, the adjusted p, and the tail at which it was looked at."""
    adjusted = holm(p)
    rejected = adjusted <= alpha
    # The k-th smallest is held against alpha / (m - k); what is left at the end, against what is left of alpha.
    rank = np.empty(len(p), dtype=np.int64)
    rank[np.argsort(p, kind="stable")] = np.arange(len(p))
    step = np.where(rejected, rank, rejected.sum())
    return [
        (bool(yes), float(value), alpha / (len(p) - int(k)))
        for yes, value, k in zip(rejected, adjusted, step, strict=True)
    ]


def whole(images: float) -> int | None:
    """A number of images, rounded up to two digits; `None` where no number is enough."""
    if not math.isfinite(images) or images > 1e9:
        return None
    digits = 10 ** max(0, math.floor(math.log10(max(images, 1))) - 1)
    return max(1, math.ceil(images / digits) * digits)


def claim_of_means(
    name: str,
    values: ArrayLike,
    margin: float,
    *,
    most: bool = True,
    low: float = 0.0,
    high: float = 1.0,
    series: Sequence[str] = ("",),
) -> Claim:
    """The claim that a mean, or each of several means, is at most (or at least) a margin.

    That all hold is shown where each is shown by itself; that one does not, where one is shown at a level divided by
    their number.

    Args:
        name: Of the claim.
        values: One number for each image, shape (N,) or (M, N).
        margin: What each mean is held against.
        most: Whether the claim is "at most"; otherwise "at least".
        low: The lowest value possible.
        high: The highest value possible.
        series: Names of the M series.

    Raises:
        InputError: If there is no image, the names do not fit the series, or a value lies outside the bounds.
    """
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if rows.ndim != 2 or not rows.size or len(rows) != len(series):
        raise InputError(f"{name}: {len(series)} series of at least one image needed; the shape is {rows.shape}")
    many, n = rows.shape
    sign = 1 if most else -1
    # All that follows speaks of "at most": the other claim is the same of the negative numbers.
    rows, aim = sign * rows, sign * margin
    bounds = {"low": low, "high": high} if most else {"low": -high, "high": -low}
    means = rows.mean(1)
    worst = int(means.argmax())

    def ends(below: float, above: float) -> tuple[float, float]:
        tails = (below, above) if most else (above, below)
        found = bounded_mean(rows, tails=(tails[0] / many, tails[1]), **bounds)
        pair = sign * float(np.max(found.low)), sign * float(np.max(found.high))
        return pair if most else (pair[1], pair[0])

    def needed(side: Side, tail: float) -> float:
        if side == "fail":
            return min(images_needed(row, aim, below=False, tail=tail / many, **bounds) for row in rows)
        # All of them must be shown, so each must be shown more often.
        power = POWER ** (1 / many)
        return max(images_needed(row, aim, below=True, tail=tail, power=power, **bounds) for row in rows)

    return Claim(
        name, margin, most, sign * float(means[worst]), n,
        holds=float(np.max(p_below(rows, aim, **bounds))),
        breaks=min(1.0, many * float(np.min(p_above(rows, aim, **bounds)))),
        ends=ends, needed=needed, worst=series[worst],
    )  # fmt: skip


def images_needed(
    values: ArrayLike,
    margin: float,
    *,
    below: bool,
    tail: float,
    power: float = POWER,
    low: float = 0.0,
    high: float = 1.0,
) -> float:
    """How many images like these show that their mean lies below (or above) a margin.

    Args:
        values: One number for each image of a pilot, shape (N,).
        margin: What the mean is held against.
        below: Whether "below" is to be shown.
        tail: The one-sided level of the test.
        power: How often it should succeed, were the truth as in the pilot.
        low: The lowest value possible.
        high: The highest value possible.

    Returns:
        A number of images; infinite where the pilot lies at the margin or beyond it.
    """
    row = np.asarray(values, dtype=np.float64)
    far = float(distance(row if not below else low + high - row, margin if not below else low + high - margin,
                         low=low, high=high))  # fmt: skip
    if not far > 0:
        return math.inf
    if row.min() == row.max():  # nothing varies: the test is exact, and so is this
        return 2 * math.log(1 / tail) / far**2
    return ((-ndtri(tail) + ndtri(power)) / far) ** 2


def claim_of_calibration(name: str, probabilities: ArrayLike, labels: ArrayLike, margin: float) -> Claim:
    """The claim that confidence and accuracy differ by at most a margin, root mean square over bins of confidence.

    The bins hold equal numbers of images. What a calibrated classifier would have by chance is subtracted, so that
    the number is 0 on average for one, where the expected calibration error is not.

    Args:
        name: Of the claim.
        probabilities: Class probabilities, shape (N, K).
        labels: True classes, shape (N,).
        margin: The largest difference that counts as none.

    Raises:
        InputError: If the probabilities are not in [0, 1] with rows that sum to 1, or the labels do not fit them.

    Source: Kumar, Liang & Ma 2019, arXiv:1909.10155, for the unbiased square; noncentral chi-squared for its law.
    """
    scores, true = check_probabilities(probabilities, labels)
    confidence, right = scores.max(1), (scores.argmax(1) == true).astype(np.float64)
    n = len(true)
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(_BINS, max(1, n // _IN_BIN)))
    said, found = (np.array([values[one].mean() for one in bins]) for values in (confidence, right))
    sizes = np.array([len(one) for one in bins])
    # The largest of what the answers, the confidences, and confidences wrong by the margin say: where few answers are
    # wrong, those that were seen say too little of how many there might have been.
    moved = [np.clip(confidence + shift, 0, 1) for shift in (0, -margin, margin)]
    chance = np.array([max(float((p * (1 - p))[one].mean()) for p in moved) for one in bins])
    spread = np.maximum(chance, found * (1 - found)) / sizes
    noise = max(float((sizes / n) @ spread), 1e-9)
    square = float((sizes / n) @ (found - said) ** 2)
    value = math.sqrt(max(square - noise, 0.0))
    many = len(bins)
    each = noise / many  # of a bin, weighted: the square over it is noncentral chi-squared

    def tail_of(error: float, upper: bool, scale: float = each) -> float:
        law = ncx2.sf if upper else ncx2.cdf
        return float(law(square / scale, many, max(error, 1e-6) ** 2 / scale))

    def one_sided(error: float) -> float:
        """How often as many are right, or as few, where every confidence is too high, or too low, by this.

        Where every answer was sure and is right the square is 0, and says nothing of how many might have been wrong.
        """
        tails = []
        for sign in (-1, 1):
            true = np.clip(confidence + sign * error, 0, 1)
            if math.sqrt(((true - confidence) ** 2).mean()) >= error - 1e-9:  # less where it was cut off
                seen = (right.sum() - 1, right.sum())[sign > 0]
                tails.append(float((binom.sf if sign < 0 else binom.cdf)(seen, n, true.mean())))
        return max(tails, default=0.0)

    def highest(tail: float) -> float:
        """The upper end: the largest error that neither the squares nor the number of correct predictions rules out."""
        if one_sided(1.0) >= tail:
            return 1.0
        alike = root_scalar(lambda error: one_sided(error) - tail, bracket=(0.0, 1.0), method="bisect", xtol=1e-9).root
        return max(end(tail, True), float(alike))

    def end(tail: float, upper: bool) -> float:
        """The error at which a square as small (or as large) is that rare."""
        # Lower end: where an error as small would exceed this square that rarely; upper end: would stay below it.
        at = lambda error: tail_of(error, not upper) - tail  # noqa: E731
        if (at(0.0) <= 0) if upper else (at(0.0) >= 0):
            return 0.0
        if (at(1.0) >= 0) if upper else (at(1.0) <= 0):
            return 1.0
        return float(root_scalar(at, bracket=(0.0, 1.0)).root)

    def needed(side: Side, tail: float) -> float:
        if (value < margin) != (side == "pass") or value == margin:
            return math.inf

        def lacking(size: float) -> float:
            scale = each * n / size
            cut = ncx2.ppf(tail if side == "pass" else 1 - tail, many, margin**2 / scale)
            reached = (ncx2.cdf if side == "pass" else ncx2.sf)(cut, many, max(value, 1e-6) ** 2 / scale)
            return float(reached) - POWER

        fewest = 1.0
        if side == "pass":  # all right, as many as show it by their number alone
            fewest = math.log(tail) / math.log1p(-margin)
        top = max(float(n), fewest)
        while lacking(top) < 0 and top < 1e9:
            top *= 2
        return (
            math.inf
            if top >= 1e9
            else max(fewest, float(root_scalar(lacking, bracket=(1.0, top)).root))
            if lacking(1.0) < 0
            else fewest
        )

    return Claim(
        name, margin, True, value, n,
        holds=max(tail_of(margin, False), one_sided(margin)), breaks=tail_of(margin, True),
        ends=lambda below, above: (end(below, False), highest(above)), needed=needed,
    )  # fmt: skip
