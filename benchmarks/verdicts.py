"""How often a verdict is wrong: simulated audits whose truth is known, decided as the page decides them.

    python benchmarks/verdicts.py --out verdicts.json

An audit is simulated from the true rates of a model, or of two on the same images: answers before and after each
perturbation, draw by draw, flips, chances of a random extreme pixel, confidences. They go through the claims and the
decisions of `robustkit.auditing` unchanged. A pass is false where the truth does not lie on the good side of the
margin, a fail where it does not lie on the bad side; at a margin both are. A finished scenario is kept in the file and
not simulated again.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from robustkit.auditing.claims import claims_of, claims_of_pair
from robustkit.auditing.request import Thresholds
from robustkit.findings.clean.record import CleanRecord
from robustkit.findings.finding import ModelRecords
from robustkit.stats import Claim
from robustkit.stats.claims import statuses

LIMITS, DRAWS = Thresholds(), 5
EIGHT = ("exposure", *(f"fault {i}" for i in range(7)))
CLASSES, SKEWED = (0.4, 0.35, 0.25), (0.9, 0.06, 0.04)


@dataclass(frozen=True)
class Truth:
    """True rates of a model.

    Attributes:
        accuracy: On clean images.
        gap: Accuracy lost on the target.
        losses: Accuracy lost to each perturbation.
        flips: Rate of correct images that one pixel flips.
        chance: Mean chance of a random extreme pixel: most images have none, some have a large one.
        off: How far confidence lies from accuracy.
        churn: Rate of right answers, and of wrong ones, that a perturbation changes beside what it costs.
    """

    accuracy: float = 0.85
    gap: float = 0.0
    losses: dict[str, float] = field(default_factory=lambda: dict.fromkeys(EIGHT, 0.0))
    flips: float = 0.03
    chance: float = 0.005
    off: float = 0.0
    churn: float = 0.03


@dataclass(frozen=True)
class Scenario:
    """A page to be simulated: one model, or one against a base, on n images."""

    one: Truth
    n: int
    base: Truth | None = None
    classes: tuple[float, ...] = CLASSES


def at_margins(classes: tuple[float, ...] = CLASSES) -> Truth:
    """Every number exactly at its margin."""
    best = max(classes)
    losses = dict.fromkeys(EIGHT, LIMITS.fault_loss) | {"exposure": LIMITS.exposure_loss}
    accuracy = best + LIMITS.gain * (1 - best)
    return Truth(accuracy, LIMITS.domain_gap, losses, LIMITS.flip_rate, LIMITS.random_extreme, LIMITS.calibration_error)


def scenarios() -> dict[str, Scenario]:
    """What is simulated."""
    good, edge = Truth(), at_margins()
    many = tuple(f"fault {i}" for i in range(26))
    free = dict.fromkeys(EIGHT, 0.0)
    bad = Truth(0.6, 0.25, dict.fromkeys(EIGHT, 0.3), 0.5, 0.2, 0.3)
    equal = replace(good, flips=0.3, losses=dict.fromkeys(EIGHT, 0.05))
    lost, skewed = replace(good, accuracy=0.65, gap=-0.15), at_margins(SKEWED)
    found = {
        "clearly good, n = 1,000": Scenario(good, 1000),
        "as `robustkit plan` supposes, n = 480": Scenario(Truth(0.8, flips=LIMITS.flip_rate / 2, chance=0.0), 480),
        "clearly bad, n = 300": Scenario(bad, 300),
        "worse than one answer, n = 300": Scenario(replace(bad, accuracy=0.15, gap=0.0, losses=free), 300),
        "26 perturbations, all at the margin, n = 150": Scenario(replace(good, losses=dict.fromkeys(many, 0.1)), 150),
        "26 perturbations that cost nothing, n = 600": Scenario(replace(good, losses=dict.fromkeys(many, 0.0)), 600),
        "two equal models, n = 150": Scenario(equal, 150, equal),
        "two equal models, n = 600": Scenario(equal, 600, equal),
        "target gained, source kept, n = 1,000": Scenario(good, 1000, replace(good, gap=0.25)),
        "target gained, source lost, n = 600": Scenario(lost, 600, replace(good, gap=0.05)),
        "skewed classes, all at the margin, n = 300": Scenario(skewed, 300, classes=SKEWED),
        "skewed classes, one answer, n = 300": Scenario(replace(skewed, accuracy=0.9), 300, classes=SKEWED),
    }
    return found | {f"all at the margin, n = {n}": Scenario(edge, n) for n in (3, 10, 30, 150, 600)}


def simulate(truth: Truth, true: np.ndarray, shared: np.ndarray, rng: np.random.Generator, label: str) -> ModelRecords:
    """The records of an audit of one model.

    Args:
        truth: Its true rates.
        true: Classes of the N images.
        shared: What two models have in common about each image, shape (2, N), in [0, 1]: which are hard.
        rng: Where the rest comes from.
        label: Its name.
    """
    n = len(true)
    # Chances to be right vary from image to image around the accuracy, and confidence lies `off` from them.
    rate = truth.accuracy + min(0.08, 1 - truth.accuracy) * (2 * shared[0] - 1)
    right = np.where(rng.random(n) < 0.7, shared[1], rng.random(n)) < rate
    sign = 1 if truth.accuracy + 0.08 + truth.off < 1 else -1
    said = np.where(right, true, (true + 1) % 3)
    source = _clean("source", said, rate + sign * truth.off, true)
    after = _moved(right, truth.accuracy, truth.gap, truth.churn, rng) == 1
    target = _clean("target", np.where(after, true, (true + 1) % 3), np.full(n, 0.8), true)
    names = np.array(list(truth.losses))
    swept = [_moved(right, truth.accuracy, loss, truth.churn, rng, DRAWS) for loss in truth.losses.values()]
    sweep = SimpleNamespace(
        true=true, clean_class=said, name=names, right=np.stack(swept), steps=lambda name: np.flatnonzero(names == name)
    )
    flipped = right & (rng.random(n) < truth.flips)
    chances = np.where(rng.random(n) < 2 * truth.chance, rng.random(n), 0.0)
    records: dict[str, Any] = {
        "clean": {"source": source, "target": target}, "sweep": sweep,
        "attack": SimpleNamespace(correct=right, flipped_images=lambda: flipped),
        "certificate": SimpleNamespace(complete=right, correct=right, chance_low=chances),
    }  # fmt: skip
    return ModelRecords(label, Path(), {}, {}, records)


def _clean(domain: str, said: np.ndarray, confidence: np.ndarray, true: np.ndarray) -> CleanRecord:
    probabilities = np.repeat(((1 - confidence) / 2)[:, None], 3, 1)
    probabilities[np.arange(len(said)), said] = confidence
    ids = np.arange(len(said)).astype(str)
    return CleanRecord(domain, "simulated", "test", ["a", "b", "c"], ids, true, probabilities, len(said), 0.5)


def _moved(
    right: np.ndarray, accuracy: float, loss: float, churn: float, rng: np.random.Generator, draws: int = 1
) -> np.ndarray:
    """Share of draws that are right after something that costs `loss`; half of the images answer all draws alike."""
    if loss >= 0:
        up, down = churn, (loss + (1 - accuracy) * churn) / accuracy
    else:
        down, up = churn, (accuracy * churn - loss) / (1 - accuracy)
    turned = np.where(rng.random(len(right)) < 0.5, rng.random(len(right)), rng.random((draws, len(right))))
    return np.where(right, turned >= down, turned < up).mean(0)


def margins_of(scenario: Scenario) -> dict[str, float]:
    """How far the truth of each claim lies on its good side; below 0 on the bad one, 0 at the margin."""
    one, base, best = scenario.one, scenario.base, max(scenario.classes)
    found = {
        "better_than_chance": one.accuracy - best - LIMITS.gain * (1 - best),
        "calibration_error": LIMITS.calibration_error - one.off,
        "domain_gap": LIMITS.domain_gap - one.gap,
        "fault_loss": LIMITS.fault_loss - max(one.losses.values()),
        "flip_rate": LIMITS.flip_rate - one.flips,
        "random_extreme": LIMITS.random_extreme - one.chance,
    }
    if "exposure" in one.losses:
        found["exposure_loss"] = LIMITS.exposure_loss - one.losses["exposure"]
    if base is not None:
        ahead = {name: one.accuracy - loss - base.accuracy + base.losses[name] for name, loss in one.losses.items()}
        found |= {
            "keeps_accuracy_on_the_source": LIMITS.lost_to_base + one.accuracy - base.accuracy,
            "better_accuracy_on_the_target": one.accuracy - one.gap - base.accuracy + base.gap,
            "better_flip_rate": base.flips - one.flips,
            "better_exposure": ahead["exposure"],
            "keeps_under_perturbations": LIMITS.lost_to_base + min(ahead.values()),
        }
    return {name: 0.0 if abs(value) < 1e-9 else value for name, value in found.items()}


def page(scenario: Scenario, rng: np.random.Generator) -> list[Claim]:
    """The claims of one simulated audit."""
    true = rng.choice(3, size=scenario.n, p=scenario.classes)
    shared = rng.random((2, scenario.n))
    one = simulate(scenario.one, true, shared, rng, "one")
    if scenario.base is None:
        return claims_of(one, LIMITS)
    return claims_of(one, LIMITS) + claims_of_pair(one, simulate(scenario.base, true, shared, rng, "base"), LIMITS)


def run(name: str, scenario: Scenario, audits: int) -> dict[str, Any]:
    """Simulates a scenario and counts."""
    rng, began = np.random.default_rng(zlib.crc32(name.encode())), time.monotonic()
    margins, counts = margins_of(scenario), Counter[str]()
    lines: dict[str, Counter[str]] = {line: Counter() for line in margins}
    for _ in range(audits):
        claims = page(scenario, rng)
        found = dict(zip([one.name for one in claims], statuses(claims), strict=True))
        for line, status in found.items():
            lines[line][status] += 1
        counts["false pass"] += any(status == "pass" and margins[line] <= 0 for line, status in found.items())
        counts["false fail"] += any(status == "fail" and margins[line] >= 0 for line, status in found.items())
    return {
        "audits": audits, "n": scenario.n, "lines": len(lines), "seconds": time.monotonic() - began,
        "false pass": counts["false pass"] / audits, "false fail": counts["false fail"] / audits,
        "right": {line: found["pass" if margins[line] > 0 else "fail"] / audits
                  for line, found in lines.items() if margins[line]},
    }  # fmt: skip


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    lines = ["| scenario | lines | false pass | false fail | settled rightly, mean and least of the lines |",
             "|---|---|---|---|---|"]  # fmt: skip
    for name, one in results.items():
        right = one["right"]
        least = min(right, key=lambda line: right[line], default="")
        said = f"{np.mean(list(right.values())):.2f}, {right[least]:.2f} ({least})" if right else ""
        lines.append(f"| {name} | {one['lines']} | {one['false pass']:.3f} | {one['false fail']:.3f} | {said} |")
    return "\n".join(lines)


def main() -> None:
    """Simulates what is not in the file yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audits", type=int, default=1000, help="of each scenario")
    parser.add_argument("--small", action="store_true", help="few audits: does it run?")
    parser.add_argument("--out", type=Path, help="JSON file; what is in it is not simulated again")
    options = parser.parse_args()
    audits = 20 if options.small else options.audits
    results = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    for name, scenario in scenarios().items():
        if name not in results or results[name]["audits"] != audits:
            results[name] = run(name, scenario, audits)
            if options.out:
                options.out.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
