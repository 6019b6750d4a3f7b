"""Where another class is ahead along lines, as stretches of the distance walked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Spans:
    """Where another class is ahead on L lines, as stretches of the distance from the clean value.

    Attributes:
        line: Which line each stretch is of, shape (S,), rising.
        start: Where it begins, shape (S,), at least 0; rising within a line.
        stop: Where it ends, shape (S,).
        whole: Which lines were followed to their end, shape (L,), bool.
        pieces: Breakpoints that were met on each line, shape (L,).
        peak: Largest margin that was met on each line, in logits, shape (L,). While no line flips, the largest of these
            is the largest on any line, to within `near` of it; see `LineNetwork.follow`.
        peak_at: At which distance, shape (L,).
    """

    line: Whole
    start: Floats
    stop: Floats
    whole: NDArray[np.bool_]
    pieces: Whole
    peak: Floats
    peak_at: Floats


def spans_of(
    n: int,
    here: float,
    tops: Floats,
    ends: Floats,
    flips: Floats,
    walked: Floats,
    pieces: Whole,
    whole: NDArray[np.bool_],
    peaks: Floats,
) -> Spans:
    """Stretches in order, those that touch as one, with what was met on each line.

    Args:
        n: How many lines there are, L.
        here: The margin at their start.
        tops: Those at their ends, shape (L,).
        ends: Where these are, shape (L,).
        flips: Line, start and stop of stretches where another class is ahead, shape (F, 3).
        walked: Those of stretches that were walked, shape (M, 3).
        pieces: Breakpoints of each of these, shape (M,).
        whole: Whether each was walked to its end, shape (M,).
        peaks: The largest margin of each and its distance, shape (M, 2).
    """
    flips = flips[np.lexsort((flips[:, 1], flips[:, 0]))]
    new = np.ones(len(flips), bool)
    new[1:] = (flips[1:, 0] != flips[:-1, 0]) | (flips[1:, 1] != flips[:-1, 2])
    last, at = np.roll(new, -1), walked[:, 0].astype(np.int64)
    order = np.argsort(peaks[:, 0], kind="stable")
    peak, peak_at = np.maximum(tops, here), np.where(tops > here, ends, 0.0)
    best, best_at = np.full(n, -np.inf), np.zeros(n)
    best[at[order]], best_at[at[order]] = peaks[order].T  # of equal indices the last holds
    higher = best > peak
    peak[higher], peak_at[higher] = best[higher], best_at[higher]
    complete = np.ones(n, bool)
    complete[at[~whole]] = False
    met = np.bincount(at, pieces, n).astype(np.int64)
    return Spans(flips[new, 0].astype(np.int64), flips[new, 1], flips[last, 2], complete, met, peak, peak_at)
