"""`robustkit repair`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.ending import say_next
from robustkit.cli.options import Command, model_options
from robustkit.cli.saying import say


@click.command(name="repair", cls=Command)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="A checkpoint of any kind.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The repaired model.")
@click.option("--data", help="Images to measure it on.  [default: the one that the model was trained on]")
@click.option("--n", default=150, show_default=True, help="Images to draw; all where there are fewer.")
@click.option("--part", default="test", show_default=True, help="train, valid or test of the split, or all.")
@click.option("--seed", default=0, show_default=True, help="Random seed, for drawing images.")
@model_options
def command(model: Path, out: Path, options: Any, **draw: Any) -> None:
    """Puts a front end before a trained network, which draws bad pixels back to their neighbours.

    Without --front, the first of across, across:3 and joint:5 that costs at most 0.02 of accuracy is taken. Every
    command audits the repaired model as one.
    """
    from robustkit.auditing.repair import repair_model
    from robustkit.runs import Selection

    repair_model(model, out, options, draw=Selection(take_all=True, **draw), say=say)
    to = "what it gained and what it cost, on one page"
    say_next("audit", "--base", model, "--quick", model=out, omit="--front", to=to)
