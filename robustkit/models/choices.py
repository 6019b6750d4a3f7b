"""What can be said about the answers of a network, by name; without torch, so that a misspelling is refused at once."""

from __future__ import annotations

from typing import Literal

# What the scores of a network are; see `robustkit.models.outputs.Output`.
OutputKind = Literal["logits", "probabilities", "log-probabilities", "sigmoid", "votes"]
# How several networks answer together.
Combine = Literal["mean", "votes"]
# Over which views of its image a network is averaged.
Average = Literal["flips", "rotations", "both"]
