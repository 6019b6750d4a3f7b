"""What a network decides, where that is not the largest of its outputs: a cut on a score, answers to questions, labels.

A decision makes scores of outcomes from the logits of a network, and the outcome with the largest score is the one that
is decided. Everything that asks for a class, a margin or a flip asks the outcomes, so a search, a certificate, a sweep,
a verdict and a page all take the same decision, and the margin has its sign.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.records import BAND

if TYPE_CHECKING:
    from torch import Tensor

# Outcomes of labels or of several questions multiply; more of them are no classes that a page could show.
_MOST = 64
_SIZE = r"(?P<size>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_BAND = re.compile(rf"\s*{_SIZE}\s*(?P<relative>\*?\s*\(\s*1\s*\+\s*z\s*\))?\s*")
_CUT = re.compile(r"\s*(?P<answer>.+?)\s*>\s*(?P<threshold>[^>\s]+)\s*$")


class Decision(Protocol):
    """What a network decides."""

    @property
    def names(self) -> tuple[str, ...]:
        """The outcomes."""
        ...

    @property
    def threshold(self) -> float | None:
        """Where a score is cut, between 0 and 1; `None` where none is."""
        ...

    @property
    def words(self) -> str:
        """What flips, for notes and pages."""
        ...

    def scores(self, logits: Tensor) -> Tensor:
        """Scores of the outcomes, of the logits of the network: (..., K) to (..., outcomes)."""
        ...


@dataclass(frozen=True)
class Cut:
    """A score above a threshold, as alerts are gated: `real` above 0.808, or a share of the votes above 0.5.

    The score of the second outcome is the logit of its share less the logit of the threshold, the first's is 0.

    Attributes:
        names: The outcome at or below the threshold, and the one above.
        answer: Which output is cut.
        group: The outputs among which its share is taken.
        outputs: How many outputs the network has.
        threshold: The share.
    """

    names: tuple[str, ...]
    answer: int
    group: tuple[int, ...]
    outputs: int
    threshold: float

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise InputError(
                f"a threshold must be between 0 and 1, as the scores are, got {self.threshold:g}; a logit z is the "
                "score 1 / (1 + exp(-z))"
            )

    @property
    def words(self) -> str:
        """What flips."""
        return f"{self.names[1]} where its score is above {self.threshold:g}, and {self.names[0]} otherwise"

    def scores(self, logits: Tensor) -> Tensor:
        """Scores of the two outcomes."""
        _check_outputs(logits, self.outputs)
        others = [k for k in self.group if k != self.answer]
        rest = logits[..., others[0]] if len(others) == 1 else logits[..., others].logsumexp(-1)
        above = logits[..., self.answer] - rest - math.log(self.threshold / (1 - self.threshold))
        return torch.stack([torch.zeros_like(above), above], -1)


@dataclass(frozen=True)
class Several:
    """The answers to several questions at once, or several labels: any that changes is a flip.

    The score of an outcome is the sum of the logits of its answers, so that the largest sum has the largest answer to
    each question, and the softmax of the sums is the product of the probabilities.

    Attributes:
        names: The outcomes: an answer to each question, joined by `+`.
        chosen: The outputs that each outcome sums.
        outputs: How many outputs the network has.
        words: What flips.
    """

    names: tuple[str, ...]
    chosen: tuple[tuple[int, ...], ...]
    outputs: int
    words: str

    @property
    def threshold(self) -> float | None:
        """None: nothing is cut."""
        return None

    def scores(self, logits: Tensor) -> Tensor:
        """Scores of the outcomes."""
        _check_outputs(logits, self.outputs)
        sums = [sum((logits[..., k] for k in picked), torch.zeros_like(logits[..., 0])) for picked in self.chosen]
        return torch.stack(sums, -1)


@dataclass(frozen=True)
class Within:
    """A number that stays within a band about the true one, as a photometric redshift does: |dz| / (1 + z) <= 0.15.

    Each image has a band of its own, so a classifier is asked about one value at a time, see `AuditedClassifier.about`.
    The scores are the distances past both ends of the band, and 0 within it.

    Attributes:
        tolerance: Half the width of the band.
        relative: Whether that is in units of 1 + the true value.
        value: The true value.
    """

    tolerance: float
    relative: bool = False
    value: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < math.inf:
            raise InputError(f"--tolerance must be above 0, got {self.tolerance:g}")

    @property
    def names(self) -> tuple[str, ...]:
        """Within the band, below and above."""
        return BAND

    @property
    def threshold(self) -> float | None:
        """None: no score is cut."""
        return None

    @property
    def words(self) -> str:
        """What flips."""
        size = f"{self.tolerance:g}{' (1 + true value)' if self.relative else ''}"
        return f"whether the number lies within {size} of the true value, and on which side it leaves that band"

    def half_width(self, values: float | np.ndarray) -> np.ndarray:
        """Half the width of the band about each of some true values, the same shape."""
        return self.tolerance * (np.abs(1 + np.asarray(values)) if self.relative else np.ones_like(values, dtype=float))

    def scores(self, logits: Tensor) -> Tensor:
        """Scores of the three outcomes, of the one output of a network: (..., 1) to (..., 3)."""
        if logits.shape[-1] != 1:
            raise InputError(
                f"--tolerance is for a network of one number, and this one has {logits.shape[-1]} outputs; choose one "
                "with --output-index or --output-key, or omit --tolerance for classes"
            )
        half = float(self.half_width(self.value))
        past = logits[..., 0] - self.value
        return torch.stack([torch.zeros_like(past), -past - half, past - half], -1)


def band_of(text: str | float) -> Within:
    """`--tolerance`: `0.1`, or `0.15(1+z)` for a band that is so many times 1 + the true value.

    Raises:
        InputError: If it is neither, or not above 0.
    """
    found = _BAND.fullmatch(str(text))
    if found is None:
        raise InputError(f"expected --tolerance as '0.1' or '0.15(1+z)', got {text!r}")
    return Within(float(found["size"]), relative=found["relative"] is not None)


def cut_at(threshold: float, answers: Sequence[str]) -> Cut:
    """`--threshold`: the score of the second of two classes above a threshold.

    Raises:
        InputError: If there are not two classes, or the threshold is no score.
    """
    if len(answers) != 2:
        raise InputError(
            f"--threshold cuts the score of one of two classes, and there are {len(answers)}; name the one to cut with "
            f"--question '{answers[-1] if answers else 'NAME'}>{threshold:g}'"
        )
    return Cut(tuple(answers), 1, (0, 1), 2, threshold)


def labels_of(answers: Sequence[str]) -> Several:
    """`--multi-label`: each output is a label of its own, there where its logit is above 0.

    Raises:
        InputError: If they have too many combinations.
    """
    if len(answers) < 2 or 2 ** len(answers) > _MOST:
        raise InputError(
            f"--multi-label takes 2 to {int(math.log2(_MOST))} labels, because each combination of them is an outcome, "
            f"and there are {len(answers)}; ask some of them as questions with --question"
        )
    picked = [tuple(k for k in range(len(answers)) if number >> k & 1) for number in range(2 ** len(answers))]
    names = tuple("+".join(answers[k] for k in some) or "none" for some in picked)
    return Several(names, tuple(picked), len(answers), f"any of the labels {', '.join(answers)} changes")


def parse_question(text: str, answers: Sequence[str]) -> Decision:
    """`--question`: which outputs are answers to which question, and what is asked.

    `smooth,featured,artifact; bar,no-bar` are two questions, and a flip is another answer to either. `...` at the end
    leaves the other outputs out. `smooth>0.5` asks whether a share is above a threshold: of all outputs, or of its
    question where one stands before it, as in `smooth,featured,artifact: smooth>0.5; ...`.

    Args:
        text: What was said.
        answers: Names of the outputs of the network.

    Raises:
        InputError: If a name is unknown, the questions overlap or leave gaps, or there are too many outcomes.
    """
    parts = [part.strip() for part in text.split(";") if part.strip()]
    rest = bool(parts) and parts[-1] == "..."
    parts = parts[: len(parts) - rest]
    if not parts:
        raise InputError(f"expected --question as 'a,b,c' or 'a>0.5', with the outputs a, b and c, got {text!r}")
    questions: list[tuple[int, ...]] = []
    cut: tuple[int, float, int] | None = None  # the answer, its threshold, and the number of its question
    for part in parts:
        group, colon, asked = part.rpartition(":") if ">" in part else (part, "", "")
        if asked:
            found = _CUT.fullmatch(asked)
            try:
                assert found is not None
                cut = _index(found["answer"], answers), float(found["threshold"]), len(questions)
            except (AssertionError, ValueError) as error:
                raise InputError(f"expected a cut as 'name>0.5' in --question, got {asked.strip()!r}") from error
        whole = bool(asked) and not colon
        names = list(answers) if whole else [name.strip() for name in group.split(",") if name.strip()]
        questions.append(tuple(_index(name, answers) for name in names))
    _check_questions(questions, answers, rest)
    if cut is None:
        return _several(questions, answers)
    if len(parts) > 1:
        raise InputError("--question asks for one cut, or for answers, and not for both; leave the others to '...'")
    answer, threshold, number = cut
    group = questions[number]
    if answer not in group or len(group) < 2:
        raise InputError(f"--question cuts {answers[answer]!r}, which is none of two or more answers to its question")
    below = f"not {answers[answer]}" if len(group) > 2 else next(answers[k] for k in group if k != answer)
    return Cut((below, answers[answer]), answer, group, len(answers), threshold)


def _several(questions: Sequence[tuple[int, ...]], answers: Sequence[str]) -> Several:
    if math.prod(map(len, questions)) > _MOST:
        raise InputError(
            f"the questions have {math.prod(map(len, questions))} combinations of answers, and at most {_MOST} are "
            "outcomes; ask fewer of them and leave the others to '...'"
        )
    chosen = tuple(itertools.product(*questions))
    names = tuple("+".join(answers[k] for k in picked) for picked in chosen)
    words = "the answer to " + (
        f"the question {', '.join(answers[k] for k in questions[0])}" if len(questions) == 1
        else f"any of {len(questions)} questions"
    )  # fmt: skip
    return Several(names, chosen, len(answers), f"{words} changes")


def _check_questions(questions: Sequence[tuple[int, ...]], answers: Sequence[str], rest: bool) -> None:
    named = [k for group in questions for k in group]
    twice = next((k for k in named if named.count(k) > 1), None)
    if twice is not None:
        raise InputError(f"--question names {answers[twice]!r} twice, and an output is an answer to one question")
    short = next((group for group in questions if len(group) < 2), None)
    if short is not None:
        raise InputError(f"--question gives a question {len(short)} answers; it needs two or more, joined by commas")
    left = [answers[k] for k in range(len(answers)) if k not in named]
    if left and not rest:
        raise InputError(
            f"--question leaves out the outputs {', '.join(left)}; name their questions too, or end with '; ...'"
        )


def _index(name: str, answers: Sequence[str]) -> int:
    if name not in answers:
        raise InputError(f"--question names {name!r}, which is no output of the network; they are {', '.join(answers)}")
    return list(answers).index(name)


def _check_outputs(logits: Tensor, outputs: int) -> None:
    if logits.shape[-1] != outputs:
        raise InputError(
            f"the decision is of {outputs} outputs and the network has {logits.shape[-1]}; name all of them in their "
            "order with --classes"
        )
