"""The same images under two networks: stamps and church windows, one row per image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.windows.pictures import WindowPicture, window_panel
from robustkit.findings.windows.record import Stamps
from robustkit.latent.any_window import AnyWindow, any_window
from robustkit.latent.embeddings import Embeddings
from robustkit.report.blocks import PAGE, Axis, Drawing, Panel, Picture, Rings
from robustkit.report.palette import Palette
from robustkit.report.section import Table

PAIRS = "paired-windows"
RULE = (
    "of the images that both networks classify correctly, in the order of the draw, set by the seed and the ids "
    "alone: the first of each class (of three classes at most) that a pixel flips under both networks, and the first "
    "that it flips under the one alone, under the other alone, and under neither"
)
_MOST_CLASSES = 3
_OUTCOMES = ((True, True), (True, False), (False, True), (False, False))  # flipped under the first, under the second
_HIDDEN = Axis(shown=False)


@dataclass(frozen=True, eq=False)
class Side:
    """What one network makes of the images.

    Attributes:
        model: Its name.
        latents: The embeddings.
        stamps: Pictures of the images, and the pixel of each.
    """

    model: str
    latents: Embeddings
    stamps: Stamps

    @property
    def flips(self) -> np.ndarray:
        """Which of the P images their pixel flips, shape (P,), bool."""
        return self.stamps.end != self.latents.clean_class[: len(self.stamps.ids)]

    @property
    def usable(self) -> np.ndarray:
        """Which of the P images are classified correctly, and have a noisy twin and a pixel, shape (P,), bool."""
        count = len(self.stamps.ids)
        right = (self.latents.clean_class == self.latents.true)[:count]
        return right & self.latents.has_noisy[:count] & (self.stamps.end >= 0)

    def window(self, i: int) -> AnyWindow:
        """The window of an image along its pixel and its noise."""
        clean = self.latents.clean[i].astype(np.float64)
        across = self.latents.noisy[i] - clean
        return any_window(self.latents.head, None, clean, self.stamps.touched[i] - clean, across)


@dataclass(frozen=True, eq=False)
class Row:
    """One image under both networks.

    Attributes:
        places: Its place in the stamps of either side.
        windows: Its window under either.
        flipped: Whether the pixel flips it under either.
    """

    places: tuple[int, int]
    windows: tuple[AnyWindow, AnyWindow]
    flipped: tuple[bool, bool]


@dataclass(frozen=True, eq=False)
class PairedWindows:
    """Church windows of the same images under two networks.

    Attributes:
        sides: The base first, as in the paper's figures, then the other network.
        rows: The images, chosen by `RULE`.
        palette: Colours of the classes.
        name: Of its files.
    """

    sides: tuple[Side, Side]
    rows: Sequence[Row]
    palette: Palette
    name: str = PAIRS

    @property
    def title(self) -> str:
        """What is compared."""
        return f"The same images under {self.sides[0].model} and {self.sides[1].model}"

    def summary(self) -> str:
        """What both perturbations do under either network, and how to read the windows."""
        first, second = self.sides
        both = _both(first, second)
        (noise, pixel), n = zip(*map(_moved, self.sides, both), strict=True), len(both[0])
        return (
            f"Of {n} images that both classify correctly, noise moves {noise[0]} into another class under "
            f"{first.model} and {noise[1]} under {second.model}; one pixel moves {pixel[0]} and {pixel[1]}. "
            "Each row is one image: clean, with the pixel of either network (ringed), and noisy, beside its slice "
            "through the latent space of either network: → along the pixel, ↑ along the noise, each as long as the "
            "perturbation itself. t* is where the class changes first; 1 is the perturbation. "
            f"Chosen without a look at the windows: {RULE}."
        )

    def table(self) -> Table:
        """A line for each image and network."""
        names = self.palette.class_names
        lines = []
        for row in self.rows:
            for side, i, window, flipped in zip(self.sides, row.places, row.windows, row.flipped, strict=True):
                across = [f"{t:.4g}" if np.isfinite(t) else "never" for t in window.crossing]
                lines.append(
                    (str(side.stamps.ids[i]), names[side.latents.true[i]], side.model, int(flipped),
                     names[side.stamps.end[i]], names[side.latents.noisy_class[i]], *across,
                     f"{window.plane_margin:.4g}", f"{window.true_margin:.4g}")
                )  # fmt: skip
        columns = ("id", "true", "model", "flipped by its pixel", "class with the pixel", "class with noise",
                   "t* of the pixel", "t* of the noise", "margin in the plane", "in the whole space")  # fmt: skip
        return Table(columns, lines)

    def drawing(self) -> Drawing:
        """Six panels a row, three for either network."""
        panels = [panel for row in self.rows for panel in _panels(self.sides, row, self.palette)]
        count = len(self.rows)
        return Drawing(
            panels, (PAGE, 1.62 * count + 0.45), 56 + 186 * count, 6, palette=self.palette, least=700, rows=True
        )


def pair(base: Side, other: Side, palette: Palette) -> PairedWindows:
    """The images that `RULE` chooses, under both networks.

    Args:
        base: The network that comes first.
        other: The other.
        palette: Colours of the classes.

    Raises:
        InputError: If the two have other classes, the weights of a head are not known, or no image can be drawn.
    """
    if base.latents.class_names != other.latents.class_names:
        raise InputError(f"{base.model} and {other.model} have other classes, so their windows cannot be paired")
    unknown = [one.model for one in (base, other) if one.latents.head is None]
    if unknown:
        raise InputError(
            f"the head of {' and of '.join(unknown)} is neither affine nor dense layers with ReLU, so windows are "
            "sampled for one network at a time and not paired"
        )
    rows = list(_chosen((base, other)))
    if not rows:
        raise InputError(
            f"no image that both {base.model} and {other.model} classify correctly has a pixel and a noisy twin under "
            "both, so no windows are paired"
        )
    return PairedWindows((base, other), rows, palette)


def _both(base: Side, other: Side) -> tuple[np.ndarray, np.ndarray]:
    """Places of the images that both sides have right and can draw, in the order of the first, shape (M,) each."""
    place = {str(one): i for i, one in enumerate(other.stamps.ids)}
    pairs = [(i, place[str(one)]) for i, one in enumerate(base.stamps.ids) if str(one) in place]
    found = np.array([(i, j) for i, j in pairs if base.usable[i] and other.usable[j]], dtype=int).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _moved(side: Side, places: np.ndarray) -> tuple[int, int]:
    """How many images noise takes into another class, and how many their pixel does."""
    return int((side.latents.noisy_class != side.latents.clean_class)[places].sum()), int(side.flips[places].sum())


def _chosen(sides: tuple[Side, Side]) -> Iterator[Row]:
    first, second = _both(*sides)
    outcome = np.stack([sides[0].flips[first], sides[1].flips[second]], axis=1)
    for wanted in _OUTCOMES:
        rows = np.flatnonzero((outcome == wanted).all(axis=1)).tolist()
        seen = set[int]()
        for k in rows:
            label = int(sides[0].latents.true[first[k]])
            if label in seen or len(seen) == (_MOST_CLASSES if all(wanted) else 1):
                continue
            places = int(first[k]), int(second[k])
            try:
                windows = sides[0].window(places[0]), sides[1].window(places[1])
            except InputError:  # parallel directions span no plane
                continue
            seen.add(label)
            yield Row(places, windows, wanted)


def _panels(sides: tuple[Side, Side], row: Row, palette: Palette) -> list[Panel]:
    """Clean, the pixel and the window of the first network; noisy, the pixel and the window of the second."""
    found = []
    first, names = row.places[0], palette.class_names
    stamps = sides[0].stamps
    true = int(sides[0].latents.true[first])
    whole = ((f"{stamps.ids[first]}\nclean: {names[true]}", stamps.clean), ("noisy", stamps.noisy))
    for (title, shown), side, i, window in zip(whole, sides, row.places, row.windows, strict=True):
        end = int(side.stamps.end[i])
        to = f"→ {names[end]}" if end != true else f"stays {names[end]}"
        across, up = ((f"{t:.2f}" if t < 10 else f"{t:.0f}") if np.isfinite(t) else "none" for t in window.crossing)
        picture = WindowPicture(
            title=f"{side.model}\nt* → {across}, ↑ {up}",
            notes=(),
            extent=window.extent,
            polygons=[(region.label, region.vertices) for region in getattr(window, "regions", ())],
            boundaries=[boundary.ends for boundary in getattr(window, "boundaries", ())],
            grid=None,
            marks=[("clean", "clean", 0.0, 0.0), ("attacked", "attacked", 1.0, 0.0), ("noisy", "noisy", 0.0, 1.0)],
            labels=("", ""),
            true=true,
        )
        plane = window_panel(picture, palette, white=False, names=False, notes=0)
        found += [
            _stamp(title, shown[first]),
            _stamp(f"pixel of {side.model}\n{to}", side.stamps.attacked[i], side.stamps.spot[i]),
            replace(plane, x=replace(plane.x, shown=False), y=replace(plane.y, shown=False)),
        ]
    return found


def _stamp(title: str, image: np.ndarray, spot: np.ndarray | None = None) -> Panel:
    height, width = image.shape[:2]
    rings = [] if spot is None else [Rings(spot[None] * (width, height) - 0.5, 0.06 * width)]
    box = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes = replace(_HIDDEN, span=box[:2]), replace(_HIDDEN, span=box[2:])
    return Panel([Picture(image, box), *rings], title, *axes, equal=True)
