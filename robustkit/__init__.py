"""robustkit: what does it take to change an image classifier's mind, and can that happen by accident?

An *image set* holds images with their bands, units and ids. A *classifier* is features -> **latent** -> **head**.
A *perturbation* makes a perturbed image from a clean one; when the predicted class changes, that is a *flip*. A
*query* is one image through the network, however it is computed. What was measured is a *record*; a command leaves
its records in a *run* folder.

The names below are loaded on first use, so that `import robustkit` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "AuditedClassifier": "robustkit.models",
    "BlackBox": "robustkit.models",
    "ConvNet": "robustkit.models",
    "DeepMerge": "robustkit.models",
    "ResNet18": "robustkit.models",
    "ImageSet": "robustkit.data",
    "open_images": "robustkit.data",
    "ModelOptions": "robustkit.models",
    "open_checkpoint": "robustkit.models",
    "open_model": "robustkit.models",
    "save_checkpoint": "robustkit.models",
    "Record": "robustkit.records",
    "Streams": "robustkit.seeds",
    "InputError": "robustkit.errors",
    "RobustkitError": "robustkit.errors",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'robustkit' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
