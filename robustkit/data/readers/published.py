"""The files that the papers published, known by their names: classes, bands and where the labels are."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A family of published image files.

    Attributes:
        pattern: What the whole file name matches.
        labels: The name of the file with the labels, from the groups of the pattern.
        part: The prefix of the ids, from the groups, equal where the rows of two files show the same objects.
        class_names: In the order of the labels.
        bands: In the order of the channels.
        source: The publication.
    """

    pattern: str
    labels: str
    part: str
    class_names: tuple[str, ...]
    bands: tuple[str, ...]
    source: str


_ADVERSARIES = "DeepAdversaries, doi:10.1088/2632-2153/ac7f1a"
_MERGERS = "DeepMerge, doi:10.1093/mnras/stab1677"
_GALAXIES = ("spiral", "elliptical", "merger")
_PAIRS = ("non-merger", "merger")

PUBLISHED = (
    Published(
        r"images_Y(?:10|1)_(train|valid|test)\.npy", r"labels_\1.npy", r"\1", _GALAXIES, ("g", "r", "i"), _ADVERSARIES
    ),
    Published(
        r"(?:regular|noisy)_images_(150)\.npy", r"labels_\1.npy", r"\1", _GALAXIES, ("g", "r", "i"), _ADVERSARIES
    ),
    Published(
        r"SimSim_(SOURCE|TARGET)_X_(\w+)\.npy",
        r"SimSim_\1_y_\2.npy",
        "simsim",
        _PAIRS,
        ("F814W", "F356W", "F160W"),
        _MERGERS,
    ),
    Published(
        r"SimReal_(SOURCE|TARGET)_X_(\w+)\.npy", r"SimReal_\1_y_\2.npy", r"\2", _PAIRS, ("g", "r", "i"), _MERGERS
    ),
)


@dataclass(frozen=True)
class Recognised:
    """A published file that was recognised; the fields are those of `Published`, filled in."""

    labels: str
    part: str
    class_names: tuple[str, ...]
    bands: tuple[str, ...]
    source: str


def recognise(file_name: str) -> Recognised | None:
    """The published file of this name, or `None`."""
    for known in PUBLISHED:
        match = re.fullmatch(known.pattern, file_name)
        if match:
            return Recognised(
                match.expand(known.labels), match.expand(known.part), known.class_names, known.bands, known.source
            )
    return None
