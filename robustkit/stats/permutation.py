"""Relabelling two samples at random: what a statistic would be if both were drawn from one distribution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robustkit.errors import InputError

_CELLS = 400_000  # memberships held at once: 3 MB, so that they stay in the cache


def permutation_null(
    statistic: Callable[[np.ndarray], np.ndarray],
    n: int,
    m: int,
    *,
    paired: bool = False,
    draws: int = 1999,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of two samples as they are, and after random relabellings.

    Args:
        statistic: Takes memberships, shape (B, n + m), float64, 1 where a point of the pooled sample (first sample
            first) counts as the first sample and 0 where as the second, and returns (S, B) numbers.
        n: Size of the first sample.
        m: Size of the second sample.
        paired: Whether row i of both samples is one image: relabelling then swaps the two within each pair.
        draws: How many relabellings.
        rng: Where they come from.

    Returns:
        The statistics as observed, shape (S,), and relabelled, shape (S, draws).

    Raises:
        InputError: If the samples are paired and differ in size, or there is no relabelling.
    """
    if paired and n != m:
        raise InputError(f"paired samples need one size; there are {n} and {m}")
    if draws < 1:
        raise InputError(f"draws is {draws}; a permutation test needs at least 1")
    observed = np.repeat([1.0, 0.0], [n, m])[None]
    batch = max(1, _CELLS // (n + m))
    null = [
        statistic(_relabelled(observed, n, min(batch, draws - start), paired, rng)) for start in range(0, draws, batch)
    ]
    return statistic(observed)[:, 0], np.concatenate(null, axis=1)


def permutation_p(observed: np.ndarray | float, null: np.ndarray) -> np.ndarray:
    """One-sided p-values (1 + those at least as large) / (1 + draws), never 0.

    Args:
        observed: The statistics as observed, shape (...).
        null: The relabelled ones, shape (..., draws).

    Source: Phipson & Smyth 2010, doi:10.2202/1544-6115.1585.

    Examples:
        >>> permutation_p(2.0, np.array([0.0, 1.0, 2.0]))
        array(0.5)
    """
    value = np.asarray(observed)[..., None]
    # The same relabelling summed in another order may differ in the last digits; it counts as reached.
    reached = null >= value - 1e-12 * np.abs(value)
    return np.asarray((1 + reached.sum(axis=-1)) / (1 + null.shape[-1]))


def _relabelled(observed: np.ndarray, n: int, count: int, paired: bool, rng: np.random.Generator) -> np.ndarray:
    if paired:
        kept = rng.integers(2, size=(count, n)).astype(np.float64)
        return np.concatenate([kept, 1 - kept], axis=1)
    return rng.permuted(np.repeat(observed, count, axis=0), axis=1)
