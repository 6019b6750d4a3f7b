"""Two optional terms: compact classes in the source, and confident predictions in the target."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

FisherForm = Literal["ratio", "difference"]
# The published loss sums over the images of a batch, of which the published runs have this many.
_PUBLISHED_BATCH = 128


class Fisher(nn.Module):
    """Fisher loss around learned centres: small scatter within the classes, large scatter between them.

    With S_w the sum of |z - c_y|**2 over the images and S_b the sum of |c_k - c|**2 over the classes, c being the
    mean of the centres: `ratio` is within * S_w / (between * S_b), `difference` is within * S_w - between * S_b. The
    difference has no lower bound, so keep its `between` small. S_w is that of 128 images, the published batch, however
    many there are: for them the loss is the published one, and for others it has the same strength.

    Args:
        classes: K.
        width: D.
        form: Trace ratio or trace difference.
        within: Weight of the scatter within the classes.
        between: Weight of the scatter between them, above 0.

    Source: Zhang et al. 2020, arXiv:2003.05636; Ciprijanovic et al. 2021, doi:10.1093/mnras/stab1677.
    """

    def __init__(
        self, classes: int, width: int, *, form: FisherForm = "ratio", within: float = 0.01, between: float = 1.0
    ) -> None:
        super().__init__()
        self.form, self.within, self.between = form, within, between
        self.centres = nn.Parameter(torch.randn(classes, width))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """The loss.

        Args:
            latents: Shape (N, D).
            labels: Shape (N,), int64.
        """
        within = _PUBLISHED_BATCH * (latents - self.centres[labels]).square().sum(1).mean()
        between = (self.centres - self.centres.mean(0)).square().sum()
        if self.form == "ratio":
            return self.within * within / (self.between * between)
        return self.within * within - self.between * between


def information_loss(logits: Tensor) -> Tensor:
    """Mean entropy of the predictions minus the entropy of their mean: low if confident and diverse.

    Args:
        logits: Shape (N, K).

    Returns:
        A scalar in [-log K, 0]. Without the second term, one class for every image would minimise it.

    Source: Shi & Sha 2012, arXiv:1206.6438.
    """
    log_p = log_softmax(logits, 1)
    p = log_p.exp()
    mean = p.mean(0)
    return (mean * mean.clamp_min(1e-12).log()).sum() - (p * log_p).sum(1).mean()
