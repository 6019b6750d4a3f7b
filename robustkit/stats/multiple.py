"""Many tests at once: p-values adjusted for the size of their family."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from robustkit.errors import InputError


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's adjusted p-values, for the few tests that were declared before the data were seen.

    Rejecting those at most alpha keeps the chance of any false rejection at most alpha, whatever their dependence.

    Args:
        p: The p-values of one family, shape (M,).

    Returns:
        The adjusted p-values in the order given, shape (M,).

    Raises:
        InputError: If they are not a vector of numbers in [0, 1].

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65.

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])
    """
    family = _family(p)
    order = np.argsort(family, kind="stable")
    stepped = np.maximum.accumulate(family[order] * np.arange(len(family), 0, -1))
    adjusted = np.empty_like(family)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def benjamini_hochberg(p: ArrayLike, *, dependent: bool = False) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p-values, for the many tests of an exploration.

    Of those at most alpha, a share of at most alpha is false on average.

    Args:
        p: The p-values of one family, shape (M,).
        dependent: Whether the tests may depend on each other in any way (Benjamini & Yekutieli); the default holds
            for independent and for positively dependent ones.

    Returns:
        The adjusted p-values in the order given, shape (M,).

    Raises:
        InputError: If they are not a vector of numbers in [0, 1].

    Source: Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; SciPy computes it.

    Examples:
        >>> benjamini_hochberg([0.01, 0.04, 0.03])
        array([0.03, 0.04, 0.04])
    """
    family = _family(p)
    return false_discovery_control(family, method="by" if dependent else "bh") if len(family) else family


def _family(p: ArrayLike) -> np.ndarray:
    family = np.asarray(p, dtype=np.float64)
    if family.ndim != 1:
        raise InputError(f"p-values must be a vector; their shape is {family.shape}")
    # Written so that nan fails too.
    if not ((family >= 0) & (family <= 1)).all():
        raise InputError(f"p-values must lie in [0, 1]; got {family.tolist()}")
    return family
