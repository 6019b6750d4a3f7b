"""The fast path: one-pixel candidates on networks that are a chain of convolution stages and a dense head.

A pixel changes a small window of every feature map. The window's change is followed from stage to stage beside the
cached clean activations, and reaches the logits through the columns of the first dense layer that it meets: the same
sums as in a full forward pass, less those that are known already. Two runners do so, a compiled kernel where
`llvmlite` is installed and the images are on the CPU, and PyTorch operations. Which one answers is decided by trial
against the plain evaluator, and so is how far the answers may lie apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from robustkit.engine.batching import Batches
from robustkit.engine.candidates import Candidates
from robustkit.engine.chain_cache import CleanCache, image_bytes, make_cache
from robustkit.engine.chain_plan import StagePlan, check_saving, make_plan
from robustkit.engine.chain_stages import Chain, UnsupportedChain
from robustkit.engine.chain_torch import TorchChain
from robustkit.engine.chain_trace import trace
from robustkit.engine.chain_trial import Trial, trial_candidates
from robustkit.engine.kernel import KernelChain, fill_vectors
from robustkit.engine.plain import PlainEvaluator
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier

if TYPE_CHECKING:
    from robustkit.engine import Evaluator

# Candidates taken at a time, and numbers in their changes.
_BATCH = {"cpu": (1 << 14, 1 << 24), "other": (1 << 17, 1 << 27)}


# From clean activations, images, rows, columns and values to the affine map of the last feature map.
_Run = Callable[[CleanCache, Tensor, Tensor, Tensor, Tensor], Tensor]


class ChainEvaluator:
    """Scores one-pixel candidates on a chain.

    Candidates that overwrite several pixels or none, and values that are not finite, are left to another evaluator.

    Args:
        classifier: The classifier; `supports` says whether its network is a chain.
        images: Clean network input, shape (N, C, H, W), on the classifier's device, N at least 1.
        plain: The plain evaluator of the same images, to be compared with.
        others: The evaluator that scores what a chain cannot; by default the plain one.
        compiled: Whether the compiled kernel may be used.
        cache_bytes: Memory for clean activations; beyond it, images are taken in blocks.

    Attributes:
        name: `chain`.
        images: The clean images.
        runner: What answers: `kernel`, `torch`, or `plain` once a trial on new values has failed.
        refusal: Why it is not the kernel; `None` if it is.
        tolerance: How far a logit may lie from the plain evaluator's, for every value scored so far: eight times the
            largest difference among some 250 candidates that reach every border and a box around all values scored,
            and 1e-6 of the largest logit. An estimate, not a proof: what lies within it of a decision is to be
            scored plainly.

    Raises:
        UnsupportedChain: If the network is not a chain, or the fast path does not give its logits; in words.
        InputError: If the images are not of the size that the classifier takes.
    """

    name = "chain"

    def __init__(
        self,
        classifier: AuditedClassifier,
        images: Tensor,
        *,
        plain: Evaluator | None = None,
        others: Evaluator | None = None,
        compiled: bool = True,
        cache_bytes: int = 1 << 30,
    ) -> None:
        if tuple(images.shape[1:]) != classifier.input_shape or len(images) == 0:
            raise InputError(
                f"the classifier takes images of shape (N, {', '.join(map(str, classifier.input_shape))}), N at least "
                f"1, came {tuple(images.shape)}"
            )
        self.classifier, self.images = classifier, images
        self.plain = plain or PlainEvaluator(classifier, images)
        self.others = others or self.plain
        self.tolerance = 0.0
        self._cache_bytes = cache_bytes
        self._scores = replace(classifier.output, part=None)
        self._low, self._high = _widened(images.amin((0, 2, 3)), images.amax((0, 2, 3)))
        self._choose(compiled)

    @property
    def reason(self) -> str:
        """How candidates are scored and why, for a summary."""
        ways = {"kernel": "compiled kernel", "torch": "windows in PyTorch", "plain": "full forward passes"}
        because = f" ({self.refusal})" if self.refusal else ""
        return f"{ways[self.runner]}{because}; within {self.tolerance:.1e} of the plain logits"

    @staticmethod
    def supports(classifier: AuditedClassifier) -> str | None:
        """Why a classifier's network is not a chain that pays; `None` if it is."""
        try:
            check_saving(_planned(trace(classifier), classifier))
        except UnsupportedChain as error:
            return str(error)
        return None

    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K), by the plain evaluator."""
        return self.plain.clean()

    @torch.inference_mode()
    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates, shape (M, P, K)."""
        if len(candidates) == 0:
            return self.images.new_zeros(*candidates.row.shape[:2], self.classifier.classes)
        self._check_places(candidates)
        if candidates.pixels != 1 or not bool(candidates.value.isfinite().all()):
            return self.others(candidates)
        self._cover(candidates.value)
        return self.plain(candidates) if self.runner == "plain" else self._fast(candidates)

    # ---------------------------------------------------------------------------------- which runner answers

    @torch.inference_mode()
    def _choose(self, compiled: bool) -> None:
        try:
            exact = trace(self.classifier)
            check_saving(_planned(exact, self.classifier))
        except UnsupportedChain as error:
            raise UnsupportedChain(f"the fast path cannot follow this network: {error}") from error
        chain = exact.map(lambda x: x.to(self.images.device, torch.float32))
        self.refusal = self._refusal(chain, compiled)
        if self.refusal is not None:
            self._use("torch", chain, TorchChain)
            trial = self._trial()
            if not trial.passed:
                raise UnsupportedChain(
                    f"the fast path cannot follow this network: its logits are {trial.error:.3g} from those of a plain "
                    f"forward pass, of size {trial.scale:.3g}"
                )

    def _refusal(self, chain: Chain, compiled: bool) -> str | None:
        """Takes the kernel if it can be had and agrees; otherwise says why not."""
        if not compiled:
            return "the compiled kernel was switched off"
        if self.images.device.type != "cpu":
            return "the compiled kernel is for the CPU"
        try:
            self._use("kernel", fill_vectors(chain), KernelChain)
        except Exception as error:  # a machine without llvmlite, or that forbids new code; PyTorch does it as well
            return (str(error).splitlines() or [type(error).__name__])[0]
        trial = self._trial()
        return None if trial.passed else f"the compiled kernel's logits are {trial.error:.3g} from the plain ones"

    def _use(self, name: str, chain: Chain, make: Callable[[Chain, Sequence[StagePlan]], _Run]) -> None:
        self._chain, self._plan = chain, _planned(chain, self.classifier)
        self._run, self.runner = make(chain, self._plan), name
        widest = max(at.y.cells * at.x.cells * at.channels for at in self._plan)
        most, numbers = _BATCH["cpu" if self.images.device.type == "cpu" else "other"]
        self._batches = Batches(min(most, numbers // widest))
        self._cached: CleanCache | None = None
        self._slot = torch.full((len(self.images),), -1, device=self.images.device)

    def _trial(self) -> Trial:
        """Compares the runner with the plain evaluator over the box of values, and notes the tolerance."""
        candidates = trial_candidates(self.images, self._low, self._high)
        trial = Trial.of(self._fast(candidates), self.plain(candidates))
        self.tolerance = max(self.tolerance, trial.tolerance) if trial.passed else self.tolerance
        return trial

    def _cover(self, value: Tensor) -> None:
        """Repeats the trial when values leave the box that it was made for."""
        if self.runner == "plain":
            return
        seen = value.flatten(0, -2)
        low, high = torch.minimum(self._low, seen.amin(0)), torch.maximum(self._high, seen.amax(0))
        if torch.equal(low, self._low) and torch.equal(high, self._high):
            return
        self._low, self._high = _widened(low, high)
        trial = self._trial()
        if not trial.passed:
            self.runner, self.tolerance = "plain", 0.0
            self.refusal = f"on values up to {float(high.max()):.3g}, logits are {trial.error:.3g} from the plain ones"

    # --------------------------------------------------------------------------------------------- the scores

    def _fast(self, candidates: Candidates) -> Tensor:
        """Logits by the runner, shape (M, P, K)."""
        most = max(1, self._cache_bytes // image_bytes(self._plan))
        if len(self.images) <= most:
            return self._scored(candidates, self._cache(torch.arange(len(self.images), device=self.images.device)))
        rows: list[Tensor] = []
        logits: list[Tensor] = []
        for wanted in candidates.image.unique().split(most):
            rows.append(torch.isin(candidates.image, wanted).nonzero().squeeze(1))
            logits.append(self._scored(candidates.select(rows[-1]), self._cache(wanted)))
        return torch.cat(logits)[torch.cat(rows).argsort()]

    def _cache(self, wanted: Tensor) -> CleanCache:
        """Clean activations of some images, at `self._slot`; kept until others are wanted."""
        if self._cached is None or bool((self._slot[wanted] < 0).any()):
            self._cached = None  # so that no two of them are held
            self._cached = make_cache(self._chain, self._plan, self.images[wanted])
            self._slot.fill_(-1)
            self._slot[wanted] = torch.arange(len(wanted), device=wanted.device)
        return self._cached

    def _scored(self, candidates: Candidates, cache: CleanCache) -> Tensor:
        m, p = candidates.row.shape[:2]
        image = self._slot[candidates.image][:, None].expand(m, p).flatten()
        row, column = candidates.row.flatten(), candidates.column.flatten()
        value = candidates.value.flatten(0, 2).float()

        def score(start: int, stop: int) -> Tensor:
            part = slice(start, stop)
            features = self._run(cache, image[part], row[part], column[part], value[part])
            return self._scores.logits(self._chain.rest(features))

        return self._batches.run(score, m * p).unflatten(0, (m, p))

    def _check_places(self, candidates: Candidates) -> None:
        """Refuses pixels outside the images, which compiled code would read from foreign memory."""
        limits = (len(self.images), *self.images.shape[2:])
        places = (candidates.image, candidates.row, candidates.column)
        outside = [((place < 0) | (place >= limit)).any() for place, limit in zip(places, limits, strict=True)]
        if bool(torch.stack(outside).any()):
            raise InputError(
                f"candidates lie outside the {limits[0]} images of {limits[1]} x {limits[2]} pixels; give image, row "
                "and column counted from 0"
            )


def _planned(chain: Chain, classifier: AuditedClassifier) -> tuple[StagePlan, ...]:
    _, height, width = classifier.input_shape
    return make_plan(chain, (height, width))


def _widened(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """A box of values with half its width added on every side, so that it is left rarely."""
    room = (high - low) / 2 + 1e-3 * torch.maximum(low.abs(), high.abs()) + 1e-6
    return low - room, high + room
