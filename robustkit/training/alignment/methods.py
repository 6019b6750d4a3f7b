"""The methods with a penalty, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robustkit.code_gate import import_named
from robustkit.errors import InputError
from robustkit.training.alignment.adversarial import Adversarial, Conditional
from robustkit.training.alignment.base import Alignment
from robustkit.training.alignment.confusion import Confusion
from robustkit.training.alignment.coral import Coral
from robustkit.training.alignment.mmd import MedianMMD, PublishedMMD
from robustkit.training.alignment.sinkhorn import Sinkhorn

# Each takes the settings of the run, the number of latents D and of classes K.
ALIGNMENTS: dict[str, Callable[[Any, int, int], Alignment]] = {
    "mmd": lambda settings, latents, classes: PublishedMMD() if settings.kernels == "published" else MedianMMD(),
    "dann": lambda settings, latents, classes: Adversarial(latents),
    "coral": lambda settings, latents, classes: Coral(),
    "sinkhorn": lambda settings, latents, classes: Sinkhorn(),
    "mcc": lambda settings, latents, classes: Confusion(),
    "cdan": lambda settings, latents, classes: Conditional(latents * classes),
}


def make_alignment(method: str, settings: Any, latents: int, classes: int) -> Alignment | None:
    """The penalty of a method.

    Args:
        method: A name in `ALIGNMENTS`, or your own `Alignment` as `path/to/file.py:Class` or `package.module:Class`,
            which is then imported.
        settings: The `Settings` of the run.
        latents: Number of latents D.
        classes: Number of classes K.

    Returns:
        The penalty; `None` for a method without one.

    Raises:
        InputError: If the class cannot be imported, or is no `Alignment`.
    """
    if method in ALIGNMENTS:
        return ALIGNMENTS[method](settings, latents, classes)
    if ":" not in method:
        return None
    kind = import_named(method, "--method")
    if not (isinstance(kind, type) and issubclass(kind, Alignment)):
        raise InputError(f"expected {method} to be a subclass of robustkit.training.alignment.Alignment, got {kind!r}")
    return kind.of(settings, latents, classes)
