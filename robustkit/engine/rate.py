"""How many candidates a second an evaluator scores: for telling a user how long something would take."""

from __future__ import annotations

import time

import torch

from robustkit.engine import Candidates, Evaluator


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
