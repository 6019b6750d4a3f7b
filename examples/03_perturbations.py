"""Makes the page that shows every perturbation at its five levels on one galaxy: docs/perturbations.md.

    robustkit simulate --n 1200 --survey lsst --years 10 1 --seed 0 --out galaxies
    python examples/03_perturbations.py galaxies/Y10 docs --number 222

The image set must be in electrons and say how it was taken, as those of `robustkit simulate` do. What the page says
about a perturbation is its own docstring.
"""

from __future__ import annotations

import argparse
import inspect
import math
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from robustkit.data import ArcsinhStretch, open_images
from robustkit.findings.attack.gallery import composite
from robustkit.perturb.conditions import Conditions, conditions_of
from robustkit.perturb.faults.naming import Named, read_name
from robustkit.perturb.faults.registry import SUITES
from robustkit.perturb.perturbation import LEVEL_NAMES, Perturbation, Stage
from robustkit.seeds import Streams

STAGES = {
    Stage.SCENE: "before the sky",
    Stage.EXPOSURE: "exposure",
    Stage.DETECTOR: "detector",
    Stage.READOUT: "read-out",
    Stage.PIPELINE: "pipeline",
    Stage.STRETCHED: "after the stretch",
}
ZOOM, GAP, TEXT, COLOURS, SEED = 2, 6, 22, 128, 5
INTRODUCTION = """# Perturbations

What a survey does to images by accident, each in its own unit and at five levels: s1 within requirement, s2 typical,
s3 poor but released, s4 flagged, s5 stress. `robustkit sweep --suite lsst` takes all of them; one of them is
`--perturb NAME`, with levels of your own by `--levels`, and with options as `--perturb NAME,OPTION=VALUE`.

Every row shows one simulated galaxy after ten years of LSST (g, r, i as blue, green, red), clean and at the five
levels, on one display scale in which the noise can be seen. What happens after the stretch is shown in network input.
The place and the band that a fault hits are drawn from a stream of the image's own, and the levels of a row share it.
Most faults of a detector hit one band in one of some hundred visits of a coadd, so that mild ones drown in the noise of
the others: that is what a telescope shows, and `visits=all` is the other extreme. `missing=true` makes a fault leave
NaN, as a pipeline does that has found it; nothing is filled with NaN otherwise.

In the formulas n is the stored value, s the stored value of one electron, sky and B the sky and the variance of an
empty pixel in electrons (all visits), t seconds, p the pixel scale. Several perturbations at once happen in the order
of their stages.

This page is made by `examples/03_perturbations.py`.
"""


def main(data: str, folder: Path, number: int) -> None:
    """Writes the page and its pictures."""
    images = open_images(data)
    conditions = conditions_of(images)
    stored = torch.from_numpy(np.array(images.images[number : number + 1]))
    stretch = ArcsinhStretch.fit(images.images)
    ids, bands = [str(images.ids[number])], images.bands
    pictures = folder / "images" / "perturbations"
    pictures.mkdir(parents=True, exist_ok=True)
    for name in SUITES["lsst"]:
        strip(name, stored, ids, bands, conditions, stretch).save(pictures / f"{file_name(name)}.png", optimize=True)
    (folder / "perturbations.md").write_text(page())


def strip(
    name: str,
    stored: torch.Tensor,
    ids: list[str],
    bands: tuple[str, ...],
    conditions: Conditions,
    stretch: ArcsinhStretch,
) -> Image.Image:
    """Clean, then mild to severe."""
    named = read_name(name)
    fitted = {}
    before, show = stored, lambda after: shown(after, stored, bands, conditions)
    if named.kind.stage == Stage.STRETCHED:
        before, show = stretch(stored), lambda after: as_input(after, stretch(stored), bands)
        limits = [stretch(torch.tensor(ends)[:, None, None]) for ends in (stretch.low, stretch.high)]
        fitted = {"low": float(limits[0].min()), "high": float(limits[1].max())}
    panels = [("clean", show(before))]
    for level_name, level in zip(LEVEL_NAMES, named.kind.levels, strict=True):
        streams = Streams(SEED, ids, f"perturb {named.kind.name}")
        after = Named(named.kind, fitted | named.options).at(level)(before, conditions=conditions, streams=streams)
        panels.append((f"{level_name}: {level:.3g}", show(after)))
    size = panels[0][1].shape[0] * ZOOM
    canvas = Image.new("RGB", (len(panels) * (size + GAP) - GAP, size + TEXT), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    for place, (title, panel) in enumerate(panels):
        x = place * (size + GAP)
        draw.text((x + size / 2, 1), title, "black", font, anchor="ma")
        canvas.paste(Image.fromarray(panel).resize((size, size), Image.Resampling.NEAREST), (x, TEXT))
    # Few colours make small files; this way of choosing them keeps the one of a single hot pixel.
    return canvas.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def shown(images: torch.Tensor, clean: torch.Tensor, bands: tuple[str, ...], conditions: Conditions) -> np.ndarray:
    """A picture (H, W, 3), uint8, on the scale of the clean image: linear in the noise, logarithmic above."""
    sigma = conditions.like(conditions.scale * np.sqrt(conditions.background), images)
    values, top = (torch.arcsinh(x / (4 * sigma))[0].numpy() for x in (images, clean))
    low, high = math.asinh(-0.6), np.percentile(top, 99.9, axis=(1, 2))[:, None, None]
    return np.rint(255 * composite(np.clip((values - low) / (high - low), 0, 1), bands)).astype(np.uint8)


def as_input(images: torch.Tensor, clean: torch.Tensor, bands: tuple[str, ...]) -> np.ndarray:
    """A picture of network input, between the darkest and nearly the brightest pixel of the clean image."""
    low, high = np.percentile(clean[0].numpy(), (0.5, 99.9), axis=(1, 2))[..., None, None]
    values = np.clip((images[0].numpy() - low) / (high - low), 0, 1)
    return np.rint(255 * composite(values, bands)).astype(np.uint8)


def page() -> str:
    """The page, without the pictures."""
    return "\n".join([INTRODUCTION, *map(entry, SUITES["lsst"])])


def entry(name: str) -> str:
    """What the page says of a perturbation."""
    named = read_name(name)
    kind = named.kind
    unit, stage = kind.unit, STAGES[kind.stage]
    levels = ", ".join(f"{level:.3g}" for level in kind.levels)
    needs = "needs the conditions of the images" if kind.physical else "needs no units"
    lines = [f"## {name}", "", f"![{name} at five levels](images/perturbations/{file_name(name)}.png)", ""]
    lines += [f"Levels ({unit}): {levels}. Stage: {stage}; {needs}.", ""]
    if named.options:
        about = f"As [{kind.name}](#{kind.name}), with the option that the name says."
    else:
        about = markdown(inspect.cleandoc(kind.__doc__ or ""), inherited(kind))
    return "\n".join([*lines, about, ""])


def markdown(text: str, more: dict[str, str]) -> str:
    """A docstring as Markdown: its attributes, and more of them, become a list of options."""
    text, _, attributes = text.partition("\nAttributes:\n")
    found = [f"- `{name}`: {' '.join(about.split())}" for name, about in (options(attributes) | more).items()]
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    text = re.sub(r"doi:(10\.\S+?)(?=[.,;)]?(\s|$))", r"[doi:\1](https://doi.org/\1)", text)
    return text.strip() + ("\n\nOptions:\n\n" + "\n".join(found) if found else "")


def options(attributes: str) -> dict[str, str]:
    """Names and descriptions in the `Attributes` of a docstring."""
    return dict(re.findall(r"^    (\w+): (.*(?:\n        .*)*)", attributes, re.MULTILINE))


def inherited(kind: type[Perturbation]) -> dict[str, str]:
    """Options that a base class documents."""
    found: dict[str, str] = {}
    for base in kind.__mro__[1:]:
        if base is Perturbation:
            return {name: " ".join(about.split()) for name, about in found.items()}
        found = options(inspect.cleandoc(base.__doc__ or "").partition("\nAttributes:\n")[2]) | found
    return {}


def file_name(name: str) -> str:
    return re.sub(r"\W+", "-", name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="an image set in electrons")
    parser.add_argument("folder", type=Path, help="where perturbations.md and images/ are written")
    parser.add_argument("--number", type=int, default=0, help="which image of the set")
    given = parser.parse_args()
    main(given.data, given.folder, given.number)
