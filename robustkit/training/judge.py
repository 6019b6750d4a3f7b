"""The measurements after every epoch, on which the choice of the epoch rests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from robustkit.training.domains import PartTensors
from robustkit.training.machinery import Run
from robustkit.training.network import predict
from robustkit.training.scores import class_shift, labelled_scores, target_scores


@dataclass(frozen=True, eq=False)
class Judge:
    """Scores a network on validation images.

    Attributes:
        valid: Labelled images.
        target: Images of the target without labels, or `None`.
        on_target: Whether the epoch is chosen by its information on the target, instead of its loss on `valid`.
        oracle: Labels of `target` for the columns `oracle_...` of the log, which nothing else reads; or `None`.
    """

    valid: PartTensors
    target: PartTensors | None
    on_target: bool
    oracle: np.ndarray | None = None

    def __call__(self, run: Run) -> dict[str, Any]:
        """A row of scores; `gate` and `score` are those that the choice rests on."""
        assert self.valid.labels is not None
        labels = self.valid.labels.cpu().numpy()
        outputs = predict(run.network, self.valid.images)
        row = labelled_scores(_numpy(outputs.logits), labels, "valid")
        row["gate"], row["score"] = row["valid_balanced_accuracy"], -row["valid_loss"]
        if self.target is None:
            return row
        found = predict(run.network, self.target.images)
        logits = _numpy(found.logits)
        row |= target_scores(outputs, labels, found)
        row["target_most_common"] = float(np.bincount(logits.argmax(1)).max() / len(logits))
        row |= class_shift(_numpy(outputs.logits), logits)
        if self.on_target:
            row["score"] = row["information"]
        if self.oracle is not None:
            row |= labelled_scores(logits, self.oracle, "oracle")
        return row


def _numpy(rows: Tensor) -> np.ndarray:
    return rows.cpu().numpy()
