"""Candidates of an ensemble: each network scores them by the engine that it would have alone, in each of its views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from robustkit.engine.candidates import Candidates
from robustkit.engine.trial import Trial, trial_candidates, widened
from robustkit.models import AuditedClassifier
from robustkit.models.ensemble import Ensemble

if TYPE_CHECKING:
    from robustkit.engine import Evaluator

# Multiplications that one candidate is taken to cost, for the trial.
_WORK = 1e8


class TogetherEvaluator:
    """Scores candidates of an ensemble by the evaluators of its networks.

    Args:
        classifier: The ensemble, as a classifier.
        images: Clean network input, shape (N, C, H, W), on the classifier's device.
        ensemble: Its network.
        make: Makes the evaluator of one network, of images as it sees them.
        plain: The plain evaluator of the whole.

    Attributes:
        passed: Whether it gives the plain logits in a trial.
        tolerance: How far a logit may lie from the plain evaluator's, by trials so far.
    """

    def __init__(
        self,
        classifier: AuditedClassifier,
        images: Tensor,
        ensemble: Ensemble,
        make: Callable[[AuditedClassifier, Tensor], Evaluator],
        plain: Evaluator,
    ) -> None:
        self.classifier, self.images, self.ensemble, self.plain = classifier, images, ensemble, plain
        self.members = [[make(one, view(images)) for view in ensemble.views] for one in ensemble.classifiers]
        self.tolerance = 0.0
        self.passed = False
        if self.fast:
            low, high = widened(images.amin((0, 2, 3)), images.amax((0, 2, 3)))
            tried = trial_candidates(images, low, high, work=_WORK * len(self._all))
            with torch.inference_mode():
                trial = Trial.of(self(tried), plain(tried))
            self.passed, self.tolerance = trial.passed, max(self.tolerance, trial.tolerance)

    @property
    def _all(self) -> list[Evaluator]:
        return [evaluator for views in self.members for evaluator in views]

    @property
    def fast(self) -> bool:
        """Whether some network is scored otherwise than by full forward passes."""
        return any(evaluator.name != "plain" for evaluator in self._all)

    @property
    def name(self) -> str:
        """The slowest way in which a network is scored."""
        names = {evaluator.name for evaluator in self._all}
        return next((name for name in ("plain", "incremental") if name in names), "chain")

    @property
    def reason(self) -> str:
        """How candidates are scored and why, in one line for a summary."""
        views = f", in {len(self.ensemble.views)} views of the image" if len(self.ensemble.views) > 1 else ""
        ways = dict.fromkeys(evaluator.reason for evaluator in self._all)
        count = f"{len(self.members)} networks, each by itself" if len(self.members) > 1 else "one network"
        return f"{count}{views}; {next(iter(ways))}"

    @property
    def why_not_faster(self) -> str:
        """Why a network is not scored faster; empty where all are scored by the fastest way."""
        return next((evaluator.why_not_faster for evaluator in self._all if evaluator.why_not_faster), "")

    @torch.inference_mode()
    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K)."""
        return self._logits(self._answers(lambda evaluator, turn: evaluator.clean()))

    @torch.inference_mode()
    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates, shape (M, P, K).

        Raises:
            InputError: If a pixel lies outside the images.
        """
        m, p = candidates.row.shape[:2]
        if len(candidates) == 0:
            return self.plain(candidates)
        candidates.check_places(self.images)
        seen = [self._seen(candidates, number) for number in range(len(self.ensemble.views))]
        found = self._answers(lambda evaluator, number: evaluator(seen[number]).flatten(0, 1))  # (members, M P, K)
        logits = self._logits(found)
        # A logarithm of a mean of probabilities moves no further than those of its terms do.
        self.tolerance = max(self.tolerance, *(2 * evaluator.tolerance for evaluator in self._all))
        if self.ensemble.combine == "votes":
            # A vote that rounding could turn is counted by the plain networks.
            best = found.topk(2, dim=2).values
            near = (best[..., 0] - best[..., 1] <= 2 * self.tolerance).any(0).nonzero().squeeze(1)
            if len(near):
                logits[near] = self.plain(candidates.flat().select(near))[:, 0]
        return logits.unflatten(0, (m, p))

    def _answers(self, score: Callable[[Evaluator, int], Tensor]) -> Tensor:
        """Probabilities of each network, mean over its views, shape (members, B, K)."""
        found: list[Tensor] = []
        for views in self.members:
            seen = [score(evaluator, number).softmax(-1) for number, evaluator in enumerate(views)]
            found.append(torch.stack(seen).mean(0))
        return torch.stack(found)

    def _logits(self, found: Tensor) -> Tensor:
        return self.classifier.output.logits(self.ensemble.joined(found))

    def _seen(self, candidates: Candidates, number: int) -> Candidates:
        """Candidates of the images in one of the views."""
        view, size = self.ensemble.views[number], self.images.shape[2:]
        row, column = view.places(candidates.row, candidates.column, size)
        return replace(candidates, row=row, column=column)
