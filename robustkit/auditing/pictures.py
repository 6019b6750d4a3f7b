"""Pictures of the images of an audit, kept as a record so that its page can be drawn again without the data."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from robustkit.findings.attack.show import chosen_flips
from robustkit.lazy import torch
from robustkit.records import Record
from robustkit.report.page import Sprite
from robustkit.report.sections.gallery import Exhibit, picture_limits, to_picture

if TYPE_CHECKING:
    from robustkit.findings.attack.record import AttackRecord
    from robustkit.models import Checkpoint
    from robustkit.runs.sample import Sample

# Side of a small picture, and of how many images there are some: the first drawn.
SIDE, MOST = 48, 1000
THUMBNAIL_RULE = f"the first {MOST:,} images drawn have a picture that is shown under the pointer"
GALLERY_RULE = (
    "for each pair of true and new class, most frequent first, the flips at the quartiles of the number of queries; "
    "at most {most}"
)
_MOST_EXHIBITS = 12


@dataclass(frozen=True, eq=False)
class Pictures(Record):
    """Small pictures of the images drawn, and the noise of their sky.

    Attributes:
        ids: Image ids, shape (N,).
        true: True classes, shape (N,).
        small: Pictures of the first M of them, shape (M, SIDE, SIDE, 3), uint8.
        sky: Standard deviation of the sky in each band of each image, calibrated units, shape (N, C); nan where the
            stretch cannot be inverted.
        bands: The C bands.
        unit: Of the calibrated values.
    """

    ids: np.ndarray
    true: np.ndarray
    small: np.ndarray
    sky: np.ndarray
    bands: list[str]
    unit: str


@dataclass(frozen=True, eq=False)
class Exhibits(Record):
    """Flips to look at, E of them.

    Attributes:
        attempt: Which attempt of the attack record, shape (E,).
        clean: Pictures, shape (E, H, W, 3), uint8.
        perturbed: The same with the pixels changed.
        change: Change of the first pixel in each band, calibrated units where `calibrated`, shape (E, C).
        calibrated: Whether the change is in calibrated units, and not in network input.
    """

    attempt: np.ndarray
    clean: np.ndarray
    perturbed: np.ndarray
    change: np.ndarray
    calibrated: bool


def take_pictures(sample: Sample) -> Pictures:
    """Small pictures of a sample and the noise of its sky."""
    images, checkpoint = sample.images.numpy(), sample.checkpoint
    small = np.stack([_small(to_picture(image, checkpoint.card.bands)) for image in images[:MOST]])
    inverse = _inverse(checkpoint)
    sky = np.full((len(images), images.shape[1]), np.nan)
    if inverse is not None:
        declared = _declared_noise(sample)
        for i, image in enumerate(images):
            sky[i] = sky_noise(inverse(image)) if declared is None else declared
    return Pictures(
        ids=sample.ids,
        true=sample.labels.numpy(),
        small=small,
        sky=sky,
        bands=list(checkpoint.card.bands),
        unit="calibrated units" if sample.whole.units == "unknown" else f"{sample.whole.units}s",
    )


def _declared_noise(sample: Sample) -> np.ndarray | None:
    """The noise of the sky that the image set itself declares for every band; `None` where it declares none.

    Neighbours and the wings of galaxies lie along the borders of images, so that what is measured there is more.
    """
    noise, bands = sample.whole.meta.get("noise_sigma"), sample.checkpoint.card.bands
    if not isinstance(noise, dict) or not set(bands) <= noise.keys():
        return None
    return np.array([float(noise[band]) for band in bands])


def take_exhibits(sample: Sample, record: AttackRecord) -> Exhibits:
    """The flips of an attack that are shown, chosen by `GALLERY_RULE`."""
    checkpoint = sample.checkpoint
    images, inverse = sample.images.numpy(), _inverse(checkpoint)
    chosen = chosen_exhibits(record)
    clean, perturbed, change = [], [], []
    for a in chosen:
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
        attempt=np.array(chosen, dtype=np.int64),
        clean=np.array(clean, dtype=np.uint8).reshape(len(chosen), height, width, 3),
        perturbed=np.array(perturbed, dtype=np.uint8).reshape(len(chosen), height, width, 3),
        change=np.array(change, dtype=np.float64).reshape(len(chosen), bands),
        calibrated=inverse is not None,
    )


def chosen_exhibits(record: AttackRecord) -> list[int]:
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
    return list(once.values())[:_MOST_EXHIBITS]


def exhibits_of(shown: Exhibits, pictures: Pictures, record: AttackRecord) -> list[Exhibit]:
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


def sprite_of(pictures: Pictures | None) -> Sprite | None:
    """All small pictures in one, for points under the pointer."""
    if pictures is None or not len(pictures.small):
        return None
    columns = min(25, len(pictures.small))
    rows = -(-len(pictures.small) // columns)
    sheet = np.zeros((rows * columns, SIDE, SIDE, 3), dtype=np.uint8)
    sheet[: len(pictures.small)] = pictures.small
    whole = sheet.reshape(rows, columns, SIDE, SIDE, 3).swapaxes(1, 2).reshape(rows * SIDE, columns * SIDE, 3)
    buffer = io.BytesIO()
    Image.fromarray(whole).save(buffer, format="WEBP", quality=80)
    url = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Sprite(url, SIDE, columns, rows, len(pictures.small))


def gallery_rule() -> str:
    """The rule in words."""
    return GALLERY_RULE.format(most=_MOST_EXHIBITS)


def sky_noise(image: np.ndarray) -> np.ndarray:
    """Standard deviation of the sky in each band: 1.4826 times the median absolute deviation along the border.

    Args:
        image: Calibrated values, shape (C, H, W).

    Examples:
        >>> float(sky_noise(np.zeros((1, 20, 20)))[0])
        0.0
    """
    width = max(1, min(image.shape[1:]) // 10)
    border = np.ones(image.shape[1:], dtype=bool)
    border[width:-width, width:-width] = False
    values = image[:, border]
    middle = np.median(values, axis=1, keepdims=True)
    return 1.4826 * np.median(np.abs(values - middle), axis=1)


def _small(shown: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(shown).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _inverse(checkpoint: Checkpoint) -> Callable[[np.ndarray], np.ndarray] | None:
    stretch = checkpoint.stretch
    if not stretch.invertible:
        return None
    return lambda image: np.asarray(stretch.inverse(torch.from_numpy(np.ascontiguousarray(image))), dtype=np.float64)
