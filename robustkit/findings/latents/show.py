"""What the head sees of a latent, as a chapter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.finding import ModelRecords, section_name
from robustkit.findings.windows.pictures import canonical_pictures
from robustkit.latent.geometry import AffineHead, decision_space, margins
from robustkit.report.palette import make_palette
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.facts import Facts
from robustkit.report.sections.geometry import Canonical


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """What the head sees of a latent, and how far it is to its boundaries."""
    missing = [one.why_missing("latents") for one in models if one.latents is None]
    sections: list[Section] = []
    rows = []
    text = []
    for one in models:
        if one.latents is None:
            continue
        record = one.latents
        text += [f"{one.label}: {note}." for note in one.records.get("notes", ())]
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
        text.append(
            f"{one.label}: of {record.clean.shape[1]} dimensions of the latent the head sees {space.basis.shape[1]}."
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
    return Chapter("geometry", "Head geometry", tuple(text), tuple(sections), tuple(missing))
