"""How long an audit takes: said before it begins, from what a few images cost here, and compared at its end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from robustkit.auditing.request import AuditRequest
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


def forecast(subjects: Mapping[str, Subject], request: AuditRequest) -> float | None:
    """Seconds that the steps which are not there yet take, and the page; `None` where the network cannot be timed.

    It is rough: the same steps on other images take half as long or twice as long.

    Args:
        subjects: The models with their images and the steps that they have.
        request: What is asked for.
    """
    try:
        return sum(_of_one(subject, request) for subject in subjects.values()) + _PAGE
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if not is_out_of_memory(error):
            raise
        return None


def said_before(seconds: float) -> str:
    """The line before an audit."""
    return f"the whole audit takes {in_words(seconds)} (timed on a few images; half or twice as long is possible)"


def said_after(took: float, estimate: float | None) -> str:
    """The line after an audit."""
    beside = "" if estimate is None else f"; the estimate was {in_words(estimate).removeprefix('about ')}"
    return f"the audit took {in_words(took).removeprefix('about ')}{beside}"


def _of_one(subject: Subject, request: AuditRequest) -> float:
    left = {
        name for name in ("sweep", "hazard", "attack", "certify", "distances") if not is_finished(subject.steps, name)
    }
    if not left:
        return 0.0
    classifier, n = subject.checkpoint.classifier, len(subject.sample)
    images = subject.sample.images[:4].to(classifier.device)
    classifier(images)  # the first pass warms up
    began = time.perf_counter()
    classifier(images)
    each = (time.perf_counter() - began) / len(images)
    tried = min(256, int(1 / max(each, 1e-3)))  # a second at most where each is a whole pass
    rate = candidates_per_second(make_evaluator(classifier, images), candidates=tried)
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
    plain = sum(passes[name] for name in left & passes.keys()) * each * (1 + _MADE)
    return n * (plain + sum(candidates[name] for name in left & candidates.keys()) / rate)
