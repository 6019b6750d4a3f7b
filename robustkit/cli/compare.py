"""`robustkit compare`."""

from __future__ import annotations

from pathlib import Path

import click

from robustkit.cli.options import Command
from robustkit.cli.saying import say
from robustkit.errors import InputError

_MOST = 30


@click.command(name="compare", cls=Command)
@click.argument("audits", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", default="comparison", show_default=True, type=click.Path(path_type=Path), help="A new folder.")
def command(audits: tuple[Path, ...], out: Path) -> None:
    """Compares AUDITS of the same images, image by image.

    Two are paired in every figure, the first against the second. Three to thirty become one table, each model against
    the best of each column.
    """
    if not 2 <= len(audits) <= _MOST:
        raise InputError(f"expected 2 to {_MOST} audits to compare, got {len(audits)}")
    from robustkit.cores import cores

    if len(audits) == 2:
        from robustkit.auditing.report import compare_audits

        compare_audits(*audits, out=out, workers=cores(), say=say)
    else:
        from robustkit.auditing.many import compare_many

        compare_many(audits, out=out, say=say)
