"""`robustkit report`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from robustkit.cli.options import Command
from robustkit.cli.saying import say


@click.command(name="report", cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--require",
    "--fail-under",
    "fail_under",
    multiple=True,
    help="A gate instead of those of the audit, such as flip_rate<=0.9.",
)
@click.option("--baseline", help="The audit.json of an earlier audit: a gate that fails where this one is worse.")
def command(run: Path, fail_under: tuple[str, ...], baseline: str | None) -> None:
    """Draws the page of the audit in the folder RUN again, from its records alone."""
    from robustkit.auditing.report import write_report
    from robustkit.cores import cores

    kept = baseline or ""
    if not write_report(run, fail_under=fail_under, baseline=kept, workers=cores(), say=say).passed:
        sys.exit(1)
