"""How many images an audit needs before any is scored, and what an audit of so many can and cannot settle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robustkit.auditing.claims import claims_of
from robustkit.auditing.recorded import ABOUT, read_model
from robustkit.auditing.request import Thresholds
from robustkit.auditing.verdict import LINES
from robustkit.errors import InputError
from robustkit.findings.finding import ModelRecords
from robustkit.stats import Claim, claim_of_calibration, claim_of_means, images_needed
from robustkit.stats.claims import ALPHA, POWER, whole

_N = 2000  # images of a pilot that is made up: enough for its rates
# What is supposed where no pilot says it: accuracy, and how many answers a perturbation turns each way for nothing.
ACCURACY, CHURN = 0.8, 0.03


@dataclass(frozen=True)
class Planned:
    """A line of the verdict that is to be.

    Attributes:
        name: Its name.
        claim: What it claims.
        margin: What it is held against.
        supposed: The number that is supposed to be true.
        needed: Images to draw for 80% power to settle it then; `None` where no number is enough.
        passes: With n images it passes four times in five where the truth is at most this; `None` where nothing passes.
        fails: It fails four times in five where the truth is at least this; `None` where nothing fails.
    """

    name: str
    claim: str
    margin: float
    supposed: float
    needed: int | None
    passes: float | None
    fails: float | None


def plan(thresholds: Thresholds, n: int, *, pilot: ModelRecords | None = None, perturbations: int = 8) -> list[Planned]:
    """Plans the lines about one model.

    Args:
        thresholds: What the claims are held against.
        n: Images that an audit would draw.
        pilot: An audit whose numbers are supposed to be the truth; without one a good model is supposed: right in 80%,
            calibrated, losing nothing, half as many flips as the margin, no chance of a random extreme pixel.
        perturbations: How many are swept, without a pilot.

    Raises:
        InputError: If n is below 1, or the pilot measured nothing.
    """
    if n < 1:
        raise InputError(f"--n must be at least 1, got {n}")
    claims = _supposed(thresholds, perturbations) if pilot is None else claims_of(pilot, thresholds)
    if not claims:
        raise InputError("the pilot measured nothing that a claim could be planned from; run its steps first")
    drawn = _N if pilot is None else len(pilot.about["ids"])
    tail, found = ALPHA / len(claims), []
    for one in claims:
        of_correct = one.name in ("flip_rate", "random_extreme")
        part = (one.n / drawn if of_correct else 1.0) or 1.0
        good = one.value <= one.margin if one.most else one.value >= one.margin
        images = whole(one.needed("pass" if good else "fail", tail) / part)
        passes, fails = _reach(one, n * part, tail, perturbations)
        found.append(Planned(one.name, LINES[one.name].claim, one.margin, one.value, images, passes, fails))
    return found


def plan_text(lines: Sequence[Planned], n: int) -> str:
    """The plan as it is printed."""
    rows: list[tuple[str, ...]] = [
        ("claim", "held against", "supposed", "images", f"passes up to (n = {n})", "fails from")
    ]
    for one in lines:
        ends = ["never" if end is None else f"{end:.3f}" for end in (one.passes, one.fails)]
        if one.name in ("better_than_chance", "calibration_error"):
            ends = ["", ""]
        images = "no number" if one.needed is None else f"{one.needed:,}"
        rows.append((one.name, f"{one.margin:g}", f"{one.supposed:.3f}", images, *ends))
    widths = [max(len(row[k]) for row in rows) for k in range(6)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    settled = [one.needed for one in lines if one.needed is not None]
    open_ = [one.name for one in lines if one.needed is None or one.needed > n]
    text.append(f"for all lines at once: {max(settled, default=0):,} images" if len(settled) == len(lines) else
                "some lines lie at their margin: no number of images settles them")  # fmt: skip
    if open_:
        text.append(f"{n:,} images would probably leave undecided: {', '.join(open_)}")
    return "\n".join(text)


def read_pilot(folder: Path) -> ModelRecords:
    """The audited model of an earlier audit.

    Raises:
        InputError: If the folder is no audit.
    """
    model = folder / "model"
    if not (model / ABOUT).is_file():
        raise InputError(f"--pilot {folder} is not the folder of an audit")
    return read_model(model, "pilot")


def _supposed(limits: Thresholds, perturbations: int) -> list[Claim]:
    """The claims of a good model, from images that are made up in the right proportions."""
    change = _change(0.0)
    known = round(_N * ACCURACY)
    right = np.arange(_N) < known
    confidence = np.linspace(2 * ACCURACY - 1, 1, _N)
    spread = np.arange(_N) * 0.6180339887 % 1  # even in every part of the confidences
    said = np.stack([confidence, 1 - confidence], 1)
    ahead = np.where(right, 1.0, 0.0) - (np.arange(_N) % 3 == 0)
    gained = ahead - limits.gain * (np.arange(_N) % 3 != 0)
    return [
        claim_of_means("better_than_chance", gained, 0.0, most=False, low=-1, high=1 - limits.gain),
        claim_of_calibration("calibration_error", said, np.where(spread < confidence, 0, 1), limits.calibration_error),
        claim_of_means("domain_gap", change, limits.domain_gap, low=-1),
        claim_of_means("exposure_loss", change, limits.exposure_loss, low=-1),
        claim_of_means("fault_loss", np.stack([change] * perturbations), limits.fault_loss, low=-1,
                       series=[str(i) for i in range(perturbations)]),
        claim_of_means("flip_rate", np.arange(known) < limits.flip_rate / 2 * known, limits.flip_rate),
        claim_of_means("random_extreme", np.zeros(known), limits.random_extreme),
    ]  # fmt: skip


def _change(loss: float) -> np.ndarray:
    """Answers lost to something that costs so much, and that turns a few each way besides, shape (N,)."""
    place = (np.arange(_N) + 0.5) / _N
    return np.where(place < CHURN, -1.0, np.where(place > 1 - CHURN - loss, 1.0, 0.0))


def _rate(rate: float) -> np.ndarray:
    return ((np.arange(_N) + 0.5) / _N < rate).astype(float)


def _reach(one: Claim, n: float, tail: float, perturbations: int) -> tuple[float | None, float | None]:
    """The largest truth that passes, and the smallest that fails, four times in five, with so many images."""
    if one.name in ("better_than_chance", "calibration_error"):
        return None, None
    make, low = (_rate, 0.0) if one.name in ("flip_rate", "random_extreme", "accidents") else (_change, -1.0)
    many = perturbations if one.name == "fault_loss" else 1
    grid = np.arange(0, 1 - 2 * CHURN, 0.0025)

    def enough(truth: float, *, below: bool) -> bool:
        power, level = (POWER ** (1 / many), tail) if below else (POWER, tail / many)
        return images_needed(make(truth), one.margin, below=below, tail=level, power=power, low=low) <= n

    passes = _last(grid[grid < one.margin], lambda truth: enough(truth, below=True))
    fails = _last(grid[grid > one.margin][::-1], lambda truth: enough(truth, below=False))
    return passes, fails


def _last(truths: np.ndarray, holds: Callable[[float], bool]) -> float | None:
    """The last of some truths for which something holds, that holds for all before it; `None` where for none."""
    left, right = -1, len(truths)
    while right - left > 1:
        middle = (left + right) // 2
        left, right = (middle, right) if holds(float(truths[middle])) else (left, middle)
    return float(truths[left]) if left >= 0 else None
