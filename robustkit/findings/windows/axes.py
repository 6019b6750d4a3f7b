"""The axes of church windows, by name: the one-pixel direction, the noise direction, a random one, any perturbation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.latents.measure import Embedded
from robustkit.findings.latents.twins import parse_perturbation, perturbed
from robustkit.findings.windows.record import NOISE, ONE_PIXEL, RANDOM
from robustkit.latent.embeddings import embed_images
from robustkit.seeds import Streams


@dataclass(frozen=True, eq=False)
class Direction:
    """An axis of windows: one displacement for each image.

    Attributes:
        name: `one-pixel`, `noise`, `random` or a perturbation with its level.
        words: What it is, in words.
        vectors: Displacements, shape (N, D); nan rows where an image has none.
        is_image: Whether an image lies at its end, to be marked.
    """

    name: str
    words: str
    vectors: np.ndarray
    is_image: bool = True


def make_axes(embedded: Embedded, x: str, y: str, *, seed: int) -> tuple[Direction, Direction]:
    """Both axes of windows; a random direction has the length of the other axis.

    Args:
        embedded: The embeddings and what they were made of.
        x: `one-pixel`, `noise`, `random`, or a perturbation and its level such as `psf:s2`.
        y: The same.
        seed: Of random directions and of perturbations made here.

    Raises:
        InputError: If a name is unknown, the two are one direction, or none of them is to be had.
    """
    if x == y != RANDOM:
        raise InputError(f"both axes are {x}; a window needs two directions")
    first, second = (None if name == RANDOM else _measured(embedded, name, seed) for name in (x, y))
    lengths = [np.linalg.norm(axis.vectors, axis=1) for axis in (first, second) if axis is not None]
    if not lengths:
        # Two random directions are as long as the median flip, or as the noise if nothing flipped.
        for name in (ONE_PIXEL, NOISE):
            known = np.linalg.norm(_measured(embedded, name, seed).vectors, axis=1)
            if np.isfinite(known).any():
                lengths = [np.full(len(known), np.nanmedian(known))]
                break
        else:
            raise InputError("two random directions need a length, and no flip and no noise is there to take it from")
    return (
        first or _random(embedded, lengths[0], f"{RANDOM} x", seed),
        second or _random(embedded, lengths[0], f"{RANDOM} y", seed),
    )


def _measured(embedded: Embedded, name: str, seed: int) -> Direction:
    record = embedded.record
    clean = record.clean.astype(np.float64)
    if name == ONE_PIXEL:
        return Direction(name, f"the pixel that flips the image: {record.settings['flips']}", record.attacked - clean)
    if name == NOISE:
        return Direction(name, record.noise, record.noisy - clean)
    if ":" not in name:
        raise InputError(
            f"unknown axis {name!r}; expected {ONE_PIXEL}, {NOISE}, {RANDOM}, or a perturbation with its level such as "
            "psf:s2"
        )
    twins = perturbed(embedded.attacked, parse_perturbation(name, embedded.attacked.sample.checkpoint), seed=seed)
    moved, _ = embed_images(
        embedded.classifier, lambda start, stop: twins.images(np.arange(start, stop)), len(record.ids)
    )
    return Direction(name, twins.words, moved - clean)


def _random(embedded: Embedded, lengths: np.ndarray, purpose: str, seed: int) -> Direction:
    record = embedded.record
    draws = Streams(seed, record.ids.tolist(), f"window {purpose}").normal(record.clean.shape[1]).astype(np.float64)
    units = draws / np.linalg.norm(draws, axis=1, keepdims=True)
    words = f"random directions, one for each image, seed {seed}"
    return Direction(RANDOM, words, units * lengths[:, None], is_image=False)
