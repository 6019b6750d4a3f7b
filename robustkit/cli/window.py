"""`robustkit window`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.options import Command, attack_options, model_options
from robustkit.cli.saying import say


@click.command(name="window", cls=Command)
@attack_options
@click.option("--search", help="Take the flips of this search alone.  [default: the first that flips]")
@click.option("--x", default="one-pixel", show_default=True, help="one-pixel, noise, random, or such as psf:s2.")
@click.option("--y", default="noise", show_default=True, help="The same.")
@click.option("--orthogonal", is_flag=True, help="Turn y at a right angle to x: the traditional window.")
@click.option("--white", is_flag=True, help="Leave the true class white, as there.")
@click.option("--colours", "--colors", default="safe", show_default=True, help="safe, or paper: the published ones.")
@click.option("--extent", default=1.1, show_default=True, help="Half the side, in lengths of the directions.")
@click.option("--resolution", type=int, help="Sample a grid of so many cells along an axis, such as 221.")
@click.option("--image", "shown", multiple=True, help="Id of an image to draw; give more for more.  [default: a rule]")
@click.option("--seed", default=0, show_default=True, help="Of noise and random directions made here.")
@click.option("--device", help="cpu or cuda.  [default: cuda if there is one]")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder.  [default: runs/window-MODEL]")
@model_options
def command(
    model: Path, attack: Path, options: Any, device: str | None, out: Path | None, shown: Any, **request: Any
) -> None:
    """Draws the classes around attacked images: church windows, and the plane that the head decides on."""
    from robustkit.findings.windows.measure import WindowRequest, run_window

    run_window(model, attack, WindowRequest(images=shown, **request), options=options, out=out, device=device, say=say)
