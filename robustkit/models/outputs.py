"""From whatever a network returns to logits of shape (N, K)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import binom
from torch import Tensor

from robustkit.errors import InputError
from robustkit.models.choices import OutputKind
from robustkit.models.decision import Decision, Within
from robustkit.words import no_such

EndingKind = Literal["softmax", "log_softmax", "sigmoid", "log_sigmoid"]

# A probability of exactly 0 in float32 becomes this logit, not minus infinity.
_TINY = 1e-38
# Tuples and dicts in each other that are looked through for the scores.
_DEEPEST = 3


class WrongClassCount(InputError):
    """Other classes are named than the network has outputs.

    Args:
        outputs: How many outputs the network has.
        names: The classes that are named.
    """

    def __init__(self, outputs: int, names: Sequence[str]) -> None:
        self.outputs = outputs
        super().__init__(
            f"the network has {outputs} outputs and {len(names)} classes are named: {', '.join(names)}; name all "
            f"{outputs} in the order of the outputs with --classes, also those that the images do not show"
        )


@dataclass(frozen=True)
class Output:
    """Which part of a network's return value holds the scores, and what they are.

    Attributes:
        part: Position in a tuple, key in a dict, or a path such as `out.0`; `None` for one tensor.
        kind: `logits` (one column, or none, is the logit of class 1 against class 0), `probabilities` (rows sum to 1),
            `log-probabilities`, `sigmoid` (after the sigmoid; one column is the probability of class 1), or `votes`
            (positive numbers whose shares within a question are its vote fractions).
        decision: What is decided by the scores; by default the largest.
    """

    part: int | str | None = None
    kind: OutputKind = "logits"
    decision: Decision | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(OutputKind):
            raise InputError(no_such("output kind", self.kind, get_args(OutputKind)))

    def logits(self, returned: Any) -> Tensor:
        """The scores of what is decided, as logits.

        Args:
            returned: What the network returned for N images.

        Returns:
            Logits, shape (N, K); a constant per row is arbitrary.

        Raises:
            InputError: See `plain_logits`; or if the decision is of other outputs.
        """
        logits = self.plain_logits(returned)
        return logits if self.decision is None else self.decision.scores(logits)

    def plain_logits(self, returned: Any) -> Tensor:
        """The scores of the network as logits, before anything is decided.

        Args:
            returned: What the network returned for N images.

        Returns:
            Logits, shape (N, K); a constant per row is arbitrary.

        Raises:
            InputError: If the part is missing, must be named first, or is not a floating-point matrix.
        """
        scores = self.select(returned)
        if isinstance(scores, Tensor) and scores.ndim > 2 and _columns(scores):  # (N, K, 1, 1), of convolutions alone
            scores = scores.reshape(len(scores), -1)
        if self.kind in ("logits", "sigmoid") and isinstance(scores, Tensor) and scores.ndim == 1:
            scores = scores.reshape(-1, 1)
        if not isinstance(scores, Tensor) or scores.ndim != 2 or not scores.is_floating_point():
            raise InputError(f"expected scores of shape (N, K) from the network, got {describe(scores)}")
        if self.kind in ("probabilities", "votes"):
            return scores.clamp_min(_TINY).log()
        if self.kind == "sigmoid":
            if scores.shape[1] != 1 and self.decision is not None:
                return scores.clamp_min(_TINY).log() - (1 - scores).clamp_min(_TINY).log()
            if scores.shape[1] != 1:
                raise InputError(f"a sigmoid output has one column, got {scores.shape[1]}; name another output kind")
            return torch.cat([(1 - scores).clamp_min(_TINY), scores.clamp_min(_TINY)], 1).log()
        if self.kind == "logits" and scores.shape[1] == 1 and not isinstance(self.decision, Within):
            return torch.cat([torch.zeros_like(scores), scores], 1)
        return scores

    def select(self, returned: Any) -> Any:
        """What holds the scores, of all that a network returned."""
        if isinstance(returned, Tensor):
            if self.part is not None:
                raise InputError(
                    f"the network returns one tensor, so it has no part {self.part!r}; omit "
                    "--output-index and --output-key"
                )
            return returned
        if self.part is None:
            raise InputError(
                f"the network returns {describe(returned)}; say which part holds the scores with --output-index or "
                "--output-key"
            )
        try:
            return part_of(returned, self.part)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"no part {self.part!r} in what the network returns: {describe(returned)}") from error


def part_of(returned: Any, part: int | str | None) -> Any:
    """One part of what a network returned.

    Args:
        returned: What it returned.
        part: Position in a tuple or key in a dict; or text with several of them, from the outside in, between dots;
            `None` for everything.
    """
    if not isinstance(part, str) or (isinstance(returned, Mapping) and part in returned):
        return returned if part is None else returned[part]
    for word in part.split("."):
        if isinstance(returned, Mapping):
            returned = returned[word] if word in returned else returned[int(word)]
        else:
            returned = returned[int(word)] if _listed(returned) else getattr(returned, word)
    return returned


def _parts(returned: Any, before: tuple[Any, ...] = ()) -> dict[int | str, Tensor]:
    """Every tensor in a return value, by the part that it is."""
    if isinstance(returned, Tensor):
        return {before[0] if len(before) == 1 else ".".join(map(str, before)): returned}
    if len(before) > _DEEPEST:
        return {}
    fields = (
        returned if isinstance(returned, Mapping) else {} if _listed(returned) else getattr(returned, "__dict__", {})
    )
    pairs = enumerate(returned) if _listed(returned) else fields.items()
    return {part: tensor for key, value in pairs for part, tensor in _parts(value, (*before, key)).items()}


@dataclass(frozen=True)
class Choice:
    """Which part of a return value holds the scores.

    Attributes:
        part: Position in a tuple, key in a dict, or the path to it.
        why: How it was chosen, in words.
    """

    part: int | str
    why: str


def choose_part(returned: Any, classes: int | None = None, labels: ArrayLike | None = None) -> Choice | None:
    """Which part of a network's return value holds the scores, by shapes, values and labels and never by names.

    Args:
        returned: What the network returned for N images, two or more.
        classes: K, or `None` when nobody has said.
        labels: Classes of the N images, or `None` when nobody knows.

    Returns:
        The choice; `None` when the network returns one tensor, or when nothing settles it.
    """
    if isinstance(returned, Tensor):
        return None
    found = {key: part for key, part in _parts(returned).items() if part.is_floating_point() and _columns(part)}
    parts = {key: part.detach().cpu().double().reshape(len(part), -1) for key, part in found.items()}
    if classes is not None:
        exact = {key: part for key, part in parts.items() if _columns(part) == classes}
        single = {key: part for key, part in parts.items() if _columns(part) == 1 and classes == 2}
        # Labels need not show every class.
        more = {key: part for key, part in parts.items() if _columns(part) > classes and labels is not None}
        parts = exact | (single if labels is not None or not exact else {}) or more
    # What is the softmax of another part is left out: the other holds the logits.
    parts = {
        key: part
        for key, part in parts.items()
        if not any(_is_softmax(part, other) for name, other in parts.items() if name != key)
    }
    if len(parts) == 1:
        return Choice(next(iter(parts)), "by its shape")
    if labels is None or not parts:
        return None
    return _choose_by_labels(parts, np.asarray(labels))


def _choose_by_labels(parts: Mapping[Any, Tensor], labels: np.ndarray) -> Choice | None:
    """The part that is right more often than every other one, beyond chance."""
    right: dict[Any, np.ndarray] = {}
    for key, part in parts.items():
        scores = part.reshape(len(part), -1).cpu()
        if scores.shape[1] > 1:
            right[key] = scores.argmax(1).numpy() == labels
        else:  # a logit or a probability
            column = scores[:, 0].numpy()
            middle = 0.5 if ((column >= 0) & (column <= 1)).all() else 0.0
            right[key] = (column > middle) == (labels == 1)
    best = max(right, key=lambda key: right[key].mean())
    for key, other in right.items():
        better, worse = (right[best] & ~other).sum(), (other & ~right[best]).sum()
        # By a sign test: of the images on which two parts differ, a fair coin would say so in one of a hundred.
        if key != best and binom.sf(better - 1, better + worse, 0.5) > 0.01:
            return None
    shares = ", ".join(f"{key!r} on {right[key].mean():.2f}" for key in right)
    return Choice(best, f"because it is right on the labelled images ({shares} of {len(labels)})")


def _columns(part: Tensor) -> int:
    """How many scores of each image there are; 0 for maps, and for what is not of images."""
    count = math.prod(part.shape[1:])
    return count if part.ndim and count == max(part.shape[1:], default=1) else 0


def check_ending(kind: EndingKind, scores: Tensor, ended: Tensor) -> None:
    """Goes on only if a softmax or sigmoid of the scores is what the network returned.

    Args:
        kind: Which of them was cut off.
        scores: What is left, shape (N, K) or (N,).
        ended: What the network returned.

    Raises:
        InputError: If it is not.
    """
    functions: dict[str, Any] = {
        "softmax": lambda values: values.softmax(-1), "log_softmax": lambda values: values.log_softmax(-1),
        "sigmoid": torch.sigmoid, "log_sigmoid": torch.nn.functional.logsigmoid,
    }  # fmt: skip
    made = functions[kind](scores)
    if made.shape != ended.shape or not torch.allclose(made, ended, rtol=1e-2, atol=1e-3, equal_nan=True):
        raise InputError(f"the network's {kind} could not be cut off, because what is left does not lead to its answer")


def _is_softmax(scores: Tensor, logits: Tensor) -> bool:
    if scores.shape != logits.shape or torch.equal(scores, logits):
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


def check_kind(output: Output, returned: Any) -> list[str]:
    """Goes on only if scores can be what they are said to be.

    Args:
        output: What they are said to be.
        returned: What the network returned for two or more images.

    Returns:
        What a user should look at, one sentence each.

    Raises:
        InputError: If they cannot.
    """
    kind, raw, logits = output.kind, output.select(returned), output.plain_logits(returned)
    several = raw.numel() > len(raw)
    scores = logits[:, 1:] if logits.shape[1] == 2 and not logits[:, 0].any() else logits
    if kind == "logits" and several and looks_like_probabilities(logits):
        raise InputError(
            "the network's outputs are probabilities (each row sums to 1), not logits; say so with "
            "--output-kind probabilities"
        )
    if kind in ("logits", "probabilities") and several:
        values = logits.exp() if kind == "probabilities" else logits
        if sums_over_images(values) and not looks_like_probabilities(values):
            raise InputError(
                "each column of the network's outputs sums to 1: its softmax is taken over the images of a batch "
                "and not over the classes, so its answer depends on the other images; correct it to dim=1"
            )
        if kind == "probabilities" and not looks_like_probabilities(values):
            raise InputError(
                "the rows of the network's outputs do not sum to 1, so they are no probabilities; omit "
                "--output-kind for logits"
            )
    if kind == "votes" and bool((raw < 0).any()):
        raise InputError("the network's outputs are below 0, so they are no votes; omit --output-kind for logits")
    if kind == "sigmoid" and not bool(((raw >= 0) & (raw <= 1)).all()):
        raise InputError(
            "the network's output is not between 0 and 1, so no sigmoid was applied; omit --output-kind for one logit"
        )
    if isinstance(output.decision, Within):
        return []
    if kind == "logits" and scores.shape[1] == 1 and bool(((scores >= 0) & (scores <= 1)).all()):
        return ["the one output lies between 0 and 1; if the network ends in a sigmoid, say --output-kind sigmoid"]
    return []
