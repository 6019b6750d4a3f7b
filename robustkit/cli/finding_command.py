"""The commands of findings, each made from its request: nothing is written twice, and nothing heavy is imported."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from robustkit.allocation import keep_freed_memory
from robustkit.cli.cluster import cluster_options
from robustkit.cli.ending import say_next
from robustkit.cli.options import Command, model_options
from robustkit.cli.request_options import request_options
from robustkit.cli.saying import say

# What one does after each of them, and what for.
NEXT = {
    "attack": ("window", "where the flips lie in latent space"),
    "certify": ("audit", "this and everything else, on one page"),
    "hazard": ("sweep", "what each fault does at every level"),
    "sweep": ("audit", "this and everything else, on one page"),
    "window": ("isomap", "the same images on a map of all latents"),
    "isomap": ("distances", "what a map shows, as numbers with intervals"),
    "distances": ("audit", "this and everything else, on one page"),
}
_PATH = click.Path(path_type=Path)
_MODEL = click.option("--model", required=True, type=_PATH, help="The checkpoint.")


def measured_command(name: str, kind: type[Any], run: str, text: str) -> click.Command:
    """A command that measures the images of a sample, in groups that can be shared out.

    Args:
        name: Its name.
        kind: What is asked for: a dataclass with options.
        run: What it calls, as `module:function`; imported only when it runs.
        text: Its help.
    """

    @click.command(name=name, cls=Command, help=text)
    @_MODEL
    @request_options(kind)
    @click.option("--out", type=_PATH, help=f"Run folder.  [default: runs/{name}-MODEL-N-SEED]")
    @click.option("--resume", is_flag=True, help="Not needed: the same command continues the run in its folder.")
    @cluster_options
    @model_options
    def command(model: Path, options: Any, out: Path | None, resume: bool, cluster: Any, request: Any) -> None:
        keep_freed_memory()
        # One habit for every command with a folder of its own kind: the same command continues it, another is refused.
        how = {"options": options, "out": out, "resume": True, "say": say}
        where = cluster(say=say)
        found = imported(run)(model, request, **how, **where)
        if where["shard"] is None:
            # Of a network without a latent, and of faults, there is nothing to look at with a window.
            blind = name == "attack" and found.sample.checkpoint.classifier.latent_name is None
            blind = blind or getattr(request, "threat", None) is not None
            _say_next("certify" if blind else name, model, found.folder)

    return command


def latent_command(name: str, kind: type[Any], run: str, text: str) -> click.Command:
    """A command that looks at the latents of an attack.

    Args:
        name: Its name.
        kind: What is asked for besides a model and an attack: a dataclass with options.
        run: What it calls, as `module:function`; imported only when it runs.
        text: Its help.
    """
    again = f"A new folder, or that of the same run, killed.  [default: runs/{name}-MODEL]"

    @click.command(name=name, cls=Command, help=text)
    @_MODEL
    @click.option("--run", "attack", required=True, type=_PATH, help="The folder of an attack on it.")
    @request_options(kind)
    @click.option("--device", help="cpu or cuda.  [default: cuda if there is one]")
    @click.option("--out", type=_PATH, help=again)
    @model_options
    def command(model: Path, attack: Path, device: str | None, out: Path | None, options: Any, request: Any) -> None:
        imported(run)(model, attack, request, options=options, device=device, out=out, say=say)
        _say_next(name, model, attack)

    return command


def _say_next(name: str, model: Path, attack: Path) -> None:
    after, to = NEXT[name]
    say_next(after, *(("--quick",) if after == "audit" else ("--run", attack)), model=model, to=to)


def imported(function: str) -> Any:
    """What `module:function` names."""
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)
