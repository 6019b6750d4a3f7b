"""`robustkit plan`."""

from __future__ import annotations

from pathlib import Path

import click

from robustkit.cli.options import Command
from robustkit.cli.saying import say


@click.command(name="plan", cls=Command)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--pilot", type=click.Path(path_type=Path), help="An audit whose numbers are supposed to be the truth.")
@click.option("--n", type=int, help="Images that the audit would draw.  [default: that of FILE, or 150]")
@click.option("--perturbations", default=8, show_default=True, help="How many are swept, without a pilot.")
def command(file: Path | None, pilot: Path | None, n: int | None, perturbations: int) -> None:
    """Says how many images each line of an audit needs, before any is scored; FILE is an audit.toml with thresholds."""
    from robustkit.auditing.plan import plan, plan_text, read_pilot
    from robustkit.auditing.request import AuditRequest, read_request

    request = AuditRequest("") if file is None else read_request(file)
    size = request.n if n is None else n
    found = None if pilot is None else read_pilot(pilot)
    say(plan_text(plan(request.thresholds, size, pilot=found, perturbations=perturbations), size))
