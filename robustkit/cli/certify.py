"""`robustkit certify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.cluster import cluster_options
from robustkit.cli.options import Command, model_options
from robustkit.cli.saying import say


@click.command(name="certify", cls=Command)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="The checkpoint.")
@click.option("--n", default=150, show_default=True, help="Images to draw.")
@click.option("--data", help="A labelled image set.  [default: the one that the model was trained on]")
@click.option("--part", default="test", show_default=True, help="train, valid or test of the model's split, or all.")
@click.option("--budget", type=int, help="Most queries of an image; too few for a complete pass give a bound only.")
@click.option("--values", default="corners", show_default=True, help="As for `robustkit attack`.")
@click.option("--range", "value_range", help="Ends of the values: data or paper, [0, 1].  [default: data]")
@click.option("--seed", default=0, show_default=True, help="Of the draw, and of a sample of cells.")
@click.option("--all", "take_all", is_flag=True, help="Take what there is when there are fewer images than --n.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/certify-MODEL-N-SEED]")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@cluster_options
@model_options
def command(model: Path, options: Any, out: Path | None, resume: bool, cluster: Any, **request: Any) -> None:
    """Tries every pixel with every value of a declared set: which images can be flipped at all, and where."""
    from robustkit.findings.certify.measure import run_certify
    from robustkit.findings.certify.record import CertifyRequest

    where = cluster(say=say)
    run_certify(model, CertifyRequest(**request), options=options, out=out, resume=resume, say=say, **where)
