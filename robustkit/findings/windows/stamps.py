"""Pictures of the images that two networks are compared on, with the pixel that moves each the furthest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustkit.engine import paint
from robustkit.findings.attack.gallery import picture_limits, to_stamp
from robustkit.findings.distances.nearest import load_certificates
from robustkit.findings.latents.measure import Embedded
from robustkit.findings.latents.twins import make_twins
from robustkit.findings.windows.record import COMPARED, SIDE, Stamps
from robustkit.latent.embeddings import embed_images


def take_stamps(found: Embedded, certificates: Any = None, *, noisy: Any = None, seed: int = 0) -> Stamps:
    """The first images drawn, clean, noisy and with the pixel that flips each, or comes nearest to it.

    Args:
        found: The embeddings and what they were made of.
        certificates: The folder of a complete search on the same images; `None` for none.
        noisy: Where the noisy twins come from; as for the embeddings.
        seed: As for the embeddings.

    Raises:
        InputError: If the complete search is of another model.
    """
    record, count = found.record, min(COMPARED, len(found.record.ids))
    twins = make_twins(found.attacked, noisy, seed=seed)
    pixels = {i: _flip(found, i) for i in np.flatnonzero(record.flipped[:count]).tolist()}
    if certificates is not None:
        pixels |= {i: cell for i, cell in _nearest(found, certificates).items() if i < count and i not in pixels}
    bands = found.attacked.sample.checkpoint.card.bands
    shape = count, SIDE, SIDE, 3
    pictures = {name: np.zeros(shape, dtype=np.uint8) for name in ("clean", "noisy", "attacked")}
    spot, touched = np.full((count, 2), np.nan), np.full((count, record.clean.shape[1]), np.nan, dtype=np.float32)
    end = np.full(count, -1)
    for i in range(count):
        clean = found.attacked.clean(i, i + 1)
        limits = picture_limits(clean[0].numpy())
        shown = {"clean": clean}
        if twins.present[i]:
            shown["noisy"] = twins.images(np.array([i]))
        if i in pixels:
            shown["attacked"] = _painted(clean, *pixels[i])
            row, column = (int(part.reshape(-1)[0]) for part in pixels[i][:2])
            spot[i] = (column + 0.5) / clean.shape[3], (row + 0.5) / clean.shape[2]
        for name, image in shown.items():
            pictures[name][i] = to_stamp(image[0].numpy(), bands, SIDE, limits)
    rows = sorted(pixels)
    if rows:

        def images(start: int, stop: int) -> Tensor:
            some = rows[start:stop]
            return torch.cat([_painted(found.attacked.clean(i, i + 1), *pixels[i]) for i in some])

        touched[rows], logits = embed_images(found.classifier, images, len(rows))
        end[rows] = logits.argmax(axis=1)
    return Stamps(ids=record.ids[:count], **pictures, spot=spot, touched=touched, end=end,
                  class_names=record.class_names)  # fmt: skip


Pixel = tuple[Tensor, Tensor, Tensor]


def _flip(found: Embedded, i: int) -> Pixel:
    """Rows (L,), columns (L,) and values (L, C) of the pixels that flip an image."""
    attack, a = found.attacked.record, int(found.record.attempt[i])
    row, column, after = (torch.as_tensor(values[a]) for values in (attack.row, attack.column, attack.after))
    return row, column, after


def _nearest(found: Embedded, folder: Any) -> dict[int, Pixel]:
    """The cell with the largest margin of each image whose cells were all tried, by its place in the embeddings."""
    record = load_certificates(Path(folder), found.record)
    place = {str(one): i for i, one in enumerate(found.record.ids)}
    cells = dict[int, Pixel]()
    for at in np.flatnonzero(record.complete & (record.queries > 0)).tolist():
        if str(record.ids[at]) in place:
            row, column, value = (torch.as_tensor(getattr(record, f"best_{name}")[at])
                                  for name in ("row", "column", "value"))  # fmt: skip
            cells[place[str(record.ids[at])]] = row.view(1), column.view(1), value.view(1, -1)
    return cells


def _painted(clean: Tensor, row: Tensor, column: Tensor, value: Tensor) -> Tensor:
    return paint(clean, row[None], column[None], value[None].to(clean.dtype))
