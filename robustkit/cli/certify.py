"""`robustkit certify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.cluster import cluster_options
from robustkit.cli.ending import say_next
from robustkit.cli.options import Command, model_options
from robustkit.cli.request_options import request_options
from robustkit.cli.saying import say
from robustkit.findings.certify.record import CertifyRequest


@click.command(name="certify", cls=Command)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="The checkpoint.")
@request_options(CertifyRequest)
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/certify-MODEL-N-SEED]")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@cluster_options
@model_options
def command(model: Path, options: Any, out: Path | None, resume: bool, cluster: Any, request: Any) -> None:
    """Tries every pixel with every value of a declared set: which images can be flipped at all, and where."""
    from robustkit.findings.certify.measure import run_certify

    where = cluster(say=say)
    run_certify(model, request, options=options, out=out, resume=resume, say=say, **where)
    if where["shard"] is None:
        say_next("sweep", "--model", model, "--suite", "lsst", to="what accidents do to the same images")
