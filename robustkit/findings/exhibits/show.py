"""The flips of an attack as a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from robustkit.findings.attack.chapter import CHAPTER, TITLE
from robustkit.findings.attack.gallery import Exhibit, Gallery
from robustkit.findings.exhibits.record import GALLERY_RULE, Exhibits
from robustkit.findings.finding import ModelRecords, section_name
from robustkit.report.section import Chapter

if TYPE_CHECKING:
    from robustkit.findings.attack.record import AttackRecord
    from robustkit.findings.pictures.record import Pictures


def _exhibits(shown: Exhibits, pictures: Pictures, record: AttackRecord) -> list[Exhibit]:
    """The flips as the report shows them."""
    found = []
    for e, a in enumerate(shown.attempt.tolist()):
        i, new = int(record.image[a]), int(record.new_class[a])
        true = int(record.true[i])
        found.append(
            Exhibit(
                image_id=str(record.ids[i]),
                true=record.class_names[true],
                new=record.class_names[new],
                before=float(record.clean_probabilities[i, true]),
                after=float(record.probabilities[a, new]),
                clean=shown.clean[e],
                perturbed=shown.perturbed[e],
                row=tuple(record.row[a].tolist()),
                column=tuple(record.column[a].tolist()),
                change=shown.change[e],
                sky=pictures.sky[i] if shown.calibrated else np.full(len(pictures.bands), np.nan),
                bands=tuple(pictures.bands),
                unit=pictures.unit if shown.calibrated else "network input",
                search=record.searches[record.search[a]],
                queries=int(record.queries[a]),
            )
        )
    return found


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """Some flips, in the chapter of the attack."""
    sections = []
    for one in models:
        if one.attack is None or one.exhibits is None or one.pictures is None or not len(one.exhibits.attempt):
            continue
        shown = _exhibits(one.exhibits, one.pictures, one.attack)
        sections.append(Gallery(shown, GALLERY_RULE, one.label, section_name("gallery", one, models)))
    return Chapter(CHAPTER, TITLE, (), tuple(sections), folded=tuple(one.name for one in sections[1:]))
