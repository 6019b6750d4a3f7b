"""A classifier taken apart into its front end and what stands behind it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from robustkit.models.classifier import AuditedClassifier
from robustkit.models.fronts.base import FrontEnd, Repaired
from robustkit.models.fronts.base import flagged as flagged_by
from robustkit.models.probing import Paired


def split_front(classifier: AuditedClassifier) -> tuple[FrontEnd, AuditedClassifier] | None:
    """The front end and the classifier behind it, which shares the weights; `None` if there is no front end.

    Args:
        classifier: The whole.
    """
    network = classifier.module.network if isinstance(classifier.module, Paired) else classifier.module
    if not isinstance(network, Repaired):
        return None
    rest = copy.copy(classifier)
    rest.module = Paired(network.network) if classifier.pairs else network.network
    vars(rest)["_network"] = network.network
    return network.front, rest


def put_before(front: FrontEnd, classifier: AuditedClassifier) -> AuditedClassifier:
    """A front end before a classifier, which shares the weights and may have another front end already.

    Args:
        front: The front end, which sees the images first.
        classifier: The classifier, left as it is.

    Raises:
        InputError: If the images are not larger than the front end's radius.
    """
    front.check(classifier.input_shape)
    network = classifier.module.network if isinstance(classifier.module, Paired) else classifier.module
    return AuditedClassifier(
        Repaired(front.to(classifier.device), network).eval(), input_shape=classifier.input_shape,
        class_names=classifier.class_names, output=classifier.output,
    )  # fmt: skip


def flagged_images(classifier: AuditedClassifier, images: Tensor) -> Tensor:
    """Which images get no class because a front end flags them, shape (N,), bool.

    Args:
        classifier: The classifier.
        images: Network input, shape (N, C, H, W), on its device.
    """
    found = flagged_by(classifier.module, images)
    return torch.zeros(len(images), dtype=torch.bool, device=images.device) if found is None else found


def flagging(classifier: AuditedClassifier) -> dict[str, str]:
    """What the settings of a record say of a front end that flags; empty without one."""
    parts = split_front(classifier)
    return {"flagged_by": parts[0].name} if parts is not None and parts[0].flags else {}
