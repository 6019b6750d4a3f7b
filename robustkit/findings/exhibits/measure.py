"""The flips of an attack that a page shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robustkit.findings.attack.gallery import picture_limits, to_picture
from robustkit.findings.attack.show import chosen_flips
from robustkit.findings.exhibits.record import MOST, Exhibits
from robustkit.findings.pictures.measure import inverse_of

if TYPE_CHECKING:
    from robustkit.findings.attack.record import AttackRecord
    from robustkit.runs.sample import Sample


def take_exhibits(sample: Sample, record: AttackRecord) -> Exhibits:
    """The flips of an attack that are shown, chosen by `GALLERY_RULE`."""
    checkpoint = sample.checkpoint
    images, inverse = sample.images.numpy(), inverse_of(checkpoint)
    attempts = chosen(record)
    clean, perturbed, change = [], [], []
    for a in attempts:
        before = images[record.image[a]]
        after = before.copy()
        for pixel, value in enumerate(record.after[a]):
            after[:, record.row[a, pixel], record.column[a, pixel]] = value
        limits = picture_limits(before)
        clean.append(to_picture(before, checkpoint.card.bands, limits))
        perturbed.append(to_picture(after, checkpoint.card.bands, limits))
        row, column = record.row[a, 0], record.column[a, 0]
        first, last = (image if inverse is None else inverse(image) for image in (before, after))
        change.append(last[:, row, column] - first[:, row, column])
    height, width, bands = *images.shape[2:], images.shape[1]
    return Exhibits(
        attempt=np.array(attempts, dtype=np.int64),
        clean=np.array(clean, dtype=np.uint8).reshape(len(attempts), height, width, 3),
        perturbed=np.array(perturbed, dtype=np.uint8).reshape(len(attempts), height, width, 3),
        change=np.array(change, dtype=np.float64).reshape(len(attempts), bands),
        calibrated=inverse is not None,
    )


def chosen(record: AttackRecord) -> list[int]:
    """The attempts that are shown, by `GALLERY_RULE`; one of each image."""
    first = chosen_flips(record)
    pairs = {(int(record.true[record.image[a]]), int(record.new_class[a])): a for a in first}
    found = list(first)
    for share in (0.25, 0.75):
        for true, new in pairs:
            of_pair = record.flipped & (record.true[record.image] == true) & (record.new_class == new)
            ranked = sorted(np.flatnonzero(of_pair).tolist(), key=lambda a: int(record.queries[a]))
            found.append(ranked[round(share * (len(ranked) - 1))])
    once: dict[int, int] = {}
    for a in found:
        once.setdefault(int(record.image[a]), a)
    return list(once.values())[:MOST]
