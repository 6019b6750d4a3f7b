"""`robustkit audit`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from robustkit.cli.options import Command, form_option, model_options
from robustkit.code_gate import word_of_file


@click.command(name="audit", cls=Command)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--model", help="The checkpoint to audit.")
@click.option("--base", help="A checkpoint to compare with, on the same images.")
@click.option("--data", help="A labelled image set.  [default: the one that the model was trained on]")
@click.option("--part", help="train, valid or test of the model's split, or all.  [default: test]")
@click.option("--n", type=int, help="Images to draw.  [default: 150, or all there are]")
@click.option("--seed", type=int, help="Random seed, for drawing images and for everything random.  [default: 0]")
@click.option(
    "--all",
    "take_all",
    is_flag=True,
    default=None,
    help="Use all images if there are fewer than --n, instead of stopping.",
)
@click.option("--quick", "effort", flag_value="quick", help="Few perturbations, small budgets: minutes.")
@click.option("--full", "effort", flag_value="full", help="The complete search, however long it takes.")
@click.option(
    "--perturb", "perturbations", multiple=True, help="Perturbations to sweep, or your own package.module:Class."
)
@click.option("--search", "searches", multiple=True, help="Searches of the attack, or your own file.py:Class.")
@click.option(
    "--finding",
    "findings",
    multiple=True,
    is_eager=True,
    help="A finding of your own, path/to/file.py:Class or package.module:Class.",
)
@click.option("--remedy", is_flag=True, default=None, help="Try what would help, and recommend one remedy.")
@click.option(
    "--remedy-model", "remedy_models", multiple=True, help="A model trained to be more robust, to be tried as well."
)
@click.option(
    "--require",
    "--fail-under",
    "fail_under",
    multiple=True,
    help="A gate, such as flip_rate<=0.9; exit status 1 when it fails.",
)
@click.option("--baseline", help="The audit.json of an earlier audit: a gate that fails where this one is worse.")
@click.option(
    "--catalogue", help="A .csv, .fits or .parquet table of the objects, with their ids: RA, Dec, magnitudes ..."
)
@form_option
@click.option("--device", help="cpu or cuda.  [default: cuda if there is one]")
@click.option("--out", default="audit", show_default=True, type=click.Path(path_type=Path), help="The audit's folder.")
@model_options
def command(file: Path | None, options: Any, form: str, device: str | None, out: Path, **asked: Any) -> None:
    """Audits a classifier and writes one page that answers; FILE is an audit.toml that holds the options."""
    from robustkit.auditing.request import CODE, request_of
    from robustkit.cli.early import check_request
    from robustkit.cli.ending import end_audit, say_for
    from robustkit.cores import cores

    given = {name: value for name, value in asked.items() if value not in (None, ())}
    request = request_of(file, given)
    check_request(request)
    from robustkit.auditing.audit import run_audit  # which takes seconds

    told, said = say_for(form), [given.get(name, ()) for name in CODE]
    named = [text for one in said for text in ((one,) if isinstance(one, str) else one)]
    named += [*given.get("remedy_models", ()), *options.code_named]
    with nullcontext() if file is None else word_of_file(file, named):
        report = run_audit(request, options=options, out=out, device=device, workers=cores(), say=told)
    end_audit(report, form)
