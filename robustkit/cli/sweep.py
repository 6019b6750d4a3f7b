"""`robustkit sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.cluster import cluster_options
from robustkit.cli.ending import say_next
from robustkit.cli.options import Command, model_options
from robustkit.cli.request_options import request_options
from robustkit.cli.saying import say
from robustkit.findings.sweep.record import SweepRequest


@click.command(name="sweep", cls=Command)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="The checkpoint to audit.")
@request_options(SweepRequest)
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/sweep-MODEL-N-SEED]")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@cluster_options
@model_options
def command(model: Path, options: Any, out: Path | None, resume: bool, cluster: Any, request: Any) -> None:
    """Measures what accidents in physical units do to a classifier: exposure, seeing, defects, calibration."""
    from robustkit.findings.sweep.measure import run_sweep
    from robustkit.training.memory import keep_freed_memory

    keep_freed_memory()
    where = cluster(say=say)
    run_sweep(model, request, options=options, out=out, resume=resume, say=say, **where)
    if where["shard"] is None:
        say_next("audit", "--model", model, "--quick", to="this and everything else, on one page")
