"""From whatever a network returns to logits of shape (N, K)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from robustkit.errors import InputError

OutputKind = Literal["logits", "probabilities", "log-probabilities", "sigmoid"]

# A probability of exactly 0 in float32 becomes this logit, not minus infinity.
_TINY = 1e-38


@dataclass(frozen=True)
class Output:
    """Which part of a network's return value holds the scores, and what they are.

    Attributes:
        part: Position in a tuple or key in a dict; `None` when the network returns one tensor.
        kind: `logits` (one column is the logit of class 1 against class 0), `probabilities` (rows sum to 1),
            `log-probabilities`, or `sigmoid` (one column, after the sigmoid: the probability of class 1).
    """

    part: int | str | None = None
    kind: OutputKind = "logits"

    def __post_init__(self) -> None:
        if self.kind not in get_args(OutputKind):
            raise InputError(f"unknown output kind {self.kind!r}; known are {', '.join(get_args(OutputKind))}")

    def logits(self, returned: Any) -> Tensor:
        """The scores as logits.

        Args:
            returned: What the network returned for N images.

        Returns:
            Logits, shape (N, K); a constant per row is arbitrary.

        Raises:
            InputError: If the part is missing, must be named first, or is not a floating-point matrix.
        """
        scores = self.select(returned)
        if self.kind == "sigmoid" and isinstance(scores, Tensor) and scores.ndim <= 1:
            scores = scores.reshape(-1, 1)
        if not isinstance(scores, Tensor) or scores.ndim != 2 or not scores.is_floating_point():
            raise InputError(f"expected scores of shape (N, K) from the network, came {describe(scores)}")
        if self.kind == "probabilities":
            return scores.clamp_min(_TINY).log()
        if self.kind == "sigmoid":
            if scores.shape[1] != 1:
                raise InputError(f"a sigmoid output has one column, came {scores.shape[1]}; name another output kind")
            return torch.cat([(1 - scores).clamp_min(_TINY), scores.clamp_min(_TINY)], 1).log()
        if self.kind == "logits" and scores.shape[1] == 1:
            return torch.cat([torch.zeros_like(scores), scores], 1)
        return scores

    def select(self, returned: Any) -> Any:
        """What holds the scores, of all that a network returned."""
        if isinstance(returned, Tensor):
            if self.part is not None:
                raise InputError(
                    f"the network returns one tensor, so it has no part {self.part!r}; leave --output-index and "
                    "--output-key away"
                )
            return returned
        if self.part is None:
            raise InputError(
                f"the network returns {describe(returned)}; say which part holds the scores with --output-index or "
                "--output-key"
            )
        try:
            return returned[self.part]
        except (KeyError, IndexError, TypeError) as error:
            raise InputError(f"no part {self.part!r} in what the network returns: {describe(returned)}") from error


def choose_part(returned: Any, classes: int | None = None) -> int | str | None:
    """Which part of a network's return value holds the scores, by shapes and values and never by names.

    Args:
        returned: What the network returned for two or more images.
        classes: K, or `None` when nobody has said.

    Returns:
        A position or key; `None` when the network returns one tensor, or when the choice is not clear.
    """
    if isinstance(returned, Tensor):
        return None
    pairs = returned.items() if isinstance(returned, Mapping) else enumerate(returned) if _listed(returned) else ()
    parts = {
        key: part for key, part in pairs if isinstance(part, Tensor) and part.ndim == 2 and part.is_floating_point()
    }
    fewest = classes or min((part.shape[1] for part in parts.values()), default=0)
    parts = {key: part.detach().double() for key, part in parts.items() if part.shape[1] == fewest}
    # What is the softmax of another part is left out: the other holds the logits.
    kept = [
        key
        for key, part in parts.items()
        if not any(_is_softmax(part, other) for name, other in parts.items() if name != key)
    ]
    return kept[0] if len(kept) == 1 else None


def _is_softmax(scores: Tensor, logits: Tensor) -> bool:
    if torch.equal(scores, logits):
        return False
    made = (logits.softmax(1), logits.log_softmax(1), logits.sigmoid())
    return any(torch.allclose(scores, value, atol=1e-5) for value in made)


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def describe(value: Any) -> str:
    """A return value in words: the shape of a tensor, the parts of a tuple or dict."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return "a dict with " + ", ".join(f"{key!r}: {describe(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} with " + ", ".join(f"{i}: {describe(item)}" for i, item in enumerate(value))
    return f"a {type(value).__name__}"


def looks_like_probabilities(scores: Tensor) -> bool:
    """Whether every row is non-negative and sums to 1, which logits do only by accident."""
    return bool(scores.shape[1] > 1 and (scores >= 0).all() and (scores.sum(1) - 1).abs().max() < 1e-4)


def sums_over_images(scores: Tensor) -> bool:
    """Whether every column is non-negative and sums to 1: a softmax over the images of the batch."""
    return bool(len(scores) > 1 and (scores >= 0).all() and (scores.sum(0) - 1).abs().max() < 1e-4)
