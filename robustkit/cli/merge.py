"""`robustkit merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.options import Command, model_options
from robustkit.cli.saying import say


@click.command(name="merge", cls=Command)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder of the whole run.")
@click.option("--model", type=click.Path(path_type=Path), help="The checkpoint.  [default: where the shards found it]")
@click.option("--data", help="The images.  [default: where the shards found them]")
@click.option("--base", type=click.Path(path_type=Path), help="The base model of a sweep.  [default: likewise]")
@click.option("--perturb", "perturbations", multiple=True, help="Your own perturbations or --threat, named again.")
@click.option("--mix", is_flag=True, help="Allow shards of other versions, devices or threads, which is recorded.")
@click.option("--search", "searches", multiple=True, help="Searches of your own in an attack, named again.")
@model_options
def command(folders: tuple[Path, ...], options: Any, out: Path, **where: Any) -> None:
    """Makes one run of its shards, byte for byte as if it had run in one piece."""
    from robustkit.auditing.merge import merge_runs

    options = options if options.given else None
    merge_runs(folders, out=out, options=options, **where, say=say)
    say(f"the whole run is in {out}")
