"""Which networks are followed exactly along a pixel's line, which are looked at on a grid, and what random values say.

    python -m benchmarks.followed [--size 32] [--random 20000] [--out followed.json]

Random weights, one image, moved close to the boundary. Contradictions are counted among random amplitudes whose
margin, by the plain network, is larger than the error bound: where a network is followed none may be; on a grid they
say what lies between its values.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.amplitudes import one
from benchmarks.chain import galaxies
from robustkit.engine import make_evaluator
from robustkit.engine.chain import UnsupportedChain
from robustkit.engine.lines import LineNetwork
from robustkit.files import write_json
from robustkit.findings.amplitudes.measure import LEVELS
from robustkit.models import NETWORKS, AuditedClassifier
from robustkit.perturb.amplitudes import make_amplitudes
from robustkit.perturb.line_survey import LineSurvey


class Residual(nn.Module):
    """Two convolutions with a way round the second."""

    latent = "head"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.pool, self.head = nn.MaxPool2d(4), nn.Linear(8 * (size // 4) ** 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = torch.relu(self.first(x))
        x = torch.relu(x + self.second(x))
        return self.head(torch.flatten(self.pool(x), 1))


def _chain(size: int, *layers: nn.Module) -> nn.Module:
    with torch.no_grad():
        features = nn.Sequential(*layers)(torch.zeros(1, 3, size, size)).flatten(1).shape[1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 3))


def networks(size: int) -> dict[str, Callable[[], nn.Module]]:
    """Small networks of the kinds that people have."""

    def conv(channels: int, **how: Any) -> nn.Conv2d:
        return nn.Conv2d(3, channels, 3, **{"padding": 1, **how})

    return {
        "convnet": lambda: NETWORKS["convnet"](size=(size, size)),
        "deepmerge": lambda: NETWORKS["deepmerge"](size=(size, size)),
        "leaky ReLU, average pool": lambda: _chain(size, conv(8), nn.LeakyReLU(), nn.AvgPool2d(2)),
        "batch norm, ReLU, no padding": lambda: _chain(
            size, conv(8, padding=0), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
        ),
        "stride 2": lambda: _chain(size, conv(8, stride=2), nn.ReLU(), nn.MaxPool2d(2)),
        "dilation 2": lambda: _chain(size, conv(8, dilation=2, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        "groups 3": lambda: _chain(size, conv(9, groups=3), nn.ReLU(), nn.MaxPool2d(2)),
        "residual": lambda: Residual(size),
        "GELU": lambda: _chain(size, conv(8), nn.GELU(), nn.MaxPool2d(2)),
    }


def near_the_boundary(module: nn.Module, images: Tensor, rest: float = 0.02) -> nn.Module:
    """The network with so much less of the winning class that a fiftieth of its margin is left: pixels flip it."""
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        logits = module(images)[0]
        (first, second), (best, _) = logits.topk(2)
        last.bias[best] -= (1 - rest) * (first - second)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--random", type=int, default=20_000)
    parser.add_argument("--ends", type=int, default=200)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.images = 1
    torch.set_num_threads(1)
    done: dict[str, Any] = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    images = galaxies(1, options.size)
    lines = make_amplitudes("line", input_range=[(0.0, 1.0)] * 3, stretch=None, units="unknown", bounds=None)
    for name, make in networks(options.size).items():
        if name not in done:
            torch.manual_seed(1)
            module = near_the_boundary(make().eval(), images)
            classifier = AuditedClassifier(module, input_shape=(3, options.size, options.size))
            network, why = None, "followed"
            try:
                network = LineNetwork(classifier, images)
            except UnsupportedChain as error:
                why = f"grid: {error}"
            with torch.inference_mode():
                label = int(classifier(images)[0].argmax())
            survey = LineSurvey(
                classifier, images[0], images[0].numpy(), label, lines, network=network,
                evaluator=lambda classifier=classifier: make_evaluator(classifier, images), levels=LEVELS,
            )  # fmt: skip
            done[name] = {"how": why, **one(survey, 0, options)}
            if options.out:
                write_json(options.out, done)
        row = done[name]
        print(
            f"{name}: {row['how']}; {row['contradictions']} contradictions among {row['tried']:,} amplitudes, "
            f"{row['near']} too near to count; {row['failed']} of {row['ends']} ends not confirmed; "
            f"{'some' if row['flips'] else 'no'} amplitude flips; {row['processor']:.1f} s of processor",
            flush=True,
        )


if __name__ == "__main__":
    main()
