"""`robustkit report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.options import Command, form_option


@click.command(name="report", cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--require",
    "--fail-under",
    "fail_under",
    multiple=True,
    help="A gate instead of those of the audit, such as flip_rate<=0.9.",
)
@click.option(
    "--finding", "own", multiple=True, is_eager=True, help="Findings of your own that the audit made, named again."
)
@click.option("--baseline", help="The audit.json of an earlier audit: a gate that fails where this one is worse.")
@click.option("--journal", help="Every figure at the two widths of mnras, apj or aa, in figures/JOURNAL.")
@click.option("--lite", is_flag=True, help="A page of less than 1 MB too, report-lite.html: still pictures.")
@click.option("--pdf", is_flag=True, help="A summary of two pages too, summary.pdf.")
@form_option
def command(
    run: Path,
    fail_under: tuple[str, ...],
    own: tuple[str, ...],
    baseline: str | None,
    journal: str | None,
    lite: bool,
    pdf: bool,
    form: str,
) -> None:
    """Draws the page of the audit in the folder RUN again, from its records alone."""
    from robustkit.auditing.report import write_report
    from robustkit.cli.ending import end_audit, say_for
    from robustkit.cores import cores

    how: dict[str, Any] = {"fail_under": fail_under, "own": own, "baseline": baseline or "", "lite": lite, "pdf": pdf}
    how["journal"] = journal or ""
    end_audit(write_report(run, **how, workers=cores(), say=say_for(form)), form)
