"""Training: one loop for a network on one domain, or on two domains to be aligned.

A *domain* is an image set: the *source* has labels, the *target* has none that training may use. `train` writes a
checkpoint that holds the network, its stretch, and the split of the images. An *alignment* is a penalty on
source latents and target latents; the loss is task + weight * penalty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustkit.lazy import lazy_names

if TYPE_CHECKING:
    from robustkit.training.domains import pair_of
    from robustkit.training.many import train_many
    from robustkit.training.presets import PRESETS, preset
    from robustkit.training.settings import Settings
    from robustkit.training.train import Trained, train

__all__ = ["PRESETS", "Settings", "Trained", "pair_of", "preset", "train", "train_many"]

__getattr__, __dir__ = lazy_names(__name__, __file__)
