"""The incremental evaluator: a candidate's few changed pixels are followed through the network, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from robustkit.engine.candidates import Candidates
from robustkit.engine.chain import UnsupportedChain
from robustkit.engine.follower import Follower
from robustkit.engine.kernel import KernelFollower
from robustkit.engine.plain import PlainEvaluator
from robustkit.engine.plan import plan_windows
from robustkit.engine.trial import Trial, trial_candidates, widened
from robustkit.engine.windows import Box
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier

# Sides of the boxes that changed pixels are put into, which are square up to 6: the least side of the others.
_BOXES = (1, 2, 3, 4, 5, 6, 8, 12, 18, 27, 40, 60, 90)
_SQUARE = 6
# Each size of box has code or a plan, a trial and clean maps of its own. One with unequal sides, or above the largest
# of the square ones, is worth that for so many candidates, and so many sizes are kept.
_LARGEST_SQUARE, _MANY, _SIZES = 18, 512, 64
# Bytes for the clean maps of one box size.
_MEMORY = 1 << 30


class _Follows(Protocol):
    """Scores candidates whose pixels lie in a box of one size, each in a row of its own."""

    @property
    def reason(self) -> str: ...

    @property
    def full_work(self) -> float: ...

    def __call__(self, candidates: Candidates) -> Tensor: ...


class IncrementalEvaluator:
    """Scores candidates by recomputing the windows of each map that their pixels reach.

    Clean maps are kept for as many images as fit; of a candidate only the changed window is carried through the
    layers, exactly, until a layer is not known or the window is most of the map: from there whole maps go on. Pixels
    that lie together are followed as one box. Single pixels on networks that are a chain of convolution stages are
    followed by compiled code where that can be had. Candidates whose pixels lie apart, networks that do not trace, and
    networks whose windows do not give the plain logits in a trial are left to the plain evaluator.

    Args:
        classifier: The classifier; its network is copied.
        images: Clean network input, shape (N, C, H, W), on the classifier's device.
        plain: The plain evaluator of the same images.
        compiled: Whether compiled code may follow chains.
        memory: Bytes for the clean maps.
        worth: Windows are used while they cost at most this share of the work of whole maps, layer by layer and in
            total.

    Attributes:
        tolerance: How far a logit may lie from the plain evaluator's, for every value scored so far: eight times the
            largest difference in the trials, which reach every border and a box around all values scored. An
            estimate, not a proof: what lies within it of a decision is to be scored plainly.
        not_compiled: Why compiled code does not follow single pixels; empty if it does, or nothing was asked yet.

    Raises:
        InputError: If the images are not of the size that the classifier takes.
    """

    def __init__(
        self,
        classifier: AuditedClassifier,
        images: Tensor,
        *,
        plain: PlainEvaluator | None = None,
        compiled: bool = True,
        memory: int = _MEMORY,
        worth: float = 0.9,
    ) -> None:
        if tuple(images.shape[1:]) != classifier.input_shape:
            sizes = ", ".join(map(str, classifier.input_shape))
            raise InputError(f"the classifier takes images of shape (N, {sizes}), got {tuple(images.shape)}")
        self.classifier = classifier
        self.images = images
        self.memory, self.worth = memory, worth
        self.plain = plain or PlainEvaluator(classifier, images)
        self.tolerance = 0.0
        self.not_compiled = "" if compiled else "it was switched off"
        self._note = ""
        self._refusal = self.plain.why_not_traced or ("" if len(images) else "there are no images")
        self._followers: dict[Box, _Follows | None] = {}
        if not self._refusal:
            self._low, self._high = widened(images.amin((0, 2, 3)), images.amax((0, 2, 3)))

    @property
    def name(self) -> str:
        """`chain` where compiled code follows single pixels, else `incremental`."""
        return "chain" if not self.refusal and isinstance(self._follower((1, 1)), KernelFollower) else "incremental"

    @property
    def refusal(self) -> str:
        """Why full forward passes answer instead of windows; empty if windows do."""
        if not self._refusal and self._follower((1, 1)) is None:
            self._refusal = self._refusal or "the windows of a changed pixel save too little"
        return self._refusal

    @property
    def why_not_faster(self) -> str:
        """Why compiled code does not follow single pixels, or windows are not used at all; empty if it does."""
        return self.refusal or ("" if self.name == "chain" else self.not_compiled)

    @property
    def reason(self) -> str:
        """What is computed on windows and how the rest runs, for a summary."""
        follower = None if self.refusal else self._follower((1, 1))
        if follower is None:
            return f"full forward passes: {self.refusal}; {self.plain.reason}"
        return f"{follower.reason}{self._note}; within {self.tolerance:.1e} of the plain logits"

    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K)."""
        return self.plain.clean()

    @torch.inference_mode()
    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates, shape (M, P, K).

        Raises:
            InputError: If a pixel lies outside the images.
        """
        m, p, pixels = candidates.row.shape
        if len(candidates) == 0:
            return self.images.new_zeros(m, p, self.classifier.classes)
        candidates.check_places(self.images)
        if pixels == 0:
            return self.clean()[candidates.image][:, None].expand(m, p, -1).clone()
        if self.refusal or not self._covers(candidates.value):
            return self.plain(candidates)
        return self._by_box(candidates.flat()).unflatten(0, (m, p))

    def _by_box(self, candidates: Candidates) -> Tensor:
        """Logits of candidates that each have a row of their own, shape (B, K)."""
        if candidates.pixels == 1:
            return self._followed(candidates, (1, 1))
        spread = torch.stack([_spread(candidates.row), _spread(candidates.column)], 1)  # (B, 2)
        sizes = box_sizes(spread, self.images.shape[2:])
        logits = self.images.new_empty(len(candidates), self.classifier.classes)
        kinds, which = torch.unique(sizes, dim=0, return_inverse=True)
        for kind, (tall, wide) in enumerate(kinds.tolist()):
            rows = (which == kind).nonzero().squeeze(1)
            some = candidates.select(rows)
            box = self._box((tall, wide), len(rows))
            logits[rows] = self.plain(some)[:, 0] if box is None else self._followed(some, box)
        return logits

    def _box(self, box: Box, candidates: int) -> Box | None:
        """The box that so many candidates are followed in; None for whole images."""
        if box in self._followers or (candidates >= _MANY and len(self._followers) < _SIZES):
            return box
        if max(box) <= min(_LARGEST_SQUARE, *self.images.shape[2:]):
            return (max(box), max(box))
        made = (one for one, follower in self._followers.items() if follower is not None)
        return min((one for one in made if one[0] >= box[0] and one[1] >= box[1]), key=math.prod, default=None)

    def _followed(self, candidates: Candidates, box: Box) -> Tensor:
        follower = self._follower(box)
        return self.plain(candidates)[:, 0] if follower is None else follower(candidates)

    def _follower(self, box: Box) -> _Follows | None:
        """What follows boxes of one size; None where full forward passes are as good."""
        if box not in self._followers:
            self._followers[box] = None
            self._followers[box] = self._compiled(box) or self._planned(box)
        return self._followers[box]

    def _compiled(self, box: Box) -> KernelFollower | None:
        """The kernel if it can be had and agrees; otherwise notes why not, of single pixels."""
        if any(side > size for side, size in zip(box, self.images.shape[2:], strict=True)):
            return None
        if self.plain.graph is None or self.not_compiled:
            return None
        why = ""
        try:
            kernel = KernelFollower(self.plain.graph, self.images, self.classifier.output, self.memory, box)
        except UnsupportedChain as error:
            self.not_compiled = str(error) if box == (1, 1) else ""
            return None
        except Exception as error:  # a machine without llvmlite, or that forbids new code; PyTorch does it as well
            why = (str(error).splitlines() or [type(error).__name__])[0]
        else:
            trial = self._trial(kernel, box)
            if trial.passed:
                return kernel
            why = f"the compiled kernel's logits are {trial.error:.3g} from the plain ones"
        self._note = f"; not compiled{f' on boxes of {box[0]}x{box[1]}' if box != (1, 1) else ''}: {why}"
        self.not_compiled = why if box == (1, 1) else ""
        return None

    def _planned(self, box: Box) -> Follower | None:
        """What follows a box through any network, if it saves work and agrees."""
        graph = self.plain.graph
        if graph is None or any(side > size for side, size in zip(box, self.images.shape[2:], strict=True)):
            return None
        plan = plan_windows(graph, self.images.shape[1:], box=box, worth=self.worth)
        if plan.work >= self.worth * plan.full_work:
            return None
        follower = Follower(graph, plan, self.images, self.classifier.output, self.memory)
        return follower if self._passes(follower, box) else None

    @torch.inference_mode()
    def _trial(self, follower: _Follows, box: Box) -> Trial:
        """Compares windows with full forward passes over the box of values, and notes the tolerance."""
        candidates = trial_candidates(self.images, self._low, self._high, work=follower.full_work, box=box)
        trial = Trial.of(follower(candidates), self.plain(candidates)[:, 0])
        self.tolerance = max(self.tolerance, trial.tolerance) if trial.passed else self.tolerance
        return trial

    def _passes(self, follower: _Follows, box: Box) -> bool:
        trial = self._trial(follower, box)
        if not trial.passed:
            self.tolerance = 0.0
            self._refusal = (
                f"on values up to {float(self._high.max()):.3g}, logits from windows are {trial.error:.3g} from the "
                f"plain ones, of size {trial.scale:.3g}"
            )
        return trial.passed

    def _covers(self, value: Tensor) -> bool:
        """Whether windows may answer for these values; the trial is repeated when they leave its box."""
        low, high = torch.aminmax(value.flatten(0, -2), dim=0)
        if not bool((low.isfinite() & high.isfinite()).all()):
            return False
        if bool(((low < self._low) | (high > self._high)).any()):
            self._low, self._high = widened(torch.minimum(self._low, low), torch.maximum(self._high, high))
            for box, follower in self._followers.items():
                if follower is not None and not self._passes(follower, box):
                    break
        return not self.refusal


def box_sizes(spread: Tensor, size: Sequence[int]) -> Tensor:
    """Heights and widths of the boxes that changes are followed in.

    Args:
        spread: Heights and widths of the changes, at least 1, shape (B, 2), int64.
        size: Height and width of the images.

    Returns:
        Shape (B, 2), int64; the images' size where a box would be larger.
    """
    sides = torch.tensor((*_BOXES, max(*_BOXES, *size)), device=spread.device)
    longest = spread.amax(1, keepdim=True)
    spread = torch.where(longest <= _SQUARE, longest, spread.clamp_min(_SQUARE))
    return torch.minimum(sides[torch.searchsorted(sides, spread)], torch.tensor(tuple(size), device=spread.device))


def _spread(at: Tensor) -> Tensor:
    """How many cells the pixels of each candidate span, shape (B, 1, L) to (B,)."""
    return at[:, 0].amax(1) - at[:, 0].amin(1) + 1
