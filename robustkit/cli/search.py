"""`robustkit search`."""

from __future__ import annotations

from typing import Any

import click

from robustkit.cli.ending import say_next
from robustkit.cli.options import Command
from robustkit.cli.saying import say
from robustkit.cli.train import settings_given, settings_options


@click.command(name="search", cls=Command)
@click.option("--data", help="One labelled image set, or simulated galaxies at two depths.")
@click.option("--source", help="The labelled images.")
@click.option("--target", help="The images to be classified later; their labels are not read.")
@click.option("--out", required=True, help="A folder; a search that stopped there goes on.")
@click.option("--trials", default=20, show_default=True, help="Settings to try in all.")
@click.option("--preset", help="The settings of a paper to begin with: ad22 or da20.")
@settings_options
@click.option("--device", help="cpu or cuda.  [cuda where there is one]")
def command(data: str | None, source: str | None, target: str | None, preset: str | None, **options: Any) -> None:
    """Searches learning rate, weight decay, weight and warm-up, without target labels; needs the extra `search`."""
    from robustkit.data.sides import check_sides

    check_sides(data, source, target)
    from robustkit.allocation import keep_freed_memory
    from robustkit.training import pair_of  # which takes seconds
    from robustkit.training import preset as settings_of
    from robustkit.training.search import search

    keep_freed_memory()
    pair = pair_of(data=data, source=source, target=target)
    how = {name: options.pop(name) for name in ("out", "trials", "device")}
    given = settings_given(options)
    found = search(*pair, settings=settings_of(preset, **given), **how)
    say(found)
    say_next("audit", "--model", found.checkpoint, "--quick", to="whether it can be trusted, on one page")
