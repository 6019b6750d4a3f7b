"""`robustkit export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.options import Command, model_options
from robustkit.cli.saying import say
from robustkit.errors import InputError


@click.command(name="export", cls=Command)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="A checkpoint of any kind.")
@click.option("--onnx", type=click.Path(path_type=Path), help="The ONNX file to write.")
@click.option("--torchscript", type=click.Path(path_type=Path), help="The TorchScript file to write.")
@click.option("--data", help="Images to prove it on.  [default: the ones that the model was trained on]")
@model_options
def command(model: Path, options: Any, **how: Any) -> None:
    """Writes a model, with its front end, as one file for other programs, proved to answer the same."""
    if not (how["onnx"] or how["torchscript"]):
        raise InputError("name a file to write with --onnx or --torchscript")
    from robustkit.auditing.export import export_model

    export_model(model, options, say=say, **how)
