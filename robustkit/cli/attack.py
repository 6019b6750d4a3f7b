"""`robustkit attack`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.cluster import cluster_options
from robustkit.cli.ending import say_next
from robustkit.cli.options import Command, model_options
from robustkit.cli.request_options import request_options
from robustkit.cli.saying import say
from robustkit.findings.attack.record import AttackRequest


@click.command(name="attack", cls=Command)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="The checkpoint to attack.")
@request_options(AttackRequest)
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/attack-MODEL-N-SEED]")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@cluster_options
@model_options
def command(model: Path, options: Any, out: Path | None, resume: bool, cluster: Any, request: Any) -> None:
    """Searches for single pixels that change a classifier's prediction, and proves each one."""
    from robustkit.findings.attack.measure import run_attack

    where = cluster(say=say)
    found = run_attack(model, request, options=options, out=out, resume=resume, say=say, **where)
    if found.folder is not None and where["shard"] is None:
        say_next("window", "--model", model, "--run", found.folder, to="where the flips lie in latent space")
