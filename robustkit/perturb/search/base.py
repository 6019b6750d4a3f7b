"""The search protocol: `start` begins a search, `propose` returns its next candidates, `tell` takes their logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from robustkit.engine import Candidates
from robustkit.models import AuditedClassifier
from robustkit.perturb.values import ValueSet
from robustkit.seeds import Streams

UNTARGETED = -1


@dataclass(frozen=True, eq=False)
class Problem:
    """N images to flip at once; a search sees them as rows 0..N-1.

    Attributes:
        images: Clean network input, shape (N, C, H, W).
        clean_logits: Logits of the clean images, shape (N, K).
        labels: The class to move away from, shape (N,), int64.
        targets: The class to reach, shape (N,), int64; `UNTARGETED` for any other class.
        values: What a pixel may become.
        streams: One random stream per image.
        pixels: How many pixels a candidate overwrites.
        classifier: For searches that use gradients; `None` when only logits are available.
        budget: The most queries that an image will get; `None` lets the search end by its own settings.
    """

    images: Tensor
    clean_logits: Tensor
    labels: Tensor
    targets: Tensor
    values: ValueSet
    streams: Streams
    pixels: int = 1
    classifier: AuditedClassifier | None = None
    budget: int | None = None

    def __len__(self) -> int:
        return len(self.images)

    def margin(self, rows: Tensor, logits: Tensor) -> Tensor:
        """Margins of candidates past the decision boundary: positive means flipped.

        Untargeted, the best other logit minus the label's; targeted, the target's minus the best other. Not finite
        becomes minus infinity, so that a broken output is never a success.

        Args:
            rows: Row of each image, shape (M,).
            logits: Shape (M, P, K).

        Returns:
            Margins, shape (M, P).
        """
        label, target = self.labels[rows], self.targets[rows]
        # One class is compared with the best of the others: the label untargeted, the target targeted.
        chosen = torch.where(target == UNTARGETED, label, target)
        index = chosen[:, None, None].expand(-1, logits.shape[1], 1)
        mine = logits.gather(2, index).squeeze(2)
        others = logits.scatter(2, index, -torch.inf).amax(2)
        margin = torch.where((target == UNTARGETED)[:, None], others - mine, mine - others)
        return torch.where(logits.isfinite().all(2), margin, torch.full_like(margin, -torch.inf))


class Search(Protocol):
    """A search in progress on one problem."""

    def propose(self, active: Tensor) -> Candidates | None:
        """The next candidates.

        Args:
            active: Rows still searched, shape (M,), int64, ascending. Rows that are left out never return.

        Returns:
            Candidates whose `image` are rows of the problem, a subset of `active` (rows with nothing left to try
            are left out); `None` when no active row has anything left to try.
        """
        ...

    def tell(self, candidates: Candidates, logits: Tensor) -> None:
        """The logits of the candidates just proposed, shape (M, P, K)."""
        ...


class SearchSettings(Protocol):
    """The settings of a search: a frozen dataclass without state.

    Attributes:
        name: Name on the command line.
    """

    @property
    def name(self) -> str:
        """Name on the command line."""
        ...

    def start(self, problem: Problem) -> Search:
        """Begins the search on a problem."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        ...
