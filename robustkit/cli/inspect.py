"""`robustkit inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.ending import say_next
from robustkit.cli.options import Command, model_options
from robustkit.cli.saying import say


@click.command(name="inspect", cls=Command)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="A checkpoint of any kind.")
@click.option("--data", help="Labelled images to try it on.")
@click.option("--n", default=256, show_default=True, help="Images to draw; all where there are fewer.")
@click.option("--part", default="test", show_default=True, help="train, valid or test of the split, or all.")
@click.option("--seed", default=0, show_default=True, help="Random seed, for drawing images.")
@click.option("--write", type=click.Path(path_type=Path), help="Draft a model card (.toml).")
@model_options
def command(model: Path, data: str | None, options: Any, write: Path | None, **draw: Any) -> None:
    """Says what a checkpoint is, safely, and whether it can be audited: ok, warning or refusal with what to do."""
    from robustkit.auditing.inspect import inspect_model
    from robustkit.runs import Selection

    images = None if data is None else Selection(data=data, take_all=True, **draw)
    inspect_model(model, options, draw=images, card=write, say=say)
    say_next("audit", "--quick", model=model, to="whether it can be trusted, on one page")
