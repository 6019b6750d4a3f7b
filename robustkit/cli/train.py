"""`robustkit train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command(name="train")
@click.option("--data", required=True, help="A labelled image set.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The checkpoint to write.")
@click.option("--network", default="convnet", show_default=True, help="convnet, resnet18 or deepmerge.")
@click.option("--epochs", default=60, show_default=True, help="Passes over the images.")
@click.option("--batch", type=int, help="Images in a step.  [default: 128, or all if there are fewer]")
@click.option("--seed", default=0, show_default=True, help="Of weights, split and order.")
@click.option("--learning-rate", default=1e-3, show_default=True, help="The highest of the schedule.")
@click.option("--patience", default=10, show_default=True, help="Epochs without a better checkpoint before stopping.")
@click.option("--stretch", help="arcsinh, meanstd, lupton, minmax or none.  [default: arcsinh, fitted on the source]")
@click.option("--dihedral/--no-dihedral", default=None, help="Turn and mirror at random.  [default: for electrons]")
@click.option("--device", default="cpu", show_default=True, help="Where to train.")
def command(data: str, out: Path, device: str, **options: Any) -> None:
    """Trains a classifier on an image set and writes a checkpoint."""
    from robustkit.training import Settings, train

    trained = train(data, out=out, settings=Settings(**options), device=device)
    best = trained.card.training["figures"]
    click.echo(f"{trained.checkpoint}: epoch {best['epoch']}, balanced accuracy {best['valid_balanced_accuracy']:.3f}")
