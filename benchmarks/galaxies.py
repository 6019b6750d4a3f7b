"""Are the simulated galaxies like real ones, and is it their shape that a network reads?

    python benchmarks/galaxies.py --out galaxies-checked [--n 3000] [--epochs 20] [--measured 300] [--style lsst]
    python benchmarks/galaxies.py --small --out galaxies-checked

Prints sizes, luminosities, colours and signal-to-noise by class beside the published relations; the accuracy of
colours alone; the accuracy of a ConvNet by class at both depths, for each stretch that is named, and with the colours
of each galaxy exchanged for another's while its shape stays; and where the classes lie in the plane of Gini and M20.
Draws the relations and a sheet of every class at every depth into the folder. What is already in the folder is not
made again.
"""

from __future__ import annotations

import argparse
import runpy
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robustkit.data import ImageSet
from robustkit.data.galaxies import CLASSES, draw_galaxy
from robustkit.data.light import Galaxy, Map, with_colours
from robustkit.data.render import Renderer
from robustkit.data.simulate import expose, simulate
from robustkit.data.styles import STYLES, Style
from robustkit.data.survey import HST, Depth
from robustkit.models import Checkpoint, open_checkpoint
from robustkit.progress import progress
from robustkit.runs.draw import draw_sample
from robustkit.seeds import stream
from robustkit.stats import wilson
from robustkit.training import Settings, pair_of, train

COLOURS = ("#ffa600", "#bc5090", "#003f5c")
MEASURE = Path(__file__).parents[1] / "examples" / "05_check_gini_m20.py"
SEED = 0
Draw = Callable[[int], Galaxy]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--style", default="lsst")
    parser.add_argument("--n", type=int, default=3000, help="Galaxies; 0.7 of them are trained on.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--stretch", nargs="+", default=["lupton", "arcsinh"], help="The first for exchanged colours.")
    parser.add_argument("--measured", type=int, default=300, help="Galaxies whose Gini and M20 are measured.")
    parser.add_argument("--small", action="store_true", help="Few galaxies, to see that it runs.")
    options = parser.parse_args()
    if options.small:
        options.n, options.epochs, options.measured = 120, 2, 9
    style, folder = STYLES[options.style], options.out / "galaxies"
    options.out.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        began = time.monotonic()
        simulate(options.n, style=options.style, seed=SEED, out=folder, workers=1)
        print(f"{options.n / (time.monotonic() - began):.1f} galaxies per second in one process\n", flush=True)
    renderer = Renderer(style.survey, 100)
    draw = partial(draw_galaxy, SEED, plane=renderer.plane, style=style)
    galaxies = [without_maps(draw(k)) for k in range(options.n)]
    depths = [Depth(style.survey, years, style.years[0], style.unit) for years in style.years]
    populations(galaxies, draw, renderer, depths, style)
    colours_alone(galaxies, ImageSet.load(folder / depths[0].name))
    for depth in depths:
        draw_sheets(ImageSet.load(folder / depth.name), depth, options.out)
    networks(options.out, folder, draw, renderer, depths, options.epochs, options.stretch)
    gini_m20(style, range(options.measured), renderer, depths[0], "r")
    # Shapes are measured where they are resolved, and at rest in B, as Lotz et al. did: the same galaxies as Hubble
    # would see them, at redshift 0.2 in g.
    space = replace(HST, pixel_scale=style.survey.pixel_scale / 2)
    measured = gini_m20(style, range(options.measured), Renderer(space, 200), Depth(space, 1, 1), "g")
    draw_relations(galaxies, measured, style, options.out / "relations.png")


def without_maps(galaxy: Galaxy) -> Galaxy:
    """A galaxy with the flux of each part and no more of its maps, which are a megabyte each."""
    parts = [replace(part, light=np.empty(0)) if isinstance(part, Map) else part for part in galaxy.parts]
    return replace(galaxy, parts=tuple(parts), neighbours=())


def populations(galaxies: list[Galaxy], draw: Draw, renderer: Renderer, depths: list[Depth], style: Style) -> None:
    """Percentiles by class, beside the relations."""
    print("| 16 / 50 / 84 % | " + " | ".join(CLASSES) + " |\n|---|" + "---|" * len(CLASSES))
    rows = {name: [galaxy.truth[name] for galaxy in galaxies] for name in galaxies[0].truth if name in SHOWN}
    rows["radius over its relation"] = [
        g.truth["radius_kpc"] / style.kinds[g.label].sizes.median(g.truth["abs_mag_r"], g.truth["redshift"])
        for g in galaxies
    ]
    few = [draw(k) for k in range(60 if len(galaxies) > 200 else 12)]
    for depth in depths:
        rows[f"signal-to-noise, r, {depth.name}"] = [signal_to_noise(g, renderer, depth) for g in few]
    for name, values in rows.items():
        cells = []
        for label in range(len(CLASSES)):
            own = [v for v, g in zip(values, galaxies, strict=False) if g.label == label]
            cells.append(" / ".join(f"{v:.3g}" for v in np.percentile(own, [16, 50, 84])))
        print(f"| {SHOWN.get(name, name)} | " + " | ".join(cells) + " |")
    print(flush=True)


SHOWN = {
    "mag_r": "r",
    "abs_mag_r": "M_r",
    "redshift": "redshift",
    "radius_arcsec": "half-light radius, arcsec",
    "radius_kpc": "half-light radius, kpc",
    "g_r": "g - r",
    "r_i": "r - i",
}


def signal_to_noise(galaxy: Galaxy, renderer: Renderer, depth: Depth) -> float:
    """In r, in the circle of the half-light radius and the seeing added in quadrature."""
    survey, index = depth.survey, [band.name for band in depth.survey.bands].index("r")
    band = survey.bands[index]
    rate = renderer(replace(galaxy, neighbours=()))[index]
    side = (np.arange(renderer.size) - (renderer.size - 1) / 2) * survey.pixel_scale
    inside = np.hypot(side[:, None], side) < np.hypot(galaxy.truth["radius_arcsec"], survey.seeing(band) / 2)
    signal = rate[inside].sum() * depth.exposure(band)
    return float(signal / np.sqrt(signal + inside.sum() * depth.background(band)))


def colours_alone(galaxies: list[Galaxy], images: ImageSet) -> None:
    """Logistic regression on g - r and r - i, true and measured in a square of a fifth of the stamp."""
    middle = slice(2 * images.images.shape[-1] // 5, 3 * images.images.shape[-1] // 5)
    seen = np.maximum(images.images[:, :, middle, middle].sum((2, 3)), 1.0)
    true = np.array([np.sum([part.flux for part in galaxy.parts], axis=0) for galaxy in galaxies])
    labels = np.array([galaxy.label for galaxy in galaxies])
    constant = np.bincount(labels).max() / len(labels)
    print(f"Constant answer {constant:.3f}")
    for name, flux in (("true colours", true), ("measured colours", seen)):
        found = cross_val_predict(
            make_pipeline(StandardScaler(), LogisticRegression()),
            np.log10(flux[:, :2] / flux[:, 1:]),
            labels,
            cv=5,
        )
        print(f"Logistic regression on {name} alone {np.mean(found == labels):.3f}")
    print(flush=True)


def networks(
    out: Path,
    folder: Path,
    draw: Draw,
    renderer: Renderer,
    depths: list[Depth],
    epochs: int,
    stretches: list[str],
) -> None:
    """Accuracy by class: at every depth, and with colours exchanged for the network of the first stretch."""
    source, _ = pair_of(folder) if len(depths) > 1 else (folder / depths[0].name, None)
    print("| ConvNet | accuracy | " + " | ".join(f"{name}: as {', '.join(CLASSES)}" for name in CLASSES) + " |")
    print("|---|---|" + "---|" * len(CLASSES))
    for stretch in reversed(stretches):
        model = out / f"source-{stretch}.pt"
        settings = Settings(network="convnet", epochs=epochs, seed=SEED, stretch=stretch)
        train(source, None, out=model, settings=settings, resume=True)
        checkpoint = open_checkpoint(model)
        samples = [
            draw_sample(checkpoint, model, data=folder / depth.name, part="test", n=10**9, seed=0, take_all=True)
            for depth in depths
        ]
        true = samples[0].labels.numpy()
        accuracy = [
            show(f"{stretch}, {depth.name}", checkpoint, np.array(sample.image_set.images), true)
            for depth, sample in zip(depths, samples, strict=True)
        ]
    own = [int(str(name).split("-")[1]) for name in samples[0].ids]
    images = np.empty_like(samples[0].image_set.images)
    other = np.random.default_rng(SEED).permutation(own)
    for row, (one, two) in enumerate(progress(list(zip(own, other, strict=True)), label="exchanging", unit="galaxies")):
        galaxy = with_colours_of(draw(one), draw(int(two)))
        images[row] = expose(renderer(galaxy), depths[0], stream(SEED, galaxy.id, f"noise {depths[0].name}"))
    kept = show(f"{stretches[0]}, {depths[0].name}, colours exchanged", checkpoint, images, true)
    constant = np.bincount(true).max() / len(true)
    print(f"\nOf the accuracy above the constant answer, {(kept - constant) / (accuracy[0] - constant):.3f} is kept\n")


def with_colours_of(galaxy: Galaxy, other: Galaxy) -> Galaxy:
    """A galaxy with the colours of another one as a whole; its shape, and its colours within itself, stay."""
    g, r, i = np.sum([part.flux for part in other.parts], axis=0)
    return replace(galaxy, parts=tuple(with_colours(galaxy.parts, -2.5 * np.log10(g / r), -2.5 * np.log10(r / i))))


def show(name: str, checkpoint: Checkpoint, images: np.ndarray, true: np.ndarray) -> float:
    """Prints a row of the confusion table and returns the accuracy."""
    with torch.inference_mode():
        parts = torch.from_numpy(images).split(64)
        found = torch.cat([checkpoint.classifier(checkpoint.stretch(part)).argmax(1) for part in parts]).numpy()
    cells = [
        " / ".join(f"{np.mean(found[true == label] == k):.2f}" for k in range(len(CLASSES)))
        for label in range(len(CLASSES))
    ]
    print(f"| {name} | {wilson(int((found == true).sum()), len(true))} | " + " | ".join(cells) + " |", flush=True)
    return float(np.mean(found == true))


def gini_m20(style: Style, indices: range, renderer: Renderer, depth: Depth, band: str) -> np.ndarray:
    """Gini, M20 and label of what can be measured, shape (M, 3); prints how many lie in which region of the plane."""
    module = runpy.run_path(str(MEASURE))
    index = [each.name for each in depth.survey.bands].index(band)
    background = depth.background(depth.survey.bands[index]) * depth.scale**2
    rows = []
    for k in progress(indices, label="measuring", unit="galaxies"):
        galaxy = draw_galaxy(SEED, k, renderer.plane, style=style)
        rate = renderer(replace(galaxy, neighbours=()))
        image = expose(rate, depth, stream(SEED, galaxy.id, f"noise {depth.name}"))[index]
        found = module["measure"](image.astype(np.float64), background)
        if found is not None:
            rows.append((found[0], found[1], galaxy.label))
    measured = np.array(rows)
    region = module["side"](measured[:, 0], measured[:, 1])
    print(f"| {depth.survey.name} in {band}, {len(rows)} of {len(indices)} | n | Gini | M20 | late | early | merger |")
    print("|---" * 7 + "|")
    for label, name in enumerate(CLASSES):
        own = measured[:, 2] == label
        shares = " | ".join(f"{np.mean(region[own] == k):.2f}" for k in range(3))
        gini, m20 = np.median(measured[own, :2], axis=0)
        print(f"| {name} | {own.sum()} | {gini:.2f} | {m20:.2f} | {shares} |")
    return measured


def draw_sheets(images: ImageSet, depth: Depth, out: Path, most: int = 24) -> None:
    """The first galaxies of each class in g, r, i as blue, green, red (Lupton et al. 2004, doi:10.1086/382245)."""
    # Equal surface brightness in AB is grey.
    flat = [10 ** (-0.4 * images.meta["zero_point_mag"][band]) for band in ("i", "r", "g")]
    noise = images.meta["noise_sigma"]["r"] * flat[1] / np.sqrt(depth.scale / depth.unit)  # of the deepest
    for label, name in enumerate(CLASSES):
        figure, axes = plt.subplots(4, 6, figsize=(9, 6.3))
        for ax, index in zip(axes.flat, np.flatnonzero(images.labels == label)[:most], strict=False):
            bands = images.images[index][[images.bands.index(band) for band in ("i", "r", "g")]]
            light = np.stack([value * unit for value, unit in zip(bands, flat, strict=True)], -1) / noise
            light *= (0.75, 1.0, 1.5)
            mean = np.maximum(light.mean(-1, keepdims=True), 1e-3)
            shown = light * np.arcsinh(0.4 * mean) / mean / np.arcsinh(0.4 * 200)
            ax.imshow(np.clip(shown + 0.03, 0, 1), origin="lower", interpolation="nearest")
        for ax in axes.flat:
            ax.axis("off")
        figure.subplots_adjust(0, 0, 1, 0.95, 0.02, 0.02)
        figure.suptitle(f"{name}, {depth.survey.name} {depth.name}", fontsize=10)
        figure.savefig(out / f"{name}-{depth.name}.png", dpi=80)
        plt.close(figure)


def draw_relations(galaxies: list[Galaxy], measured: np.ndarray, style: Style, path: Path) -> None:
    """Sizes with the published relations, colours, and Gini against M20 with the regions of Lotz et al. 2008."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    labels = np.array([galaxy.label for galaxy in galaxies])
    truth = {name: np.array([galaxy.truth[name] for galaxy in galaxies]) for name in SHOWN}
    luminosity = np.linspace(-23.5, -19.5, 50)
    z = float(np.median(truth["redshift"]))
    for ax, shown in zip(axes[0], ((0, 2), (1,)), strict=True):
        for label in shown:
            own, dots = labels == label, {"s": 4, "alpha": 0.4, "color": COLOURS[label], "lw": 0}
            ax.scatter(truth["abs_mag_r"][own], truth["radius_kpc"][own], **dots, label=CLASSES[label])
        kind = style.kinds[shown[0]]
        median = np.array([kind.sizes.median(m, z) for m in luminosity])
        spread = np.exp([kind.sizes.scatter(m) for m in luminosity])
        ax.plot(
            luminosity, median, "k-", label="Shen et al. 2003" + (f", at redshift {z:.1f}" if kind.sizes.growth else "")
        )
        ax.fill_between(luminosity, median / spread, median * spread, color="k", alpha=0.12, lw=0)
        ax.set(yscale="log", xlim=(-19.3, -23.3), ylim=(0.8, 20), xlabel="$M_r$", ylabel="half-light radius, kpc")
        ax.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
        ax.legend(frameon=False, fontsize=8, loc="lower right")
    for label, name in enumerate(CLASSES):
        own, chosen = labels == label, measured[:, 2] == label
        how = {"histtype": "step", "density": True, "color": COLOURS[label], "label": name}
        axes[1, 0].hist(truth["g_r"][own], bins=np.linspace(0.2, 1.5, 27), **how)
        axes[1, 1].scatter(measured[chosen, 1], measured[chosen, 0], s=12, color=COLOURS[label], lw=0, label=name)
    axes[1, 0].set(xlabel="g - r on the sky", ylabel="density")
    axes[1, 0].legend(frameon=False, fontsize=8)
    ends, early = np.array([-0.2, -3.0]), np.array([-3.0, -1.679])
    axes[1, 1].plot(ends, -0.14 * ends + 0.33, "k-", lw=1)
    axes[1, 1].plot(early, 0.14 * early + 0.80, "k--", lw=1)
    for x, y, name in ((-0.6, 0.67, "mergers"), (-2.4, 0.5, "early types"), (-1.2, 0.40, "late types")):
        axes[1, 1].annotate(name, (x, y), fontsize=8, fontstyle="italic", color="0.4")
    axes[1, 1].set(xlim=(-0.5, -2.8), ylim=(0.37, 0.71), xlabel="$M_{20}$", ylabel="Gini")
    axes[1, 1].legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
