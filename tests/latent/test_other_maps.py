from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial import procrustes

from robustkit.errors import InputError, MissingExtra
from robustkit.latent.embedding_quality import neighbourhood_hit
from robustkit.latent.other_maps import pca_map, tsne_map, umap_map

LABELS = np.arange(90) % 3


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(0)
    return rng.normal(0, 9, (3, 8))[LABELS] + rng.normal(size=(90, 8))


def test_principal_components_keep_what_is_flat():
    rng = np.random.default_rng(1)
    flat = rng.normal(size=(50, 2)) * (5, 2)
    latents = flat @ np.linalg.qr(rng.normal(size=(6, 2)))[0].T + 4
    placed, further, shares = pca_map(latents[:40], latents[40:], dimensions=2)
    assert procrustes(flat, np.concatenate([placed, further]))[2] < 1e-12
    assert shares.sum() == pytest.approx(1)
    assert pca_map(latents, latents[:0])[1].shape == (0, 3)
    with pytest.raises(InputError, match="no 3 components"):
        pca_map(latents[:2], latents)


def test_tsne_keeps_neighbours_and_its_seed(clouds):
    placed = tsne_map(clouds, perplexity=10)
    assert neighbourhood_hit(placed, LABELS, neighbours=5) > 0.95
    np.testing.assert_array_equal(tsne_map(clouds, perplexity=10), placed)
    with pytest.raises(InputError, match="at least 10"):
        tsne_map(clouds[:5])


@pytest.mark.slow  # its compiler takes half a minute
def test_umap_keeps_neighbours_and_its_seed(clouds):
    pytest.importorskip("umap")
    placed, further = umap_map(clouds[:80], clouds[80:], neighbours=8)
    assert neighbourhood_hit(placed, LABELS[:80], neighbours=5) > 0.95
    nearest = np.linalg.norm(further[:, None] - placed, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(LABELS[nearest], LABELS[80:])
    np.testing.assert_array_equal(umap_map(clouds[:80], clouds[80:], neighbours=8)[0], placed)
    with pytest.raises(InputError, match="more latents than that"):
        umap_map(clouds[:8], clouds)


def test_a_missing_umap_is_asked_for_by_name(clouds, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtra, match=r"robustkit-audit\[umap\]"):
        umap_map(clouds, clouds)
