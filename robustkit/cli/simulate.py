"""`robustkit simulate`: galaxies to try everything on."""

from __future__ import annotations

import click

from robustkit.cli.ending import say_next
from robustkit.cli.options import Command, Numbers
from robustkit.cli.saying import say


@click.command("simulate", cls=Command)
@click.option("--n", type=int, default=1200, show_default=True, help="How many galaxies.")
@click.option(
    "--style",
    default="lsst",
    show_default=True,
    help="The universe: lsst, sdss (nearby) or hst (half the age of the universe).",
)
@click.option("--survey", help="The camera: lsst, des, hsc, sdss or hst; by default that of the style.")
@click.option(
    "--years", cls=Numbers, help="Depths, in years of the survey; by default those of the style, 10 1 for lsst."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the population and of the noise.")
@click.option("--size", type=int, default=100, show_default=True, help="Height and width of the images, pixels.")
@click.option("--workers", type=int, help="Processes; by default one for each processor.")
@click.option("--out", type=click.Path(), default="galaxies", show_default=True, help="A new folder.")
def command(
    n: int,
    style: str,
    survey: str | None,
    years: tuple[float, ...],
    seed: int,
    size: int,
    workers: int | None,
    out: str,
) -> None:
    """Simulate spirals, ellipticals and mergers as a survey sees them at several depths."""
    from robustkit.data.imageset import ImageSet
    from robustkit.data.simulate import GALAXIES_FILE, simulate
    from robustkit.files import read_json
    from robustkit.runs.trouble import trouble_in_words

    with trouble_in_words(out, "give the same command again"):
        folder = simulate(
            n, style=style, survey=survey, years=years or None, seed=seed, out=out, workers=workers, size=size
        )
    for depth in read_json(folder / GALAXIES_FILE)["depths"]:
        say(f"{folder / depth}: {ImageSet.load(folder / depth).describe()}")
    say_next("train", "--data", folder, "--network", "convnet", "--out", "source.pt", to="a classifier of them")
