"""Embeddings of images that were never there: three clouds of latents, and an affine head that cuts between them."""

from __future__ import annotations

import numpy as np

from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.windows.pairs import Side
from robustkit.findings.windows.record import SIDE, Stamps
from robustkit.latent.embeddings import Embeddings, pack_head
from robustkit.latent.geometry import AffineHead, crossings

CLASSES = ["spiral", "elliptical", "merger"]


def make_embeddings(n: int = 60, dimension: int = 12, *, seed: int = 0, push: float = 1.3) -> Embeddings:
    """Clean latents around three centres, noisy twins beside them, and half of those that are right flipped.

    Args:
        n: How many images.
        dimension: D.
        seed: Of everything.
        push: How far a flip goes, as a multiple of the way to the boundary.
    """
    rng = np.random.default_rng(seed)
    true = np.arange(n) % 3
    centres = rng.normal(0, 3, (3, dimension))
    head = AffineHead(centres, -0.5 * (centres**2).sum(axis=1))  # the nearest centre
    clean = (centres[true] + rng.normal(0, 1.5, (n, dimension))).astype(np.float32)
    noisy = (clean + rng.normal(0.3, 0.5, (n, dimension))).astype(np.float32)
    attempted = head(clean).argmax(axis=1) == true
    flipped = attempted & (np.arange(n) % 2 == 0)
    towards = centres[(true + 1) % 3] - clean + rng.normal(0, 0.5, (n, dimension))
    reach = crossings(head, clean, towards).t
    attacked = (clean + push * reach[:, None] * towards).astype(np.float32)
    attacked[~flipped] = np.nan
    flipped &= np.isfinite(attacked[:, 0])
    sizes, parameters = pack_head(head)
    return Embeddings(
        ids=np.array([f"galaxy-{i}" for i in range(n)]),
        true=true,
        clean=clean,
        noisy=noisy,
        attacked=attacked,
        clean_logits=head(clean).astype(np.float32),
        noisy_logits=head(noisy).astype(np.float32),
        attacked_logits=head(attacked).astype(np.float32),
        attempted=attempted,
        flipped=flipped,
        search=np.where(flipped, 0, -1),
        attempt=np.where(flipped, np.arange(n), -1),
        head_sizes=sizes,
        head_parameters=parameters,
        searches=["de"],
        class_names=CLASSES,
        noise="made up",
        model_sha256="0" * 64,
        settings={"flips": "made up"},
    )


def make_attack_record(found: Embeddings) -> AttackRecord:
    """The record of an attack that found the flips of some embeddings, with 400 queries for each that it did not."""
    images = np.flatnonzero(found.attempted)
    flipped = found.flipped[images]
    queries = np.where(flipped, 1 + (images * 37) % 390, 400)
    n, k = len(images), len(found.class_names)
    return AttackRecord(
        ids=found.ids,
        true=found.true,
        clean_class=found.clean_class,
        clean_probabilities=np.full((len(found.ids), k), 1 / k, dtype=np.float32),
        image=images,
        search=np.zeros(n, dtype=np.int64),
        target=np.full(n, -1),
        flipped=flipped,
        generations=1 + queries // 100,
        queries=queries,
        unproved=np.zeros(n, dtype=np.int64),
        not_finite=np.zeros(n, dtype=np.int64),
        stand_in=np.zeros(n, dtype=np.int64),
        gradient=np.zeros(n, dtype=np.int64),
        partial=np.zeros(n, dtype=np.int64),
        new_class=found.attacked_class[images],
        row=np.where(flipped, 0, -1)[:, None],
        column=np.where(flipped, 0, -1)[:, None],
        before=np.zeros((n, 1, 3), dtype=np.float32),
        after=np.zeros((n, 1, 3), dtype=np.float32),
        probabilities=np.zeros((n, k), dtype=np.float32),
        latent_distance=np.linalg.norm(found.attacked - found.clean, axis=1)[images].astype(np.float64),
        searches=["de"],
        class_names=found.class_names,
        settings={},
        costs={},
    )


def make_side(found: Embeddings, flips: np.ndarray, model: str) -> Side:
    """What a network makes of embedded images, some of which a pixel flips while it comes near to the others."""
    count = len(found.ids)
    pictures = {name: np.zeros((count, SIDE, SIDE, 3), dtype=np.uint8) for name in ("clean", "noisy", "attacked")}
    touched = np.where(flips[:, None], found.clean[::-1], found.clean + 0.1).astype(np.float32)
    end = np.where(flips, (found.clean_class + 1) % len(CLASSES), found.clean_class)
    return Side(model, found, Stamps(ids=found.ids, **pictures, spot=np.full((count, 2), 0.5), touched=touched,
                                     end=end, class_names=CLASSES))  # fmt: skip
