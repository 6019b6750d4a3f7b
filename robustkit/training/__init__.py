"""Training: one loop for a network on one domain, or on two that are to be brought together.

A *domain* is an image set: the *source* has labels, the *target* has none that training may see. `train` writes a
checkpoint that holds the network, its stretch, and which images were used for what.
"""

from robustkit.training.settings import Settings
from robustkit.training.train import Trained, train

__all__ = ["Settings", "Trained", "train"]
