"""Training: one loop for a network on one domain, or on two that are to be brought together.

A *domain* is an image set: the *source* has labels, the *target* has none that training may see. `train` writes a
checkpoint that holds the network, its stretch, and which images were used for what. An *alignment* is a penalty on
source latents and target latents; the loss is task + weight * penalty.
"""

from robustkit.training.domains import pair_of
from robustkit.training.many import train_many
from robustkit.training.presets import PRESETS, preset
from robustkit.training.settings import Settings
from robustkit.training.train import Trained, train

__all__ = ["PRESETS", "Settings", "Trained", "pair_of", "preset", "train", "train_many"]
