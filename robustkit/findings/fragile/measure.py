"""How small a change of one pixel flips each image, and what a catalogue says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robustkit.data.columns import Columns
from robustkit.engine.batching import Batches
from robustkit.findings.fragile.record import FragileRecord
from robustkit.findings.pictures.measure import inverse_of
from robustkit.lazy import torch
from robustkit.perturb.decision import answers, decide
from robustkit.records import NOT_FINITE

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.findings.attack.record import AttackRecord
    from robustkit.findings.certify.record import CertificateRecord
    from robustkit.findings.pictures.record import Pictures
    from robustkit.models import AuditedClassifier
    from robustkit.runs.sample import Sample

# A change is cut into so many steps, and the step that first flips into so many again.
_COARSE, _FINE = 16, 8
_MOST_CHANGES = 4  # of one image that are cut
_BATCH = 32


def find_fragile(
    sample: Sample,
    columns: Columns,
    *,
    attack: AttackRecord | None,
    certificate: CertificateRecord | None,
    pictures: Pictures | None,
) -> FragileRecord:
    """Looks for the smallest change that flips each image, on the way to changes that are known to flip it.

    A flip of the attack or the most dangerous cell of the complete search changes a pixel by all that it can. Part of
    the way may do, and the first part that does is kept. It is the least change on that way, not of all changes.

    Args:
        sample: The model and the images.
        columns: What a catalogue says of the images.
        attack: Flips of these images.
        certificate: The complete search of these images.
        pictures: The noise of their sky.
    """
    inverse, n, bands = inverse_of(sample.checkpoint), len(sample), len(sample.checkpoint.card.bands)
    sky = np.full((n, bands), np.nan) if pictures is None else pictures.sky
    right, flipped, margin = np.zeros(n, bool), np.zeros(n, bool), np.full(n, np.nan)
    share, sigmas, peak = (np.full(n, np.nan) for _ in range(3))
    change = np.full((n, bands), np.nan)
    row, column = np.full(n, -1), np.full(n, -1)
    for i in range(n):
        ((classifier, one),) = sample.asked(slice(i, i + 1))
        image = sample.inputs[one]
        label = int(sample.labels[i])
        logits = answers(classifier, image)[0].cpu().double()
        right[i] = int(decide(logits)) == label
        others = logits.clone()
        others[label] = -torch.inf
        margin[i] = float(logits[label] - others.amax()) if bool(logits.isfinite().all()) else np.nan
        clean = image[0].numpy()
        before = clean if inverse is None else inverse(clean)
        if inverse is not None and np.isfinite(sky[i]).all() and (sky[i] > 0).all():
            peak[i] = float((before / sky[i][:, None, None]).max())
        if not right[i]:
            continue
        found: list[tuple[float, float, np.ndarray, np.ndarray, np.ndarray]] = []
        for rows, cols, after in _known(i, attack, certificate):
            flipped[i] = True
            part = _least(classifier, image, label, rows, cols, after)
            if part is None:
                continue
            changed = _changed(image, rows, cols, after, [part])[0].numpy()
            last = changed if inverse is None else inverse(changed)
            moved = last[:, rows[0], cols[0]] - before[:, rows[0], cols[0]]
            size = np.abs(moved / sky[i]).max() if inverse is not None and (sky[i] > 0).all() else np.abs(moved).max()
            found.append((float(size), part, moved, rows, cols))
        if not found:
            continue
        size, share[i], change[i], rows, cols = min(found, key=lambda one: one[0])
        row[i], column[i] = rows[0], cols[0]
        if inverse is not None and (sky[i] > 0).all():
            sigmas[i] = size
    return FragileRecord(
        ids=sample.ids, right=right, flipped=flipped, margin=margin, share=share, change=change, sigmas=sigmas, row=row,
        column=column, peak=peak, names=columns.names, values=columns.values, source=columns.source,
        matched=columns.matched, bands=list(sample.checkpoint.card.bands),
        unit="network input" if inverse is None or pictures is None else pictures.unit,
    )  # fmt: skip


def _known(
    i: int, attack: AttackRecord | None, certificate: CertificateRecord | None
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Changes that are known to flip an image: rows and columns (L,) of the pixels, and their new values (L, C)."""
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    if certificate is not None and certificate.flipping[i] > 0:
        place = (certificate.best_row[i : i + 1], certificate.best_column[i : i + 1])
        found.append((*place, certificate.best_value[i : i + 1]))
    if attack is not None:
        for a in np.flatnonzero(attack.flipped & (attack.image == i)).tolist():
            found.append((attack.row[a], attack.column[a], attack.after[a]))
    once = {
        (*rows.tolist(), *cols.tolist(), *after.ravel().tolist()): (rows, cols, after) for rows, cols, after in found
    }
    return list(once.values())[:_MOST_CHANGES]


def _least(
    classifier: AuditedClassifier, image: Tensor, label: int, rows: np.ndarray, cols: np.ndarray, after: np.ndarray
) -> float | None:
    """The first part of the way to a change that flips, which the network itself confirms; `None` if no part does."""

    def first(parts: np.ndarray) -> int | None:
        changed = _changed(image, rows, cols, after, parts.tolist())
        with torch.inference_mode():
            batch = Batches(_BATCH)
            logits = batch.run(lambda one, end: classifier(changed[one:end].to(classifier.device)).cpu(), len(parts))
        for place in np.flatnonzero(_flips(logits, label)).tolist():
            if _flips(answers(classifier, changed[place : place + 1]).cpu(), label)[0]:
                return place
        return None

    coarse = np.arange(1, _COARSE + 1) / _COARSE
    place = first(coarse)
    if place is None:
        return None
    fine = coarse[place] - np.arange(_FINE - 1, 0, -1) / (_COARSE * _FINE)
    nearer = first(fine)
    return float(coarse[place] if nearer is None else fine[nearer])


def _flips(logits: Tensor, label: int) -> np.ndarray:
    decided = decide(logits).numpy()
    return (decided != label) & (decided != NOT_FINITE)


def _changed(image: Tensor, rows: np.ndarray, cols: np.ndarray, after: np.ndarray, parts: list[float]) -> Tensor:
    """The image after each part of the way, shape (P, C, H, W); the whole way is the change itself, to the bit."""
    changed = image.repeat(len(parts), 1, 1, 1)
    for pixel, values in enumerate(torch.from_numpy(np.asarray(after, dtype=np.float32))):
        before = image[0, :, int(rows[pixel]), int(cols[pixel])]
        for place, part in enumerate(parts):
            value = values if part == 1 else before + part * (values - before)
            changed[place, :, int(rows[pixel]), int(cols[pixel])] = value
    return changed
