"""`robustkit isomap`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustkit.cli.options import Command, attack_options, model_options
from robustkit.cli.saying import say


@click.command(name="isomap", cls=Command)
@attack_options
@click.option("--search", help="Take the flips of one search.  [default: of the first that has one]")
@click.option("--base", type=click.Path(path_type=Path), help="Another checkpoint, whose map is laid onto this one.")
@click.option("--base-run", type=click.Path(path_type=Path), help="The folder of an attack on it.")
@click.option("--neighbours", default=10, show_default=True, help="Nearest points that each point is joined to.")
@click.option(
    "--also", "others", multiple=True, help="tsne or umap: another map of the same points; give more for more."
)
@click.option(
    "--landmarks", type=int, help="For many images; 0: the full map.  [default: 0 up to 3000 latents, then 300]"
)
@click.option("--image", "shown", multiple=True, help="Id of an image to mark; give more for more.  [default: a rule]")
@click.option("--grad-cam", "cams", is_flag=True, help="Draw where the network looks, before and after the pixel.")
@click.option("--colours", "--colors", default="safe", show_default=True, help="safe, or paper: the published ones.")
@click.option("--frames", default=36, show_default=True, help="Of the turning map; 0 for none.")
@click.option("--seed", default=0, show_default=True, help="Of noise made here, of t-SNE and UMAP.")
@click.option("--device", help="cpu or cuda.  [default: cuda if there is one]")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder.  [default: runs/isomap-MODEL]")
@model_options
def command(
    model: Path, attack: Path, options: Any, device: str | None, out: Path | None, shown: Any, **request: Any
) -> None:
    """Maps the latents of clean and noisy images in two and three dimensions, and places the flips on them."""
    from robustkit.findings.maps.measure import IsomapRequest, run_isomap

    run_isomap(model, attack, IsomapRequest(images=shown, **request), options=options, out=out, device=device, say=say)
