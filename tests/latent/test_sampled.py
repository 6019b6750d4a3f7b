"""Sampled windows, against exact ones and against a boundary that is a circle."""

from __future__ import annotations

import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.latent.geometry import AffineHead
from robustkit.latent.sampled import sample_window
from robustkit.latent.windows import church_window


def _case(seed=0, dimension=16):
    rng = np.random.default_rng(seed)
    head = AffineHead(rng.normal(size=(3, dimension)), rng.normal(size=3))
    return head, *rng.normal(size=(3, dimension))


@pytest.mark.parametrize("orthogonal", [False, True])
def test_of_an_affine_head_it_is_the_exact_window(orthogonal):
    head, z, a, n = _case()
    exact = church_window(head, z, a, n, orthogonal=orthogonal)
    sampled = sample_window(head, z, a, n, orthogonal=orthogonal)
    x, y = np.meshgrid(sampled.ticks, sampled.ticks)
    np.testing.assert_array_equal(sampled.labels, exact.label(np.stack([x, y], axis=-1)))
    np.testing.assert_allclose(sampled.areas, exact.areas, atol=2e-3)
    np.testing.assert_allclose(sampled.lengths, exact.lengths)
    assert (sampled.predicted, sampled.cosine) == (exact.predicted, exact.cosine)


def test_a_curved_boundary_has_its_area():
    def ball(latents):  # class 1 within a radius of 0.8
        inside = 0.64 - (latents**2).sum(axis=1)
        return np.stack([-inside, inside], axis=1)

    axes = np.eye(5)
    window = sample_window(ball, np.zeros(5), axes[0], axes[3], extent=1.0, resolution=401)
    assert window.areas[1] == pytest.approx(np.pi * 0.64 / 4, abs=1e-3)
    assert window.predicted == 1
    assert window.labels[200, 200] == 1
    assert window.ticks[200] == 0


def test_rows_run_along_the_second_direction_and_batches_do_not_matter():
    head = AffineHead([[0.0, 1.0], [0.0, 0.0]], [-0.5, 0.0])  # class 0 where the second coordinate is above 0.5
    whole = sample_window(head, np.zeros(2), [1.0, 0.0], [0.0, 1.0], resolution=11)
    assert (whole.labels == np.where(whole.ticks > 0.5, 0, 1)[:, None]).all()
    parts = sample_window(head, np.zeros(2), [1.0, 0.0], [0.0, 1.0], resolution=11, batch=7)
    np.testing.assert_array_equal(parts.labels, whole.labels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resolution": 10}, "resolution is 10"),
        ({"extent": -1.0}, "extent is -1.0"),
        ({"base": np.zeros(3)}, "like the directions"),
        ({"along": np.zeros(16)}, "no length"),
    ],
)
def test_refusals(change, words):
    head, z, a, n = _case()
    with pytest.raises(InputError, match=words):
        sample_window(**{"head": head, "base": z, "along": a, "across": n, **change})
