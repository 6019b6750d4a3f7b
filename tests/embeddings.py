"""Embeddings of images that were never there: three clouds of latents, and an affine head that cuts between them."""

from __future__ import annotations

import numpy as np

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
