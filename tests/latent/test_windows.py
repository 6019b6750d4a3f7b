"""Church windows, against the head itself on a grid, and the canonical plane of three classes."""

from __future__ import annotations

import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.latent.geometry import AffineHead, crossings, margins
from robustkit.latent.windows import canonical_window, church_window


def _case(seed=0, dimension=32, classes=3):
    rng = np.random.default_rng(seed)
    head = AffineHead(rng.normal(size=(classes, dimension)), rng.normal(size=classes))
    return head, *rng.normal(size=(3, dimension))


@pytest.mark.parametrize("orthogonal", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_window_is_the_head_on_its_plane(classes, orthogonal):
    head, z, a, n = _case(classes=classes)
    window = church_window(head, z, a, n, extent=1.3, orthogonal=orthogonal)
    if orthogonal:
        n = (n - a * (a @ n) / (a @ a)) * np.linalg.norm(n) / np.linalg.norm(n - a * (a @ n) / (a @ a))
    x, y = np.meshgrid(np.linspace(-1.3, 1.3, 101), np.linspace(-1.3, 1.3, 101))
    expected = head(z + x[..., None] * a + y[..., None] * n).argmax(axis=-1)
    np.testing.assert_array_equal(window.label(np.stack([x, y], axis=-1)), expected)
    np.testing.assert_allclose(window.areas, np.bincount(expected.ravel(), minlength=classes) / 101**2, atol=0.02)
    assert window.areas.sum() == pytest.approx(1)
    assert window.predicted == expected[50, 50]


def test_crossings_of_the_axes_lie_on_boundaries_of_the_picture():
    for seed in range(20):
        head, z, a, n = _case(seed)
        window = church_window(head, z, a, n, extent=50)
        for axis in (0, 1):
            t = window.crossing[axis]
            if t < 50:
                point = np.zeros(2)
                point[axis] = t
                logits = window.constant + window.slopes @ point
                assert logits[window.predicted] == pytest.approx(logits[window.crossing_to[axis]])
        np.testing.assert_allclose(window.crossing, crossings(head, [z, z], [a, n]).t)


def test_the_margin_of_the_plane_is_a_distance_in_it_and_never_below_the_true_one():
    gaps = []
    for seed in range(30):
        head, z, a, n = _case(seed, dimension=256)
        window = church_window(head, z, a, n)
        axes = np.linalg.qr(np.stack([a, n], axis=1))[0]
        turn = np.linspace(0, 2 * np.pi, 3000, endpoint=False)
        ways = np.stack([np.cos(turn), np.sin(turn)], axis=1) @ axes.T
        around = crossings(head, np.tile(z, (len(ways), 1)), ways).t
        assert window.plane_margin == pytest.approx(around.min(), rel=1e-4)
        assert window.true_margin == margins(head, z[None]).distance[0] <= window.plane_margin
        gaps.append(window.plane_margin / window.true_margin)
    assert np.median(gaps) > 3  # a slice overstates the room there is


def test_a_window_is_the_same_in_other_coordinates_of_the_latent():
    head, z, a, n = _case()
    change = np.random.default_rng(9).normal(size=(32, 32))
    other = AffineHead(head.weight @ np.linalg.inv(change), head.bias)
    one, two = church_window(head, z, a, n), church_window(other, change @ z, change @ a, change @ n)
    np.testing.assert_allclose(one.areas, two.areas, rtol=1e-6)
    np.testing.assert_allclose(one.crossing, two.crossing, rtol=1e-6)
    for left, right in zip(one.regions, two.regions, strict=True):
        np.testing.assert_allclose(left.vertices, right.vertices, atol=1e-7)


def test_angles_and_lengths_are_reported():
    head, z, a, _ = _case()
    window = church_window(head, z, a, a + np.linalg.norm(a) * np.eye(32)[0] * 2)
    n = a + np.linalg.norm(a) * np.eye(32)[0] * 2
    assert window.cosine == pytest.approx(a @ n / np.linalg.norm(a) / np.linalg.norm(n))
    np.testing.assert_allclose(window.lengths, [np.linalg.norm(a), np.linalg.norm(n)])
    turned = church_window(head, z, a, n, orthogonal=True)
    assert turned.cosine == 0.0
    np.testing.assert_allclose(turned.lengths, window.lengths)
    assert turned.plane_margin == pytest.approx(window.plane_margin)  # the same plane


def test_canonical_window_shows_every_latent_in_its_class_at_its_true_margin():
    head, *_ = _case(dimension=64)
    latents = np.random.default_rng(1).normal(0, 2, size=(300, 64))
    window = canonical_window(head, latents)
    whole = margins(head, latents)
    np.testing.assert_array_equal(window.predicted, whole.predicted)
    # The distance to the drawn segments is the margin, where the nearest boundary lies inside the picture.
    starts, ends = (np.stack([b.ends[i] for b in window.boundaries]) for i in (0, 1))
    edge = ends - starts
    along = ((window.coordinates[:, None] - starts) * edge).sum(axis=2) / (edge**2).sum(axis=1)
    nearest = starts + np.clip(along, 0, 1)[..., None] * edge
    drawn = np.linalg.norm(window.coordinates[:, None] - nearest, axis=2).min(axis=1)
    inside = np.minimum(window.coordinates - window.low, window.high - window.coordinates).min(axis=1) > whole.distance
    assert inside.sum() > 100
    np.testing.assert_allclose(drawn[inside], whole.distance[inside], rtol=1e-9)
    assert (drawn >= whole.distance * (1 - 1e-9)).all()
    np.testing.assert_allclose(window.margin, whole.distance)


def test_canonical_regions_are_the_head_on_a_grid():
    head, *_ = _case(dimension=16)
    latents = np.random.default_rng(1).normal(0, 2, size=(100, 16)) + 500.0  # far from 0
    window = canonical_window(head, latents)
    x, y = (np.linspace(low, high, 402)[1:-1] for low, high in zip(window.low, window.high, strict=True))
    plane = np.stack(np.meshgrid(x, y), axis=-1)
    offset = latents.mean(axis=0) - window.basis @ (window.basis.T @ latents.mean(axis=0))
    labels = head(plane @ window.basis.T + offset).argmax(axis=-1)
    counted = np.bincount(labels.ravel(), minlength=3) / labels.size
    areas = np.zeros(3)
    areas[[r.label for r in window.regions]] = [r.area for r in window.regions]
    np.testing.assert_allclose(areas, counted, atol=5e-3)


def test_one_latent_has_a_canonical_window():
    head, z, *_ = _case()
    window = canonical_window(head, z[None])
    assert (window.high > window.low).all()
    assert sum(region.area for region in window.regions) == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"across": np.zeros(32)}, "second direction has no length"),
        ({"along": np.zeros(32)}, "first direction has no length"),
        ({"across": 3 * _case()[2] + 1e-6}, "parallel"),
        ({"across": np.ones(31)}, "vectors of one length"),
        ({"across": np.full(32, np.nan)}, "not all finite"),
        ({"base": np.zeros(31)}, "31"),
        ({"extent": 0.0}, "extent is 0.0"),
    ],
)
def test_refusals(change, words):
    head, z, a, n = _case()
    with pytest.raises(InputError, match=words):
        church_window(**{"head": head, "base": z, "along": a, "across": n, **change})


def test_a_head_that_does_not_decide_on_a_plane_has_no_canonical_window():
    for classes, dimensions in ((2, 1), (5, 4)):
        head, z, *_ = _case(classes=classes)
        with pytest.raises(InputError, match=f"decides in {dimensions} dimensions"):
            canonical_window(head, z[None])
    head, *_ = _case()
    with pytest.raises(InputError, match="at least one latent"):
        canonical_window(head, np.zeros((0, 32)))


@pytest.mark.parametrize(("resolution", "classes"), [(221, 3), (40, 2), (51, 7)])
def test_the_grid_of_a_window_is_the_head_at_the_middles_of_its_cells(resolution, classes):
    head, z, a, n = _case(3, classes=classes)
    window = church_window(head, z, a, n, extent=1.3)
    edges = np.linspace(-1.3, 1.3, resolution + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    points = np.stack(np.meshgrid(middles, middles), axis=-1)
    logits = head(z + points[..., :1] * a + points[..., 1:] * n)
    clear = np.diff(np.sort(logits, axis=-1)[..., -2:], axis=-1)[..., 0] > 1e-9
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(window.grid(resolution)[clear], logits.argmax(axis=-1)[clear])
