"""The plain evaluator, against the network itself in float64."""

from __future__ import annotations

import pytest

from robustkit.engine import PlainEvaluator
from robustkit.models import AuditedClassifier, ConvNet, DeepMerge
from tests.engine.contract import check_evaluator, randomise


@pytest.mark.parametrize("network", [ConvNet, DeepMerge])
def test_contract(network):
    module = randomise(network(size=(21, 18)))
    check_evaluator(PlainEvaluator, AuditedClassifier(module, input_shape=(3, 21, 18)))
