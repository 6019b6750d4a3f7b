"""ReLU heads on planes and lines, against the head itself."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.latent.cells import relu_cells, relu_crossing
from robustkit.latent.geometry import AffineHead
from robustkit.latent.heads import ReLUHead
from robustkit.latent.relu_windows import relu_window
from robustkit.latent.windows import church_window


def relu_head(seed=0, sizes=(10, 16, 8, 3)):
    rng = np.random.default_rng(seed)
    pairs = list(pairwise(sizes))
    weights = tuple(rng.normal(0, 1.4 / np.sqrt(before), (after, before)) for before, after in pairs)
    return ReLUHead(weights, tuple(rng.normal(0, 0.4, after) for _, after in pairs))


def case(seed=0, sizes=(10, 16, 8, 3)):
    return relu_head(seed, sizes), *np.random.default_rng(seed + 100).normal(size=(3, sizes[0]))


def label(regions, points, classes=3):
    found = np.full(len(points), -1)
    for region in regions:
        edge = np.roll(region.vertices, -1, axis=0) - region.vertices
        away = points[:, None] - region.vertices
        inside = (edge[:, 0] * away[..., 1] - edge[:, 1] * away[..., 0] > 0).all(axis=1)
        assert (found[inside] == -1).all()  # regions do not overlap
        found[inside] = region.label
    return found


@pytest.mark.parametrize("sizes", [(10, 16, 3), (10, 16, 8, 3), (10, 12, 12, 12, 2)])
def test_the_logits_are_affine_on_every_cell_and_the_cells_fill_the_box(sizes):
    head, z, a, n = case(1, sizes)
    low, high = np.array([-2.0, -1.0]), np.array([1.0, 3.0])
    cells = relu_cells(head, z, np.stack([a, n], axis=1), low, high)
    assert len(cells) > 10
    rng = np.random.default_rng(0)
    area = 0.0
    for cell in cells:
        x, y = cell.vertices.T
        area += (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
        points = rng.dirichlet(np.ones(len(cell.vertices)), 5) @ cell.vertices
        expected = head(z + points[:, :1] * a + points[:, 1:] * n)
        np.testing.assert_allclose(points @ cell.slopes.T + cell.constant, expected, atol=1e-9)
    assert area == pytest.approx(12, rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_a_window_is_the_head_on_its_plane(seed):
    head, z, a, n = case(seed)
    window = relu_window(head, z, a, n, extent=2)
    points = np.random.default_rng(seed).uniform(-2, 2, (3000, 2))
    logits = head(z + points[:, :1] * a + points[:, 1:] * n)
    clear = np.diff(np.sort(logits, axis=1)[:, -2:], axis=1)[:, 0] > 1e-9
    found = label(window.regions, points)
    assert (found >= 0).mean() > 0.999  # but for points on an edge
    np.testing.assert_array_equal(found[clear & (found >= 0)], logits.argmax(axis=1)[clear & (found >= 0)])
    assert window.areas.sum() == pytest.approx(1, abs=1e-12)
    assert window.disc.sum() == pytest.approx(1, abs=1e-12)
    assert window.predicted == head(z).argmax()
    assert np.isnan(window.true_margin)


def test_boundaries_are_where_two_classes_tie_and_win():
    total = 0
    for seed in range(6):
        head, z, a, n = case(seed)
        window = relu_window(head, z, a, n, extent=2)
        for boundary in window.boundaries:
            middle = boundary.ends.mean(axis=0)
            logits = head(z + middle[0] * a + middle[1] * n)
            i, j = boundary.classes
            assert logits[i] == pytest.approx(logits[j], abs=1e-8)
            assert max(logits[i], logits[j]) == pytest.approx(logits.max(), abs=1e-8)
            total += 1
    assert total > 20


def test_crossings_are_the_first_change_of_class():
    crossed = 0
    for seed in range(30):
        head, z, a, _ = case(seed)
        t, to = relu_crossing(head, z, a)
        steps = np.linspace(0, 40, 200_001)
        labels = head(z + steps[:, None] * a).argmax(axis=1)
        other = np.flatnonzero(labels != labels[0])
        if len(other):
            crossed += 1
            assert t == pytest.approx(steps[other[0]], abs=4e-4)
            if t < steps[other[0]] - 1e-9:
                assert to == head(z + (t + 1e-7) * a).argmax()
        else:
            assert t > 40
    assert crossed > 10


def test_a_head_whose_neurons_are_all_on_is_an_affine_one():
    seen = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        first, second, bias = rng.normal(size=(6, 4)), rng.normal(size=(3, 6)), rng.normal(size=3)
        head = ReLUHead((first, second), (np.full(6, 1e3), second @ np.full(6, -1e3) + bias))
        z, a, n = rng.normal(size=(3, 4))
        exact = church_window(AffineHead(second @ first, bias), z, a, n)
        window = relu_window(head, z, a, n)
        assert window.cells == 1
        np.testing.assert_allclose(window.areas, exact.areas, atol=1e-9)
        np.testing.assert_allclose(window.disc, exact.disc, atol=1e-9)
        near = exact.crossing < 1.1  # far out a neuron goes off
        np.testing.assert_allclose(window.crossing[near], exact.crossing[near], rtol=1e-9)
        if near.any() and exact.plane_margin < 0.5 * exact.lengths.min():
            assert window.plane_margin == pytest.approx(exact.plane_margin, rel=1e-6)
            seen += 1
    assert seen > 1


def test_the_margin_of_the_plane_is_the_distance_to_the_nearest_change():
    head, z, a, n = case(2)
    window = relu_window(head, z, a, n, extent=3)
    frame = np.linalg.qr(np.stack([a, n], axis=1))[0]
    turn = np.linspace(0, 2 * np.pi, 1500, endpoint=False)
    around = min(relu_crossing(head, z, frame @ [np.cos(t), np.sin(t)])[0] for t in turn)
    assert window.plane_margin == pytest.approx(around, rel=1e-3)


def test_refusals():
    head, z, a, n = case()
    with pytest.raises(InputError, match="9 dimensions; the head takes 10"):
        relu_window(head, z[:9], a[:9], n[:9])
    with pytest.raises(InputError, match="parallel"):
        relu_window(head, z, a, a)
    with pytest.raises(InputError, match="extent is 0"):
        relu_window(head, z, a, n, extent=0)
