"""How many candidates a second an evaluator scores: for telling a user how long something would take."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from robustkit.engine import Candidates, Evaluator, make_evaluator
from robustkit.errors import OutOfMemory
from robustkit.models import AuditedClassifier
from robustkit.models.memory import is_out_of_memory
from robustkit.progress import ENGINE
from robustkit.words import brief


def engine_line(name: str, why: str, rate: float, most: float) -> str:
    """Which engine scores, why not a faster one, how fast, and how long all takes.

    Args:
        name: Of the evaluator.
        why: Its `why_not_faster`.
        rate: Candidates a second, as measured.
        most: The most candidates that may be scored.
    """
    because = f", because {brief(why)}" if why else ""
    most = min(most, 10**300)  # a budget may be beyond all floats
    within = f"at most {most:,.0f} candidates, {in_words(most / rate)}"
    return f"{ENGINE}{name}{because}; {rate:,.0f} candidates/s measured; {within}"


def spoken_trial(classifier: AuditedClassifier, images: Tensor, most: float) -> str:
    """The same of an evaluator that is made and timed for it; empty where memory runs out even for that.

    Args:
        classifier: The classifier.
        images: A few clean images, shape (N, C, H, W).
        most: The most candidates that may be scored.
    """
    try:
        evaluator = make_evaluator(classifier, images.to(classifier.device))
        rate = candidates_per_second(evaluator, candidates=512)
        return engine_line(evaluator.name, evaluator.why_not_faster, rate, most)
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if not is_out_of_memory(error):
            raise
        return ""


def in_words(seconds: float) -> str:
    """About how long something takes, as one says it."""
    if seconds < 1:
        return "less than a second"
    for limit, size, name in ((100, 1, "s"), (6000, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"about {seconds / size:.2g} {name}"
    return f"about {seconds / 86400:.2g} days"


def candidates_per_second(evaluator: Evaluator, *, candidates: int = 2000) -> float:
    """Scores random candidates for a moment.

    Args:
        evaluator: The evaluator.
        candidates: How many of its first 8 images' candidates are scored, after as many to warm up.

    Returns:
        Candidates a second, above 0.
    """
    images = evaluator.images[:8]
    m, p = len(images), max(1, candidates // len(images))
    generator = torch.Generator().manual_seed(0)
    row = torch.randint(images.shape[2], (m, p, 1), generator=generator).to(images.device)
    column = torch.randint(images.shape[3], (m, p, 1), generator=generator).to(images.device)
    value = images.flatten(2).amax(2)[:, None, None].expand(m, p, 1, -1).contiguous()
    some = Candidates(torch.arange(m, device=images.device), row, column, value)
    evaluator(some)
    began = time.perf_counter()
    evaluator(some)
    return m * p / max(time.perf_counter() - began, 1e-9)
