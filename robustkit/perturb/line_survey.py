"""All lines of an image: followed exactly where the network is piecewise affine, else looked at on a grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustkit.engine import Candidates, Evaluator
from robustkit.engine.line_spans import Spans
from robustkit.engine.lines import LineNetwork
from robustkit.models import AuditedClassifier
from robustkit.perturb.amplitudes import NEAR, Amplitudes, Floats
from robustkit.perturb.decision import UNTARGETED, flips, margin
from robustkit.perturb.proof import ask_network

Whole = NDArray[np.int64]

# Cells of the grid that are cut again where the margin heads for the boundary, and how often an end is halved.
_CUTS, _HALVINGS = 3, 24
_AT_ONCE = 1 << 16  # candidates
# Lines whose largest margin the network is asked for, at random and among the most dangerous; and for how much more
# than the largest difference the bound leaves room.
_RANDOM, _DANGEROUS, _SAFETY = 48, 16, 8.0


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines of one kind and direction through pixels of an image, and where they flip it.

    Attributes:
        kind: Which line through a pixel.
        sign: 1 up, -1 down.
        pixel: Row and column, shape (L, 2).
        end: How far they go, shape (L,).
        spans: What was found.
    """

    kind: int
    sign: int
    pixel: Whole
    end: Floats
    spans: Spans


class LineSurvey:
    """The lines of one image.

    Args:
        classifier: The network itself.
        image: Network input, shape (C, H, W).
        calibrated: The same before the stretch, shape (C, H, W).
        label: The class that is to stay.
        amplitudes: What a pixel may become.
        network: What follows lines exactly; `None` for a grid.
        evaluator: Scores candidates of this image alone; for the grid.
        levels: Values of the grid on a line up or down, at least 2.
    """

    def __init__(
        self,
        classifier: AuditedClassifier,
        image: Tensor,
        calibrated: Floats,
        label: int,
        amplitudes: Amplitudes,
        *,
        network: LineNetwork | None,
        evaluator: Callable[[], Evaluator],
        levels: int,
    ) -> None:
        self.classifier, self.image, self.label, self.amplitudes = classifier, image[None], label, amplitudes
        self.network, self.levels, self._make = network, levels, evaluator
        self._labels = torch.tensor([label], device=image.device)
        self._clean = image.detach().cpu().numpy().astype(np.float64)
        self._calibrated = calibrated.astype(np.float64)

    def run(self, pixels: Whole, moved: Callable[[int], object]) -> list[Lines]:
        """Follows both directions of every kind of line through some pixels.

        Args:
            pixels: Row and column of each, shape (P, 2).
            moved: Told how many lines are done.
        """
        found: list[Lines] = []
        known = -np.inf
        for kind in range(self.amplitudes.kinds):
            ends = self.amplitudes.ends(kind, *self.clean(pixels))
            for sign, end in zip((-1, 1), ends, strict=True):
                line = kind, sign, pixels, end
                spans = self._exact(*line, known) if self.network else self._grid(*line)
                found.append(Lines(kind, sign, pixels, end, spans))
                known = max(known, float(spans.peak.max(initial=-np.inf)))
                moved(len(pixels))
        return found

    def clean(self, pixels: Whole) -> tuple[Floats, Floats]:
        """Clean pixels in network input and before the stretch, shape (P, C) each."""
        row, column = pixels.T
        return self._clean[:, row, column].T, self._calibrated[:, row, column].T

    def changes(self, lines: Lines, at: Whole, distance: Floats) -> Floats:
        """By how much pixels changed in the data's units, shape (S,).

        Args:
            lines: Some lines.
            at: Which of them, shape (S,).
            distance: How far along, shape (S,).
        """
        return self.amplitudes.changes(lines.kind, *self.clean(lines.pixel[at]), lines.sign * distance)

    def candidates(self, lines: Lines, at: Whole, distance: Floats) -> Candidates:
        """Points on lines as candidates, one in each row; arguments as for `changes`."""
        pixel = lines.pixel[at]
        value = self.amplitudes.values(lines.kind, *self.clean(pixel), lines.sign * distance)
        device, n = self.image.device, len(at)
        row, column = (torch.from_numpy(pixel[:, i].copy()).to(device).view(n, 1, 1) for i in (0, 1))
        return Candidates(torch.zeros(n, dtype=torch.int64, device=device), row, column,
                          torch.from_numpy(value).to(device)[:, None, None])  # fmt: skip

    def ask(self, lines: Lines, at: Whole, distance: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Margins by the network as it was opened, each image alone, and which of them flip, shape (S,) each."""
        if len(at) == 0:
            return np.empty(0), np.empty(0, bool)
        logits = ask_network(self.classifier, self.image, self.candidates(lines, at, distance))
        return self._judged(logits)

    def error_bound(self, found: list[Lines], rng: np.random.Generator) -> float:
        """How far the margins may lie from the network's own: eight times the most at the peaks of some lines."""
        worst = 0.0
        for lines in found:
            peak = lines.spans.peak
            some = rng.permutation(len(peak))[: -(-_RANDOM // len(found))]
            dangerous = np.argsort(-peak)[: -(-_DANGEROUS // len(found))]
            at = np.unique(np.concatenate([some, dangerous]))
            own, _ = self.ask(lines, at, lines.spans.peak_at[at])
            apart = np.abs(own - peak[at])
            scale = np.abs(own[np.isfinite(own)]).max(initial=0.0)
            worst = max(
                worst, float(apart[np.isfinite(apart)].max(initial=0.0)), scale * float(np.finfo(np.float32).eps)
            )
        return _SAFETY * worst

    def prove(self, lines: Lines, span: Whole) -> tuple[Floats, NDArray[np.bool_]]:
        """The smallest distances inside spans at which the network, alone, is seen to flip.

        Args:
            lines: Some lines.
            span: Which of their spans, shape (S,).

        Returns:
            The distances, and whether the network flips there, shape (S,) each.
        """
        spans = lines.spans
        start, stop, at = spans.start[span], spans.stop[span], spans.line[span]
        step = np.maximum(1e-7 * np.maximum(lines.end[at], start), 1e-12)
        distance, proved = np.minimum(start + step, (start + stop) / 2), np.zeros(len(span), bool)
        while True:
            open_ = np.flatnonzero(~proved)
            _, flipped = self.ask(lines, at[open_], distance[open_])
            proved[open_] = flipped
            left = np.flatnonzero(~proved & (distance < (start + stop) / 2))
            if len(left) == 0:
                return distance, proved
            step[left] *= 4
            distance[left] = np.minimum(start + step, (start + stop) / 2)[left]

    def _judged(self, logits: Tensor) -> tuple[Floats, NDArray[np.bool_]]:
        """Margins and flips of logits (S, 1, K)."""
        labels = self._labels.expand(len(logits))
        targets = torch.full_like(labels, UNTARGETED)
        both = margin(logits, labels, targets), flips(logits, labels, targets)
        return both[0][:, 0].cpu().double().numpy(), both[1][:, 0].cpu().numpy()

    def _exact(self, kind: int, sign: int, pixels: Whole, end: Floats, known: float) -> Spans:
        assert self.network is not None
        ways = np.repeat(self.amplitudes.ways(kind, sign)[None], len(pixels), 0)
        return self.network.follow(self.image[0], self.label, pixels, ways, end, known=known, near=NEAR)

    def _grid(self, kind: int, sign: int, pixels: Whole, end: Floats) -> Spans:
        """Margins at even distances, cut again where they head for the boundary; ends found by halving."""
        n = len(pixels)
        nothing = Spans(
            np.empty(0, int), np.empty(0), np.empty(0), np.ones(n, bool), np.zeros(n, int), *np.empty((2, 0))
        )
        lines = Lines(kind, sign, pixels, end, nothing)
        evaluator = self._make()

        def score(at: Whole, distance: Floats) -> tuple[Floats, NDArray[np.bool_]]:
            parts = []
            for i in range(0, len(at), _AT_ONCE):
                part = slice(i, i + _AT_ONCE)
                parts.append(self._judged(evaluator(self.candidates(lines, at[part], distance[part]))))
            return (
                tuple(np.concatenate(one) for one in zip(*parts, strict=True))
                if parts
                else (np.empty(0), np.empty(0, bool))
            )  # pyright: ignore[reportReturnType]

        share = np.linspace(0, 1, self.levels)
        if not self.amplitudes.straight:  # charges: most of what a stretch does lies near the clean pixel
            share = np.concatenate([[0.0], np.geomspace(1e-5, 1, self.levels - 1)])
        at, distance = np.repeat(np.arange(n), self.levels), (end[:, None] * share).ravel()
        value, flipped = score(at, distance)
        for _ in range(_CUTS):
            order = np.lexsort((distance, at))
            at, distance, value, flipped = at[order], distance[order], value[order], flipped[order]
            heads = _heading(at, distance, value)
            if len(heads) == 0:
                break
            middle = (distance[heads] + distance[heads + 1]) / 2
            more = score(at[heads], middle)
            at, distance = np.concatenate([at, at[heads]]), np.concatenate([distance, middle])
            value, flipped = np.concatenate([value, more[0]]), np.concatenate([flipped, more[1]])
        order = np.lexsort((distance, at))
        at, distance, value, flipped = at[order], distance[order], value[order], flipped[order]
        turns = np.flatnonzero((at[1:] == at[:-1]) & (flipped[1:] != flipped[:-1]))
        low, high = distance[turns].copy(), distance[turns + 1].copy()
        for _ in range(_HALVINGS if len(turns) else 0):
            middle = (low + high) / 2
            same = score(at[turns], middle)[1] == flipped[turns]
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return _spans_of(at, distance, value, flipped, turns, (low + high) / 2, n)


def _heading(at: Whole, distance: Floats, value: Floats) -> Whole:
    """Cells of the grid between two margins below 0 whose neighbours' slopes, continued, meet above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(at[1:] == at[:-1], np.diff(value) / np.diff(distance), np.nan)
    width = np.diff(distance)
    before, after = np.roll(slope, 1), np.roll(slope, -1)
    before[:1], after[-1:] = np.nan, np.nan
    up, down = np.maximum(np.nan_to_num(before), 0), np.maximum(np.nan_to_num(-after), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where the two continued lines meet.
        meet = np.clip((value[1:] - value[:-1] + down * width) / (up + down), 0, width)
    top = value[:-1] + up * np.nan_to_num(meet)
    inside = (at[1:] == at[:-1]) & (value[:-1] < 0) & (value[1:] < 0) & (width > 0)
    return np.flatnonzero(inside & (top > 0))


def _spans_of(
    at: Whole, distance: Floats, value: Floats, flipped: NDArray[np.bool_], turns: Whole, ends: Floats, n: int
) -> Spans:
    """Spans from a grid in order, and the ends between its cells."""
    new = np.concatenate([[True], at[1:] != at[:-1]]) if len(at) else np.empty(0, bool)
    last = np.concatenate([new[1:], [True]]) if len(at) else np.empty(0, bool)
    found = dict(zip(turns.tolist(), ends.tolist(), strict=True))
    begins = np.flatnonzero(flipped & new).tolist() + [i for i in turns.tolist() if not flipped[i]]
    starts = {i: found.get(i, float(distance[i])) for i in begins}
    stops_at = np.flatnonzero(flipped & last).tolist() + [i for i in turns.tolist() if flipped[i]]
    stops = {i: found.get(i, float(distance[i])) for i in stops_at}
    first = sorted(starts, key=lambda i: (at[i], starts[i]))
    second = sorted(stops, key=lambda i: (at[i], stops[i]))
    peak, peak_at = np.full(n, -np.inf), np.zeros(n)
    np.maximum.at(peak, at, value)
    where = np.flatnonzero(value == peak[at])
    peak_at[at[where]] = distance[where]
    start, stop = np.array([starts[i] for i in first]), np.array([stops[i] for i in second])
    line = at[first] if first else np.empty(0, int)
    return Spans(line, start, stop, np.ones(n, bool), np.bincount(at, minlength=n), peak, peak_at)
