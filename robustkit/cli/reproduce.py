"""`robustkit reproduce`."""

from __future__ import annotations

from pathlib import Path

import click

from robustkit.cli.options import Command
from robustkit.cli.saying import say


@click.command(name="reproduce", cls=Command)
@click.argument("paper")
@click.option(
    "--scale", default="small", show_default=True,
    help="tiny (minutes, numbers that mean nothing), short (one network and few galaxies), small (two cores, 90 "
    "minutes) or paper (a GPU).",
)  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), help="The published files.  [default: simulated galaxies]")
@click.option("--workers", type=int, help="Processes that train on a CPU.  [default: one for each core]")
@click.option("--device", help="cpu or cuda.  [default: cuda if there is one]")
@click.option("--out", type=click.Path(path_type=Path), help="The folder.  [default: reproduce-PAPER-SCALE]")
def command(
    paper: str, scale: str, data: Path | None, workers: int | None, device: str | None, out: Path | None
) -> None:
    """Redoes PAPER (ad22 or da20): every table and figure, ours beside the published, and which claims survive.

    What is finished is kept: a run that was stopped continues with the same command, and a second one only draws.
    """
    from robustkit.reproduce.study import run_reproduction

    run_reproduction(paper, scale=scale, data=data, out=out, device=device, workers=workers, say=say)
