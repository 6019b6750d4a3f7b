"""The commands that look at the latents of an attack, each made from its request."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from robustkit.cli.options import Command, model_options
from robustkit.cli.request_options import request_options
from robustkit.cli.saying import say


def latent_command(name: str, request: type[Any], run: str, text: str) -> click.Command:
    """A command that looks at the latents of an attack.

    Args:
        name: Its name.
        request: What it takes beside a model and an attack: a dataclass with options.
        run: What it calls, as `module:function`; imported only when it runs.
        text: Its help.
    """
    path = click.Path(path_type=Path)

    @click.command(name=name, cls=Command, help=text)
    @click.option("--model", required=True, type=path, help="The checkpoint.")
    @click.option("--run", "attack", required=True, type=path, help="The folder of an attack on it.")
    @request_options(request)
    @click.option("--device", help="cpu or cuda.  [default: cuda if there is one]")
    @click.option(
        "--out", type=path, help=f"A new folder, or that of the same run, killed.  [default: runs/{name}-MODEL]"
    )
    @model_options
    def command(model: Path, attack: Path, device: str | None, out: Path | None, options: Any, **asked: Any) -> None:
        module, _, function = run.partition(":")
        how: dict[str, Any] = {"options": options, "device": device, "out": out, "say": say}
        getattr(import_module(module), function)(model, attack, request(**asked), **how)

    return command
