"""What the head depends on in a latent: margins, and for three classes the one plane that it decides on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.finding import ModelRecords, section_name
from robustkit.latent.embeddings import Embeddings
from robustkit.latent.geometry import AffineHead, decision_space, margins
from robustkit.latent.windows import canonical_window
from robustkit.report.blocks import COLUMN, PAGE, Axis, Block, Drawing, Lines, Panel, Points, Regions, Tone, thin
from robustkit.report.palette import Meaning, Palette, make_palette
from robustkit.report.section import Chapter, Section, Table
from robustkit.report.sections.facts import Facts

MOST_POINTS = 2000
THINNED = f"Of more than {MOST_POINTS:,} points {MOST_POINTS:,}, evenly taken, are drawn."


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """What the head depends on in a latent, and how far it is to its boundaries."""
    missing = [one.why_missing("latents") for one in models if one.latents is None]
    sections: list[Section] = []
    rows = []
    text = []
    for one in models:
        if one.latents is None:
            continue
        record = one.latents
        said = [f"{note}." for note in one.records.get("notes", ())]
        text.append(" ".join([f"{one.label}:", *said]))
        head = record.head
        if not isinstance(head, AffineHead):
            text.append(f"{one.label}: the head is not affine, so there is no canonical window and no true margin.")
            continue
        found = margins(head, record.clean)
        right = record.clean_class == record.true
        for k, name in enumerate(one.class_names):
            mine = found.distance[record.true == k]
            if len(mine):
                ends = (f"{np.percentile(mine, q):.3g}" for q in (10, 50, 90))
                rows.append((one.label, name, len(mine), int(right[record.true == k].sum()), *ends))
        try:
            pictures = canonical_pictures(record)
        except InputError as error:
            text.append(f"{one.label}: {error}.")
            continue
        space = decision_space(head)
        text[-1] += (
            f" The head depends on only {space.basis.shape[1]} of the {record.clean.shape[1]} latent dimensions."
        )
        palette = make_palette(one.class_names)
        if not pictures:
            text.append(f"{one.label}: there is neither a flip nor noise to draw on the plane that decides.")
            continue
        name = section_name("canonical-window", one, models)
        sections.append(Canonical(pictures, palette, record.ids, one.label, found.distance, name))
    if rows:
        sections.append(
            Facts(
                "margins",
                "Distance to the nearest boundary",
                "Exact, in the whole latent space, of the clean images of each true class. Latent units belong to one "
                "model and do not compare two.",
                ("model", "true class", "images", "right", "10% below", "median", "90% below"),
                rows,
            )
        )
    folded = tuple(one.name for one in sections[1:])
    return Chapter("geometry", "Head geometry", tuple(text), tuple(sections), tuple(missing), folded)


@dataclass(frozen=True, eq=False)
class CanonicalPicture:
    """The plane, and one kind of perturbation on it.

    Attributes:
        title: Above it.
        clean: Where the clean images lie, shape (N, 2).
        perturbed: Where their perturbed twins lie, shape (N, 2); nan rows where one is missing.
        changed: Whose class is another there, shape (N,), bool.
        true: True classes, shape (N,).
        polygons: Class and corners (V, 2) of each region.
        boundaries: Ends of the boundaries, shape (2, 2) each.
        low: Lower corner, shape (2,).
        high: Upper corner, shape (2,).
        labels: Of both axes.
    """

    title: str
    clean: np.ndarray
    perturbed: np.ndarray
    changed: np.ndarray
    true: np.ndarray
    polygons: Sequence[tuple[int, np.ndarray]]
    boundaries: Sequence[np.ndarray]
    low: np.ndarray
    high: np.ndarray
    labels: tuple[str, str]


@dataclass(frozen=True, eq=False)
class Canonical:
    """The canonical window: every image and every boundary on one plane, distances to boundaries as they are.

    Attributes:
        pictures: One for each kind of perturbation, on the same plane.
        palette: Colours of the classes.
        ids: Image ids, shape (N,).
        model: The model.
        margins: Distance of each clean image to its nearest boundary, shape (N,).
        name: Of its files.
    """

    pictures: Sequence[CanonicalPicture]
    palette: Palette
    ids: np.ndarray
    model: str
    margins: np.ndarray
    name: str = "canonical-window"

    @property
    def title(self) -> str:
        """Whose plane."""
        return f"The plane that decides: {self.model}"

    def summary(self) -> str:
        """What lies where."""
        found = "; ".join(picture.title for picture in self.pictures)
        return (
            f"{self.model}, {found}. The class depends on these two coordinates of the latent alone, so nothing is "
            "hidden, and distances to boundaries are those of the whole latent space. Regions are tinted by the class "
            "given, images coloured by their true class, with an arrow to where a perturbation moves them. The "
            f"median distance of an image to its nearest boundary is {float(np.median(self.margins)):.3g} in latent "
            f"units."
            f"{f' {THINNED}' if len(self.margins) > MOST_POINTS else ''}"
        )

    def table(self) -> Table:
        """A line for each image."""
        first = self.pictures[0]
        names = self.palette.class_names
        columns = ["id", "true", "axis 1", "axis 2", "distance to the boundary"]
        for picture in self.pictures:
            kind = picture.title.partition(":")[0]
            columns += [f"{kind}: axis 1", f"{kind}: axis 2", f"{kind}: class changed"]
        rows = []
        for i, image_id in enumerate(self.ids):
            line = [
                str(image_id),
                names[first.true[i]],
                *(f"{x:.5g}" for x in first.clean[i]),
                f"{self.margins[i]:.5g}",
            ]
            for picture in self.pictures:
                there = bool(np.isfinite(picture.perturbed[i]).all())
                line += [f"{x:.5g}" if there else "" for x in picture.perturbed[i]]
                line.append(str(int(picture.changed[i])) if there else "")
            rows.append(line)
        return Table(columns, rows)

    def drawing(self) -> Drawing:
        """Regions, images and where they move, to scale."""
        return draw_canonical(self.pictures, self.palette, self.ids, self.margins)


def canonical_pictures(embeddings: Embeddings) -> list[CanonicalPicture]:
    """The plane that a head of three classes decides on: a picture of the flips and one of the noise, where there are.

    Raises:
        InputError: If the head has no such plane, or no image was flipped or has a noisy twin; the message says why.
    """
    head = embeddings.head
    if not isinstance(head, AffineHead):
        raise InputError("there is no canonical window, because the head is not affine")
    kinds = {
        "one pixel": (embeddings.attacked, embeddings.flipped, embeddings.attacked_class, embeddings.attempted),
        "noise": (embeddings.noisy, embeddings.has_noisy, embeddings.noisy_class, embeddings.has_noisy),
    }
    kinds = {name: kind for name, kind in kinds.items() if kind[1].any()}
    if not kinds:
        raise InputError(
            "there is no canonical window to draw, because no image was flipped and there are no noisy ones"
        )
    everything = np.concatenate([embeddings.clean, *(latents[there] for latents, there, _, _ in kinds.values())])
    plane = canonical_window(head, everything)
    count, at = len(embeddings.ids), len(embeddings.ids)
    pictures = []
    for name, (_, there, classes, tried) in kinds.items():
        changed = there & (classes != embeddings.clean_class)
        moved = np.full((count, 2), np.nan)
        moved[there] = plane.coordinates[at : at + int(there.sum())]
        at += int(there.sum())
        pictures.append(
            CanonicalPicture(
                title=f"{name}: {int(changed.sum())} of {int(tried.sum())} images change class",
                clean=plane.coordinates[:count],
                perturbed=moved,
                changed=changed,
                true=embeddings.true,
                polygons=[(region.label, region.vertices) for region in plane.regions],
                boundaries=[boundary.ends for boundary in plane.boundaries],
                low=plane.low,
                high=plane.high,
                labels=("decision axis 1, latent units", "decision axis 2, latent units"),
            )
        )
    return pictures


def draw_canonical(
    pictures: Sequence[CanonicalPicture],
    palette: Palette,
    ids: np.ndarray | None = None,
    margins: np.ndarray | None = None,
) -> Drawing:
    """The plane that decides, a panel for each kind of perturbation: distances are those of the latent space.

    Regions are tinted by the class that the head gives, images are coloured by their true class, and hollow where
    they have no perturbed twin.

    Args:
        pictures: At least one.
        palette: The colours of the classes.
        ids: Image ids, shape (N,), for the screen.
        margins: Distance of each image to its nearest boundary, shape (N,), for the screen.
    """
    # Side by side where the plane is tall, one below the other where it is wide.
    wide, tall = pictures[0].high - pictures[0].low
    columns = len(pictures) if tall > 0.6 * wide else 1
    rows = -(-len(pictures) // columns)
    width = PAGE if columns > 1 else COLUMN * 1.3
    height = float(np.clip((width / columns - 0.5) * tall / wide, 1.2, 6.0)) + 0.6
    panels = [_plane(one, palette, ids, margins, y=place % columns == 0) for place, one in enumerate(pictures)]
    shape = float(np.clip(tall / wide, 0.25, 1.1))
    screen = int(110 + rows * (50 + (340 if columns > 1 else 560) * shape))
    return Drawing(panels, (width, height * rows + 0.5), screen, columns, legend="below", palette=palette)


def _plane(
    one: CanonicalPicture, palette: Palette, ids: np.ndarray | None, margins: np.ndarray | None, *, y: bool
) -> Panel:
    kept = np.array(thin(len(one.true), MOST_POINTS), dtype=int)
    there = np.isfinite(one.perturbed).all(axis=1)
    blocks: list[Block] = [Regions(one.polygons)]
    if len(one.boundaries):
        blocks.append(Lines(np.stack(list(one.boundaries)), "edge", width=0.9))
    moves: tuple[tuple[bool, Tone, str], ...] = (
        (False, "grey", "within its class"),
        (True, "ink", "perturbed, to another class"),
    )
    for changed, tone, name in moves:
        some = kept[(there & (one.changed == changed))[kept]]
        if len(some):
            ends = np.stack([one.clean[some], one.perturbed[some]], axis=1)
            blocks.append(Lines(ends, tone, arrow=True, width=0.7, name=name))
    for twin in (False, True):
        for k, label in enumerate(palette.class_names):
            mine = kept[((one.true == k) & (there == twin))[kept]]
            if not len(mine):
                continue
            hover = []
            if ids is not None and margins is not None:
                hover = [f"{ids[i]}, {label}, distance {margins[i]:.3g}" for i in mine]
            size, hollow = (4.6, False) if twin else (3.2, True)
            of = Meaning(label=k)
            blocks.append(
                Points(one.clean[mine], of, size=size, edged=twin, hollow=hollow, images=mine, hover=hover,
                       name="" if twin else "not perturbed")
            )  # fmt: skip
    spans = zip(one.low.tolist(), one.high.tolist(), strict=True)
    across, up = (Axis(title, span, grid=False) for title, span in zip(one.labels, spans, strict=True))
    return Panel(blocks, one.title, across, up if y else replace(up, title=""), equal=True)
