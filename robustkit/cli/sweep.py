"""`robustkit sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.cluster import cluster_options
from robustkit.cli.options import Command, Numbers, model_options
from robustkit.cli.saying import say


@click.command(name="sweep", cls=Command)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="The checkpoint to audit.")
@click.option(
    "--perturb",
    "perturbations",
    multiple=True,
    help="exposure, cosmic-ray ..., psf,restore_noise=false with options, or package.module:Class.",
)
@click.option("--levels", cls=Numbers, help="Of one perturbation, in its unit.  [default: its five named levels]")
@click.option("--suite", help="lsst: every perturbation at five levels; plain: those that need no units.")
@click.option("--base", type=click.Path(path_type=Path), help="A checkpoint to compare with (mCE).")
@click.option("--n", default=150, show_default=True, help="Images to draw.")
@click.option("--data", help="A labelled image set.  [default: the one that the model was trained on]")
@click.option("--part", default="test", show_default=True, help="train, valid or test of the model's split, or all.")
@click.option("--seed", default=0, show_default=True, help="Of the draw and of the perturbations.")
@click.option("--draws", default=5, show_default=True, help="Of the random numbers, per image, averaged.")
@click.option("--all", "take_all", is_flag=True, help="Take what there is when there are fewer images than --n.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/sweep-MODEL-N-SEED]")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@cluster_options
@model_options
def command(model: Path, options: Any, out: Path | None, resume: bool, cluster: Any, **asked: Any) -> None:
    """Measures what accidents in physical units do to a classifier: exposure, seeing, defects, calibration."""
    from robustkit.findings.sweep.measure import run_sweep
    from robustkit.findings.sweep.record import SweepRequest
    from robustkit.training.memory import keep_freed_memory

    keep_freed_memory()
    where = cluster(say=say)
    run_sweep(model, SweepRequest(**asked), options=options, out=out, resume=resume, say=say, **where)
