"""What strangers write in a forward, which torch.fx alone does not follow."""

import torch

from robustkit.engine import make_evaluator
from robustkit.models import AuditedClassifier
from robustkit.models.tracing import symbolic_trace

# In text, because pytest writes the asserts of its own files in another way.
SOURCE = """
import torch
from torch import nn

class Tutorial(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 3)

    def forward(self, x):
        assert x.ndim == 4
        assert x.shape[1] == 1, "one band"
        return self.fc(torch.relu(self.conv(x)).view(len(x), -1))
"""


def test_len_and_assert_keep_the_fast_engine():
    torch.manual_seed(0)
    scope = {"__name__": "tutorial"}
    exec(compile(SOURCE, "tutorial.py", "exec"), scope)
    network = scope["Tutorial"]().eval()
    graph = symbolic_trace(network)
    for count in (1, 5):
        images = torch.rand(count, 1, 8, 8)
        torch.testing.assert_close(graph(images), network(images))
    evaluator = make_evaluator(AuditedClassifier(network, input_shape=(1, 8, 8)), torch.rand(2, 1, 8, 8))
    assert evaluator.name == "chain", evaluator.reason
    assert "len" not in scope
