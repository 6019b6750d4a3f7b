"""`robustkit evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.ending import say_next
from robustkit.cli.options import Command
from robustkit.cli.saying import say


@click.command(name="evaluate", cls=Command)
@click.option("--model", "models", multiple=True, required=True, help="A checkpoint or a folder of them; give more.")
@click.option("--part", default="test", show_default=True, help="train, valid or test of the split in each checkpoint.")
@click.option("--draws", default=1999, show_default=True, help="Bootstrap resamples.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--arch", help="The network, for those trained with --arch on code of your own.")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder for tables, predictions and pictures.")
def command(models: tuple[str, ...], out: Path | None, **options: Any) -> None:
    """Scores trained networks on test images of source and target, over seeds, beside those not adapted."""
    from robustkit.training.evaluate import evaluate
    from robustkit.training.table import describe, save_evaluation

    rows = evaluate(models, **options)
    say(describe(rows))
    if out is not None:
        say(f"\n{save_evaluation(rows, out)}")
    say_next("audit", "--model", rows[-1].predictions[0].model, "--quick", to="whether it can be trusted, on one page")
