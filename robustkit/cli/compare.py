"""`robustkit compare`."""

from __future__ import annotations

from pathlib import Path

import click

from robustkit.cli.options import Command
from robustkit.cli.saying import say


@click.command(name="compare", cls=Command)
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--out", default="comparison", show_default=True, type=click.Path(path_type=Path), help="A new folder.")
def command(first: Path, second: Path, out: Path) -> None:
    """Pairs two audits of the same images, FIRST against SECOND, image by image."""
    from robustkit.auditing.report import compare_audits
    from robustkit.cores import cores

    compare_audits(first, second, out=out, workers=cores(), say=say)
