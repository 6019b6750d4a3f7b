"""The base of alignments: penalties on the difference between two sets of rows."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from torch import Tensor, nn


class Outputs(NamedTuple):
    """Outputs of a network for the images of one domain.

    Attributes:
        latents: Shape (N, D).
        logits: Shape (N, K).
    """

    latents: Tensor
    logits: Tensor


class Alignment(nn.Module):
    """Base of the alignments: called with source rows and target rows, it returns a scalar.

    The total loss of a step is task + weight * penalty. What is trained in an alignment, such as a discriminator, is
    found among its parameters.

    Attributes:
        adversarial: Whether the penalty is the loss of an opponent, whose gradient must reach the network reversed.
    """

    adversarial = False

    @classmethod
    def of(cls, settings: Any, latents: int, classes: int) -> Self:
        """Makes the alignment of a run; override it if it depends on any of these.

        Args:
            settings: The `Settings` of the run.
            latents: Number of latents D.
            classes: Number of classes K.
        """
        del settings, latents, classes
        return cls()

    def view(self, outputs: Outputs) -> Tensor:
        """The rows that the penalty compares; the latents, unless the method looks at something else."""
        return outputs.latents

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The penalty.

        Args:
            source: Rows of the source, shape (N, D).
            target: Rows of the target, shape (M, D).
        """
        raise NotImplementedError

    def figures(self) -> dict[str, float]:
        """Numbers about the last call for the log."""
        return {}
