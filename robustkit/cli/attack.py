"""`robustkit attack`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.cluster import cluster_options
from robustkit.cli.options import Command, model_options
from robustkit.cli.saying import say


@click.command(name="attack", cls=Command)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="The checkpoint to attack.")
@click.option("--n", default=150, show_default=True, help="Images to draw.")
@click.option("--data", help="A labelled image set.  [default: the one that the model was trained on]")
@click.option("--part", default="test", show_default=True, help="train, valid or test of the model's split, or all.")
@click.option(
    "--search", "searches", multiple=True, help="A search; give more for more.  [default: de, auto and random]"
)
@click.option("--budget", type=int, help="Most queries of an image, for each search and target.")
@click.option(
    "--values", help="corners, paper, together[:M], grid:M, hot[:CHARGE] or dead[:LEVEL].  [default: corners]"
)
@click.option("--single-band", "values", flag_value="single-band", help="One band at a time: --values single-band.")
@click.option("--range", "value_range", help="Ends of the values: data or paper, [0, 1].  [default: data]")
@click.option("--preset", help="paper: exactly the published search.")
@click.option("--targeted", is_flag=False, flag_value="in-turn", help="Wrong classes in turn, or `--targeted each`.")
@click.option("--pixels", default=1, show_default=True, help="Pixels that are changed at once.")
@click.option("--seed", default=0, show_default=True, help="Of the draw and of the searches.")
@click.option("--all", "take_all", is_flag=True, help="Take what there is when there are fewer images than --n.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/attack-MODEL-N-SEED]")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@cluster_options
@model_options
def command(model: Path, options: Any, out: Path | None, resume: bool, cluster: Any, **request: Any) -> None:
    """Searches for single pixels that change a classifier's prediction, and proves each one."""
    from robustkit.findings.attack.measure import run_attack
    from robustkit.findings.attack.record import AttackRequest

    where = cluster(say=say)
    run_attack(model, AttackRequest(**request), options=options, out=out, resume=resume, say=say, **where)
