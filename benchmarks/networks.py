"""How near the evaluator gets to the limit of exact evaluation, on networks that people train.

    pip install --no-deps --target /tmp/tv torchvision timm
    PYTHONPATH=/tmp/tv python -m benchmarks.networks --out networks.json [--networks resnet18 ...] [--sizes 224 424]
    python -m benchmarks.networks --small

The limit is set by arithmetic: of the multiply-adds of a network, the share that a changed pixel can reach, on average
over all pixels. Reached is the evaluator's candidates per second over the fastest bare forward pass of the same run
(see `engine.py`). All on one thread, by processor time, on random weights. A row that is in the file is not repeated,
so that the same command continues after it was stopped; the table is of all rows in the file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import statistics
import time
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from benchmarks.engine import bare_rows, candidates_for, environment, galaxies, measure, our_row
from robustkit.engine import make_evaluator
from robustkit.engine.graph import Untraceable, trace
from robustkit.engine.plan import reached_share
from robustkit.models import NETWORKS, AuditedClassifier

# From torchvision, and after a colon from timm.
PEOPLE = (
    "resnet18", "resnet50", "convnext_tiny", "timm:convnext_nano", "densenet121", "mobilenet_v2", "vgg11_bn",
    "googlenet", "efficientnet_b0",
)  # fmt: skip
# Small networks of this package, for a run of seconds.
SMALL = ("own:convnet", "own:resnet18")
HEADER = (
    "network", "pixels", "limit", "best bare pass, images/s", "engine", "reached", "share of the limit", "ready, s",
    "complete pass, h", "largest difference, of the largest logit",
)  # fmt: skip
CORNERS = 8  # values of each pixel in a complete pass over three bands


def network_for(name: str, size: int) -> nn.Module:
    """A network with random weights, and the batch norm statistics of images like galaxies."""
    torch.manual_seed(0)
    source, _, kind = name.rpartition(":")
    if source == "own":
        network = NETWORKS[kind](size=(size, size))
    elif source == "timm":
        network = _imported("timm").create_model(kind, pretrained=False, num_classes=3)
    else:
        options: dict[str, Any] = {"init_weights": True, "aux_logits": False} if kind == "googlenet" else {}
        network = getattr(_imported("torchvision.models"), kind)(num_classes=3, **options)
    with torch.no_grad():
        for _ in range(2):
            network.train()(galaxies(4, size))
    return network.eval()


def _imported(name: str) -> Any:
    """A module that reads torchvision, whose compiled operators no classifier needs and may be missing."""
    with patch("torch.library.register_fake", lambda *_, **__: lambda function: function):
        return importlib.import_module(name)


def row_for(name: str, size: int, *, small: bool, rounds: int) -> dict[str, object]:
    """Everything that the table says of one network at one size."""
    network, images = network_for(name, size), galaxies(2, size)
    classifier = AuditedClassifier(network, input_shape=(3, size, size))
    try:
        limit = 1 / reached_share(trace(network, images[:1]), (3, size, size))
    except Untraceable as reason:
        limit = math.nan
        print(f"{name}: {reason}")
    start = time.process_time()
    evaluator = make_evaluator(classifier, images)
    one = candidates_for(images[:1], 1)
    evaluator(one)
    ready = time.process_time() - start
    each = 16 if small else 512  # as in a search
    with torch.inference_mode():
        painted = candidates_for(images[:1], 8)
        expected = make_evaluator(classifier, images, engine="plain")(painted)
        apart = float((evaluator(painted) - expected).abs().max() / expected.abs().max())
        bare = list(bare_rows(classifier, images, small=small, sizes=(2, 8), each=8))
        ours = our_row(evaluator, candidates_for(images[:1], each), f"{each} candidates")
        measured = measure([*bare, ours], rounds)
    speeds = {way: statistics.median(taken) for way, taken in measured.items()}
    reached = speeds.pop(ours.name)
    best = max(speeds, key=speeds.__getitem__)
    return {
        "limit": limit,
        "best bare pass": best.removeprefix("bare: "),
        "bare per second": speeds[best],
        "ours per second": reached,
        "ready": ready,
        "apart": apart,
        "engine": evaluator.name,
        "reason": evaluator.reason,
        "date": date.today().isoformat(),
    }


def line_of(name: str, size: int, row: dict[str, Any]) -> str:
    """One line of the table."""
    reached = row["ours per second"] / row["bare per second"]
    hours = CORNERS * size * size / row["ours per second"] / 3600
    return (
        f"| {name} | {size} | {row['limit']:.2f} | {row['best bare pass']}, {row['bare per second']:.1f} "
        f"| {row['engine']} | {reached:.2f} | {reached / row['limit']:.2f} "
        f"| {row['ready']:.1f} | {hours:.2g} | {row['apart']:.1e} |"
    )


def main() -> None:
    """Prints the table, after measuring the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=PEOPLE, help="of torchvision; timm:NAME; own:NAME")
    parser.add_argument("--sizes", nargs="+", type=int, default=[224, 424])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="the rows so far, to continue from")
    parser.add_argument("--small", action="store_true", help="two small networks, in seconds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names, sizes, rounds = (SMALL, [64], 1) if options.small else (options.networks, options.sizes, options.rounds)
    out: Path | None = options.out
    rows: dict[str, Any] = json.loads(out.read_text()) if out is not None and out.exists() else {}
    for size in sizes:
        for name in names:
            if f"{name} {size}" not in rows:
                rows[f"{name} {size}"] = row_for(name, size, small=options.small, rounds=rounds)
                if out is not None:
                    out.write_text(json.dumps(rows, indent=1))
    print("\n".join(f"- {key}: {value}" for key, value in environment().items()), end="\n\n")
    print(f"| {' | '.join(HEADER)} |")
    print("|---" * len(HEADER) + "|")
    for key, row in rows.items():
        name, size = key.split()
        print(line_of(name, int(size), row))
    for key, row in rows.items():
        print(f"\n{key}: {row['reason']}")


if __name__ == "__main__":
    main()
