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
