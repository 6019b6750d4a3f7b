"""The search protocol: `start` begins a search, `propose` returns its next candidates, `tell` takes their logits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from robustkit.engine import Candidates
from robustkit.models import AuditedClassifier
from robustkit.perturb.decision import UNTARGETED, flips, margin
from robustkit.perturb.values import ValueSet
from robustkit.seeds import Streams

__all__ = ["UNTARGETED", "Passes", "Problem", "Search", "SearchSettings"]


@dataclass
class Passes:
    """What searches ask of the network besides the queries of the images.

    Attributes:
        stand_in: Queries of a stand-in image, which all images share.
        gradient: Images sent forward and back, once for each class that is differentiated.
        partial: Images sent through the first layers.
    """

    stand_in: int = 0
    gradient: int = 0
    partial: int = 0


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
        passes: Counts what the search asks of the network besides.
        each: The same for one image that is still asked, so that it does not depend on which images are asked together;
            the queries of a stand-in image count for each of those that share them.
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
    passes: Passes = field(default_factory=Passes)
    each: Passes = field(default_factory=Passes)

    def __len__(self) -> int:
        return len(self.images)

    def margin(self, rows: Tensor, logits: Tensor) -> Tensor:
        """Margins of candidates past the decision boundary; see `robustkit.perturb.decision.margin`.

        Args:
            rows: Row of each image, shape (M,).
            logits: Shape (M, P, K).

        Returns:
            Margins, shape (M, P), minus infinity where the output is not finite.
        """
        return margin(logits, self.labels[rows], self.targets[rows])

    def flips(self, rows: Tensor, logits: Tensor) -> Tensor:
        """Which candidates flip their image, shape (M, P), bool; see `robustkit.perturb.decision.flips`."""
        return flips(logits, self.labels[rows], self.targets[rows])


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
