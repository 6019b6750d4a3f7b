"""The training methods by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustkit.code_gate import import_named
from robustkit.errors import InputError
from robustkit.lazy import Registry

if TYPE_CHECKING:
    from robustkit.training.alignment.base import Alignment

# Methods without a penalty; the others use target images in every step.
PLAIN = ("source", "adabn", "augment", "oracle")
ALIGNMENTS: Registry[type[Alignment]] = Registry(
    "robustkit.training.alignment",
    {
        "mmd": "mmd:MedianMMD",
        "dann": "adversarial:Adversarial",
        "coral": "coral:Coral",
        "sinkhorn": "sinkhorn:Sinkhorn",
        "mcc": "confusion:Confusion",
        "cdan": "adversarial:Conditional",
    },
)
ADVERSARIAL = frozenset({"dann", "cdan"})  # whose penalty is the loss of an opponent
OWN = "your own as path/to/file.py:Class"


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
        return ALIGNMENTS[method].of(settings, latents, classes)
    if ":" not in method:
        return None
    from robustkit.training.alignment.base import Alignment

    kind = import_named(method, "--method")
    if not (isinstance(kind, type) and issubclass(kind, Alignment)):
        raise InputError(f"expected {method} to be a subclass of robustkit.training.alignment.Alignment, got {kind!r}")
    return kind.of(settings, latents, classes)
