"""robustkit: what does it take to change an image classifier's prediction, and can that happen by accident?

An *image set* holds images with their bands, units and ids. A *classifier* is features -> **latent** -> **head**.
A *perturbation* makes a perturbed image from a clean one; when the predicted class changes, that is a *flip*. A
*query* is one image through the network, however it is computed. What was measured is a *record*; a command leaves
its records in a *run* folder.

The names below are loaded on first use, so that `import robustkit` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustkit.catalogues.front import flag, predict
    from robustkit.data import ImageSet, open_images
    from robustkit.data.simulate import simulate
    from robustkit.errors import InputError, RobustkitError
    from robustkit.front import attack, audit, certify, distances, isomap, sweep, train, windows
    from robustkit.models import (
        AuditedClassifier,
        BlackBox,
        ConvNet,
        DeepMerge,
        ModelOptions,
        ResNet18,
        open_checkpoint,
        open_model,
        save_checkpoint,
    )
    from robustkit.models.fronts import Repaired, make_front
    from robustkit.records import Record
    from robustkit.scoring import evaluator
    from robustkit.seeds import Streams
    from robustkit.training.evaluate import evaluate

__version__ = "0.1.0"

__all__ = [
    "AuditedClassifier",
    "BlackBox",
    "ConvNet",
    "DeepMerge",
    "ImageSet",
    "InputError",
    "ModelOptions",
    "Record",
    "Repaired",
    "ResNet18",
    "RobustkitError",
    "Streams",
    "__version__",
    "attack",
    "audit",
    "certify",
    "distances",
    "evaluate",
    "evaluator",
    "flag",
    "isomap",
    "make_front",
    "open_checkpoint",
    "open_images",
    "open_model",
    "predict",
    "save_checkpoint",
    "simulate",
    "sweep",
    "train",
    "windows",
]

# Where each name is, for those who run the code; type checkers read the imports above.
_HOME = {
    **dict.fromkeys(("AuditedClassifier", "BlackBox", "ConvNet", "DeepMerge", "ResNet18"), "robustkit.models"),
    **dict.fromkeys(("ModelOptions", "open_checkpoint", "open_model", "save_checkpoint"), "robustkit.models"),
    **dict.fromkeys(("Repaired", "make_front"), "robustkit.models.fronts"),
    **dict.fromkeys(("ImageSet", "open_images"), "robustkit.data"),
    **dict.fromkeys(("InputError", "RobustkitError"), "robustkit.errors"),
    **dict.fromkeys(
        ("attack", "audit", "certify", "distances", "isomap", "sweep", "train", "windows"), "robustkit.front"
    ),
    **dict.fromkeys(("flag", "predict"), "robustkit.catalogues.front"),
    "evaluate": "robustkit.training.evaluate",
    "evaluator": "robustkit.scoring",
    "simulate": "robustkit.data.simulate",
    "Record": "robustkit.records",
    "Streams": "robustkit.seeds",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'robustkit' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
