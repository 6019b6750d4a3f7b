"""The fast path: one-pixel candidates on networks that are a chain of convolution stages and a dense head.

A pixel changes a small window of every feature map. The window's change is followed from stage to stage beside the
cached clean activations, and reaches the logits through the columns of the first dense layer that it meets: the same
sums as in a full forward pass, less those that are known already. Two runners do so, a compiled kernel where
`llvmlite` is installed and the images are on the CPU, and PyTorch operations. Which one answers is decided by trial
against the plain evaluator, and so is how far the answers may lie apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, eq=False)
class _Runner:
    """One way to compute the affine map of the last feature map, and the chain whose cache it reads."""

    name: str
    run: Callable[[CleanCache, Tensor, Tensor, Tensor, Tensor], Tensor]
    chain: Chain
    plan: Sequence[StagePlan]


class ChainEvaluator:
    """Scores one-pixel candidates on a chain; anything else it is asked goes to the plain evaluator.

    Candidates that overwrite more than one pixel, and values that are not finite, are scored plainly.

    Args:
        classifier: The classifier; `supports` says whether its network is a chain.
        images: Clean network input, shape (N, C, H, W), on the classifier's device.
        plain: The evaluator to be compared with, and to leave the rest to.
        compiled: Whether the compiled kernel may be used.
        cache_bytes: Memory for clean activations; beyond it, images are taken in blocks.

    Attributes:
        images: The clean images.
        runner: What answers: `kernel`, `torch`, or `plain` once a trial on new values has failed.
        reason: Why it is not the kernel; `None` if it is.
        tolerance: How far a logit may lie from the plain evaluator's, for every value scored so far: eight times the
            largest difference among some 250 candidates that reach every border and a box around all values scored,
            and 1e-6 of the largest logit. An estimate, not a proof: what lies within it of a decision is to be
            scored plainly.

    Raises:
        UnsupportedChain: If the network is not a chain, or the fast path does not give its logits; in words.
        InputError: If the images are not of the size that the classifier takes.
    """

    def __init__(
        self,
        classifier: AuditedClassifier,
        images: Tensor,
        *,
        plain: Evaluator | None = None,
        compiled: bool = True,
        cache_bytes: int = 1 << 30,
    ) -> None:
        if tuple(images.shape[1:]) != classifier.input_shape:
            raise InputError(
                f"the classifier takes images of shape {classifier.input_shape}, came {tuple(images.shape[1:])}"
            )
        self.classifier, self.images = classifier, images
        self.plain = plain or PlainEvaluator(classifier, images)
        self.tolerance = 0.0
        self._cache_bytes = cache_bytes
        self._scores = replace(classifier.output, part=None)
        low, high = images.amin((0, 2, 3)), images.amax((0, 2, 3))
        self._low, self._high = _widened(low, high)
        self._choose(compiled)

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
        self._check_places(candidates)
        if candidates.pixels != 1 or not bool(candidates.value.isfinite().all()):
            return self.plain(candidates)
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
        self.reason = self._refusal(chain, compiled)
        if self.reason is not None:
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
            return str(error) or type(error).__name__
        trial = self._trial()
        return None if trial.passed else f"the compiled kernel's logits are {trial.error:.3g} from the plain ones"

    def _use(
        self, name: str, chain: Chain, make: Callable[[Chain, Sequence[StagePlan]], Callable[..., Tensor]]
    ) -> None:
        plan = _planned(chain, self.classifier)
        self._runner, self.runner = _Runner(name, make(chain, plan), chain, plan), name
        widest = max(at.y.cells * at.x.cells * at.channels for at in plan)
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
        if self.runner == "plain" or value.numel() == 0:
            return
        seen = value.flatten(0, -2)
        low, high = torch.minimum(self._low, seen.amin(0)), torch.maximum(self._high, seen.amax(0))
        if torch.equal(low, self._low) and torch.equal(high, self._high):
            return
        self._low, self._high = _widened(low, high)
        trial = self._trial()
        if not trial.passed:
            self.runner, self.tolerance = "plain", 0.0
            self.reason = f"on values up to {float(high.max()):.3g}, logits are {trial.error:.3g} from the plain ones"

    # --------------------------------------------------------------------------------------------- the scores

    def _fast(self, candidates: Candidates) -> Tensor:
        """Logits by the runner, shape (M, P, K)."""
        most = max(1, self._cache_bytes // image_bytes(self._runner.plan))
        if len(self.images) <= most:
            return self._scored(candidates, self._cache(torch.arange(len(self.images), device=self.images.device)))
        blocks = [torch.isin(candidates.image, wanted) for wanted in candidates.image.unique().split(most)]
        rows = [block.nonzero().squeeze(1) for block in blocks]
        logits = [self._scored(part := candidates.select(own), self._cache(part.image.unique())) for own in rows]
        return torch.cat(logits)[torch.cat(rows).argsort()]

    def _cache(self, wanted: Tensor) -> CleanCache:
        """Clean activations of some images, at `self._slot`; kept until others are wanted."""
        if self._cached is None or bool((self._slot[wanted] < 0).any()):
            self._cached = make_cache(self._runner.chain, self._runner.plan, self.images[wanted])
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
            features = self._runner.run(cache, image[part], row[part], column[part], value[part])
            return self._scores.logits(self._runner.chain.rest(features))

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
