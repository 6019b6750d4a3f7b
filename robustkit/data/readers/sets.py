"""Public galaxy sets, recognised by the names and shapes in which they are published: their classes and bands.

The files hold numbers where the publication names classes. What the user says goes first, and a file of the same name
and another shape or other labels is opened as any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from robustkit.data.imageset import ImageSet
from robustkit.data.readers.found import Options


@dataclass(frozen=True)
class PublicSet:
    """A public set.

    Attributes:
        name: What it is called.
        pattern: What the name of its file or folder matches, capital letters aside.
        shapes: Shapes (C, H, W) in which it is published.
        class_names: In the order of the labels.
        source: The publication, or where it is described.
    """

    name: str
    pattern: str
    shapes: tuple[tuple[int, int, int], ...]
    class_names: tuple[str, ...]
    source: str


PUBLIC_SETS = (
    PublicSet(
        "Galaxy10 SDSS",
        r"galaxy10(_sdss)?(\.h5)?",
        ((3, 69, 69),),
        (
            "disk face-on no spiral",
            "smooth round",
            "smooth in-between",
            "smooth cigar",
            "edge-on rounded bulge",
            "edge-on boxy bulge",
            "edge-on no bulge",
            "face-on tight spiral",
            "face-on medium spiral",
            "face-on loose spiral",
        ),
        "https://astronn.readthedocs.io",
    ),
    PublicSet(
        "Galaxy10 DECaLS",
        r"galaxy10_decals(\.h5)?",
        ((3, 256, 256),),
        (
            "disturbed",
            "merging",
            "smooth round",
            "smooth in-between",
            "smooth cigar",
            "barred spiral",
            "unbarred tight spiral",
            "unbarred loose spiral",
            "edge-on without bulge",
            "edge-on with bulge",
        ),
        "https://github.com/henrysky/Galaxy10",
    ),
    PublicSet(
        "GalaxyMNIST",
        r"(train|test)_dataset\.hdf5|galaxy_?mnist",
        ((3, 64, 64), (3, 224, 224)),
        ("smooth round", "smooth cigar", "edge-on disk", "unbarred spiral"),
        "https://github.com/mwalmsley/galaxy_mnist",
    ),
)


def name_classes(image_set: ImageSet, options: Options, path: Path) -> ImageSet:
    """The set with the published classes and bands, if its name, shape and labels are those of a public one."""
    known = next((each for each in PUBLIC_SETS if _is(each, image_set, path)), None)
    if known is None or options.steps or image_set.labels is None:
        return image_set
    notes = [note for note in image_set.notes if not note.startswith(("class names: not found", "bands: not named"))]
    said = f"recognised as {known.name} ({known.source})"
    changes: dict[str, tuple[str, ...]] = {}
    if options.class_names is None and _numbered(image_set.class_names):
        changes["class_names"] = known.class_names
        said += f": classes {', '.join(known.class_names)}; give --classes for others"
    if options.bands is None and image_set.bands == ("band0", "band1", "band2"):
        changes["bands"] = ("R", "G", "B")
    return replace(image_set, **changes, notes=(*notes, said)) if changes else image_set


def _is(known: PublicSet, image_set: ImageSet, path: Path) -> bool:
    labels = image_set.labels
    return (
        re.fullmatch(known.pattern, path.name, re.IGNORECASE) is not None
        and image_set.images.shape[1:] in known.shapes
        and labels is not None
        and int(np.max(labels)) < len(known.class_names)
    )


def _numbered(names: tuple[str, ...]) -> bool:
    return all(name.isdigit() for name in names)
