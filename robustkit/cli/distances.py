"""`robustkit distances`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.options import Command, attack_options, model_options
from robustkit.cli.saying import say


@click.command(name="distances", cls=Command)
@attack_options
@click.option("--search", help="Take flips and queries of one search.  [default: flips of any, queries of the first]")
@click.option("--base", type=click.Path(path_type=Path), help="Another checkpoint to compare with, on the same images.")
@click.option("--base-run", type=click.Path(path_type=Path), help="The folder of an attack on it.")
@click.option(
    "--certificates",
    type=click.Path(path_type=Path),
    help="A folder of `robustkit certify` on the same model and images: adds the nearest flip, and the most dangerous "
    "cell.",
)
@click.option("--base-certificates", type=click.Path(path_type=Path), help="The same of the other checkpoint.")
@click.option("--draws", default=1999, show_default=True, help="Resamples and relabellings.")
@click.option("--seed", default=0, show_default=True, help="Of noise made here, of resamples and relabellings.")
@click.option("--device", help="cpu or cuda.  [default: cuda if there is one]")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder.  [default: runs/distances-MODEL]")
@model_options
def command(model: Path, attack: Path, options: Any, device: str | None, out: Path | None, **request: Any) -> None:
    """Measures how far noise and single pixels move latents, in units that two models can be compared by."""
    from robustkit.findings.distances.measure import DistancesRequest, run_distances

    run_distances(model, attack, DistancesRequest(**request), options=options, out=out, device=device, say=say)
