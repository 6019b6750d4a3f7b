"""How often the interval of the expected changes holds the truth: simulated surveys whose truth is known.

python -m benchmarks.coverage [--surveys 200]
"""

from __future__ import annotations

import argparse

import numpy as np

from robustkit.findings.hazard.record import HazardRecord
from robustkit.findings.hazard.summary import total

_RATE, _IMAGES, _EVENTS = 0.02, 150, 40
# The share of the images that can be changed at all, and the beta law of their chances.
_POPULATIONS = ((0.3, 1.0, 3.0), (0.1, 0.5, 2.0), (1.0, 0.3, 3.0))


def survey(chances: np.ndarray, rng: np.random.Generator) -> HazardRecord:
    """What one survey sees: so many of the events of each image change it."""
    hits = rng.binomial(_EVENTS, chances)
    became = np.stack([_EVENTS - hits, hits, np.zeros_like(hits)], -1)[None]
    zeros = np.zeros(len(chances), int)
    return HazardRecord(
        ids=np.array([str(i) for i in range(len(chances))]), true=zeros, clean=zeros, faults=["cosmic-ray"],
        became=became, level=np.ones((1, _EVENTS)), units=["pixels"], rate=np.array([_RATE]), source=["simulated"],
        kept=1.0, depth="Y10", class_names=["a", "b"], settings={}, rare=np.empty((1, 0, len(chances))),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--surveys", type=int, default=200)
    options = parser.parse_args()
    for share, a, b in _POPULATIONS:
        rng, above, below = np.random.default_rng(5), 0, 0

        def draw(n: int, rng: np.random.Generator = rng, law: tuple[float, float, float] = (share, a, b)) -> np.ndarray:
            return np.where(rng.random(n) < law[0], rng.beta(*law[1:], n), 0.0)

        truth = 1e6 * float(np.mean(1 - np.exp(-_RATE * draw(2_000_000))))
        for _ in range(options.surveys):
            found = total(survey(draw(_IMAGES), rng))
            assert found is not None
            above, below = above + (found["low"] > truth), below + (found["high"] < truth)
        held = 1 - (above + below) / options.surveys
        print(
            f"{share:g} of the images, beta({a:g}, {b:g}): held {held:.3f}, too high {above}, too low {below}",
            flush=True,
        )


if __name__ == "__main__":
    main()
