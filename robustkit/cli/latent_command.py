"""The commands that look at the latents of an attack, each made from its request."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from robustkit.cli.ending import say_next
from robustkit.cli.options import Command, model_options
from robustkit.cli.request_options import request_options
from robustkit.cli.saying import say

# What one does after each of them, and what for.
_NEXT = {
    "window": ("isomap", "the same images on a map of all latents"),
    "isomap": ("distances", "what a map shows, as numbers with intervals"),
    "distances": ("audit", "this and everything else, on one page"),
}


def latent_command(name: str, kind: type[Any], run: str, text: str) -> click.Command:
    """A command that looks at the latents of an attack.

    Args:
        name: Its name.
        kind: What it takes beside a model and an attack: a dataclass with options.
        run: What it calls, as `module:function`; imported only when it runs.
        text: Its help.
    """
    path = click.Path(path_type=Path)

    @click.command(name=name, cls=Command, help=text)
    @click.option("--model", required=True, type=path, help="The checkpoint.")
    @click.option("--run", "attack", required=True, type=path, help="The folder of an attack on it.")
    @request_options(kind)
    @click.option("--device", help="cpu or cuda.  [default: cuda if there is one]")
    @click.option(
        "--out", type=path, help=f"A new folder, or that of the same run, killed.  [default: runs/{name}-MODEL]"
    )
    @model_options
    def command(model: Path, attack: Path, device: str | None, out: Path | None, options: Any, request: Any) -> None:
        module, _, function = run.partition(":")
        how: dict[str, Any] = {"options": options, "device": device, "out": out, "say": say}
        getattr(import_module(module), function)(model, attack, request, **how)
        after, to = _NEXT[name]
        say_next(after, "--model", model, *(() if after == "audit" else ("--run", attack)), to=to)

    return command
