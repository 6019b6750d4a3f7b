"""A classifier taken apart into its front end and what stands behind it."""

from __future__ import annotations

import copy

from robustkit.models.classifier import AuditedClassifier
from robustkit.models.fronts.base import FrontEnd, Repaired
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
