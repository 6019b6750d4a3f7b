"""Networks, how they are split at their latent layer, and how they are saved and opened safely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustkit.lazy import lazy_names

if TYPE_CHECKING:
    from robustkit.models.blackbox import BlackBox
    from robustkit.models.checkpoint import Card, Checkpoint, open_checkpoint, save_checkpoint
    from robustkit.models.classifier import AuditedClassifier
    from robustkit.models.foreign.opening import open_model
    from robustkit.models.foreign.options import ModelOptions
    from robustkit.models.networks import NETWORKS, ConvNet, DeepMerge, ResNet18
    from robustkit.models.outputs import Output

__all__ = [
    "NETWORKS",
    "AuditedClassifier",
    "BlackBox",
    "Card",
    "Checkpoint",
    "ConvNet",
    "DeepMerge",
    "ModelOptions",
    "Output",
    "ResNet18",
    "open_checkpoint",
    "open_model",
    "save_checkpoint",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
