# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Maps of embeddings: what is fitted, what is projected, and how two of them are laid onto each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.findings.maps.measure import chosen_examples, map_latents
from robustkit.findings.maps.record import ATTACKED, CLEAN, NOISY, LatentMap
from robustkit.findings.maps.summary import describe, lay_onto
from robustkit.latent.isomap import fit_isomap
from robustkit.latent.other_maps import pca_map
from tests.embeddings import make_embeddings


@pytest.fixture(scope="module")
def found():
    return make_embeddings()


@pytest.fixture(scope="module")
def mapped(found):
    return map_latents(found, model="net", neighbours=6, others=("tsne",))


def test_clean_and_noisy_are_fitted_and_flips_are_projected(found, mapped):
    both = np.concatenate([found.clean, found.noisy[found.has_noisy]])
    fit = fit_isomap(both, neighbours=6)
    np.testing.assert_array_equal(mapped.solid[mapped.fitted], fit.coordinates)
    np.testing.assert_array_equal(mapped.flat, mapped.solid[:, :2])
    np.testing.assert_array_equal(mapped.solid[~mapped.fitted], fit.project(found.attacked[found.flipped]))
    np.testing.assert_array_equal(mapped.pca[mapped.fitted], pca_map(both, both[:0])[0])
    assert np.isnan(mapped.tsne[mapped.kind == ATTACKED]).all()
    assert np.isfinite(mapped.tsne[mapped.fitted]).all()
    assert mapped.umap.shape == (0, 2)
    for kind, has, predicted in (
        (CLEAN, np.ones(len(found.ids), dtype=bool), found.clean_class),
        (NOISY, found.has_noisy, found.noisy_class),
        (ATTACKED, found.flipped, found.attacked_class),
    ):
        some = mapped.kind == kind
        np.testing.assert_array_equal(mapped.image[some], np.flatnonzero(has))
        np.testing.assert_array_equal(mapped.predicted[some], predicted[has])


def test_flips_do_not_shape_the_map(found, mapped):
    without = replace(found, flipped=np.zeros_like(found.flipped), attacked=np.full_like(found.attacked, np.nan))
    alone = map_latents(without, model="net", neighbours=6)
    np.testing.assert_array_equal(alone.solid, mapped.solid[mapped.fitted])
    assert len(alone.examples) == 0


def test_the_record_is_saved_and_says_its_numbers(mapped, tmp_path):
    again = LatentMap.load(mapped.save(tmp_path / "map.npz"))
    np.testing.assert_array_equal(again.solid, mapped.solid)
    assert again.quality == mapped.quality
    assert list(mapped.quality) == ["isomap 2-D", "isomap 3-D", "PCA 2-D", "PCA 3-D", "t-SNE"]
    assert [one["neighbours"] for one in mapped.scan] == [5, 6, 10, 15, 20, 30]
    text = describe(mapped)
    assert "60 clean and 60 noisy latents fitted" in text
    assert "pieces before repair: 5:" in text


def test_pieces_and_copies_are_said(found):
    far = replace(found, noisy=found.noisy + 100)
    apart = map_latents(far, model="net", neighbours=30)
    assert apart.components == 2
    assert apart.largest == 60
    assert apart.bridges.shape == (1, 2)
    assert set(apart.kind[apart.bridges[0]]) == {CLEAN, NOISY}
    assert "falls into 2 pieces, the largest of 60 points" in describe(apart)
    still = map_latents(replace(found, noisy=found.clean), model="net", neighbours=6)
    assert still.duplicates == 60
    assert "60 latents are exact copies" in describe(still)
    np.testing.assert_array_equal(still.flat[still.kind == CLEAN], still.flat[still.kind == NOISY])


def test_without_noisy_twins_clean_images_are_mapped(found):
    alone = map_latents(replace(found, noisy=np.full_like(found.noisy, np.nan)), model="net", neighbours=6)
    assert set(alone.kind) == {CLEAN, ATTACKED}


def test_a_turned_model_is_laid_onto_itself(found, mapped):
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(found.clean.shape[1],) * 2))[0].astype(np.float32)
    other = replace(
        found,
        clean=3 * found.clean @ turn,
        noisy=3 * found.noisy @ turn,
        attacked=3 * found.attacked @ turn,
        ids=found.ids,
    )
    turned = map_latents(other, model="other", neighbours=6)
    laid = lay_onto(mapped, replace(turned, examples=turned.examples[:0]))
    np.testing.assert_array_equal(laid.examples, mapped.examples)
    assert laid.disparity["flat"] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(laid.solid, mapped.solid, atol=1e-3 * np.abs(mapped.solid).max())
    np.testing.assert_allclose(laid.flat, mapped.flat, atol=1e-3 * np.abs(mapped.flat).max())
    strangers = replace(turned, ids=np.array([f"other {i}" for i in range(len(found.ids))]))
    with pytest.raises(InputError, match="share 0 points"):
        lay_onto(mapped, strangers)


@pytest.mark.slow  # its compiler takes half a minute
def test_umap_places_flips_too(found):
    pytest.importorskip("umap")
    mapped = map_latents(found, model="net", neighbours=6, others=("umap",))
    assert mapped.umap.shape == (len(mapped.kind), 2)
    assert np.isfinite(mapped.umap).all()
    assert mapped.quality["UMAP"]["trustworthiness"] > 0.7


def test_examples_follow_their_rule(found):
    chosen = chosen_examples(found, 2)
    moved = np.linalg.norm(found.attacked - found.clean, axis=1)
    pairs = found.true * 10 + found.attacked_class
    counts = {pair: (found.flipped & (pairs == pair)).sum() for pair in np.unique(pairs[found.flipped])}
    assert counts[pairs[chosen[0]]] == max(counts.values())
    same = moved[found.flipped & (pairs == pairs[chosen[0]])]
    assert moved[chosen[0]] == np.sort(same)[(len(same) - 1) // 2]


def test_what_cannot_be_mapped_is_refused(found):
    with pytest.raises(InputError, match=r"60 images are of one class \(elliptical\)"):
        map_latents(replace(found, true=np.ones_like(found.true)), model="net")
    with pytest.raises(InputError, match="more than 200 distinct points; there are 120"):
        map_latents(found, model="net", neighbours=200)
    named = map_latents(found, model="net", neighbours=6, images=["galaxy-7", "galaxy-2"])
    assert named.examples.tolist() == [7, 2]
    with pytest.raises(InputError, match="image 'm31' is not among the 60 images"):
        map_latents(found, model="net", images=["m31"])
    with pytest.raises(InputError, match="no map is called 'som'"):
        map_latents(found, model="net", others=("som",))
    broken = found.clean.copy()
    broken[3] = np.nan
    with pytest.raises(InputError, match="1 of 120 rows are not finite"):
        map_latents(replace(found, clean=broken), model="net")
