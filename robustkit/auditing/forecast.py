"""How long an audit takes: said before it begins, from what a few images cost here, and compared at its end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from robustkit.auditing.request import QUICK_BUDGETS, AuditRequest
from robustkit.auditing.steps import is_finished
from robustkit.auditing.subject import Subject
from robustkit.engine import make_evaluator
from robustkit.engine.rate import candidates_per_second, in_words
from robustkit.errors import OutOfMemory
from robustkit.findings.sweep.finding import QUICK
from robustkit.models.memory import is_out_of_memory
from robustkit.perturb.faults.registry import HITS, SUITES
from robustkit.perturb.search.registry import DEFAULT_SEARCHES

# Queries of a search without a budget, and how many corners a pixel has where the values are not counted yet.
_BUDGET = 32_000
# Passes over the cells of an image, beside the complete search, that look for its nearest flip and its least change.
_NEAREST = 3
# Seconds of a perturbation for each second of the network on the perturbed image, and what a page takes to draw.
_MADE, _PAGE = 1.0, 15.0
# What the attacks of a quick audit may take, seconds.
_ATTACK = 300.0


@dataclass(frozen=True)
class Pace:
    """How fast a model answers here.

    Attributes:
        each: Seconds of an image in a whole pass.
        rate: Candidates a second.
    """

    each: float
    rate: float


def paces_of(subjects: Mapping[str, Subject]) -> dict[str, Pace] | None:
    """How fast each model answers that has work left; `None` where memory runs out."""
    try:
        return {name: _timed(subject) for name, subject in subjects.items() if _left(subject)}
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if not is_out_of_memory(error):
            raise
        return None


def forecast(subjects: Mapping[str, Subject], request: AuditRequest, paces: Mapping[str, Pace]) -> float:
    """Seconds that the steps which are not there yet take, and the page.

    It is rough: the same steps on other images take half as long or twice as long.

    Args:
        subjects: The models with their images and the steps that they have.
        request: What is asked for.
        paces: How fast they answer.
    """
    return sum(_of_one(subjects[name], request, pace) for name, pace in paces.items()) + _PAGE


def budget_in_time(subjects: Mapping[str, Subject], request: AuditRequest, paces: Mapping[str, Pace]) -> int:
    """The largest of the budgets of a quick audit with which its attacks take `_ATTACK` seconds at most.

    Args:
        subjects: The models with their images.
        request: What is asked for.
        paces: How fast they answer.
    """
    searches = len(request.attack.searches or DEFAULT_SEARCHES)
    spent = sum(len(subjects[name].sample) * searches / pace.rate for name, pace in paces.items())  # of one query each
    return next((budget for budget in QUICK_BUDGETS if budget * spent <= _ATTACK), QUICK_BUDGETS[-1])


def said_before(seconds: float) -> str:
    """The line before an audit."""
    return f"the whole audit takes {in_words(seconds)} (timed on a few images; half or twice as long is possible)"


def said_after(took: float, estimate: float | None) -> str:
    """The line after an audit."""
    beside = "" if estimate is None else f"; the estimate was {in_words(estimate).removeprefix('about ')}"
    return f"the audit took {in_words(took).removeprefix('about ')}{beside}"


def _left(subject: Subject) -> set[str]:
    steps = ("sweep", "hazard", "attack", "certify", "distances")
    return {name for name in steps if not is_finished(subject.steps, name)}


def _timed(subject: Subject) -> Pace:
    classifier = subject.checkpoint.classifier
    images = subject.sample.images[:4].to(classifier.device)
    classifier(images)  # the first pass warms up
    began = time.perf_counter()
    classifier(images)
    each = (time.perf_counter() - began) / len(images)
    tried = min(256, int(1 / max(each, 1e-3)))  # a second at most where each is a whole pass
    return Pace(each, candidates_per_second(make_evaluator(classifier, images), candidates=tried))


def _of_one(subject: Subject, request: AuditRequest, pace: Pace) -> float:
    left, images, n, rate = _left(subject), subject.sample.images, len(subject.sample), pace.rate
    cells = math.prod(images.shape[2:]) * 2 ** images.shape[1]
    affordable = min(cells, request.certify.seconds * rate / n) if request.certify.seconds > 0 else cells
    part = request.sweep
    faults = len(part.perturbations or (QUICK if part.suite == "quick" else SUITES["lsst"]))
    passes = {"sweep": 5 * faults * part.draws, "hazard": len(HITS) * request.hazard.events}
    candidates = {
        "attack": len(request.attack.searches or DEFAULT_SEARCHES) * (request.attack.budget or _BUDGET),
        "certify": affordable,
        "distances": _NEAREST * affordable,
    }
    plain = sum(passes[name] for name in left & passes.keys()) * pace.each * (1 + _MADE)
    return n * (plain + sum(candidates[name] for name in left & candidates.keys()) / rate)
