import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import binomtest

from robustkit.report.attack_figures import (
    RING,
    FlipPicture,
    composite,
    draw_flip,
    draw_flip_curves,
    flip_curve,
)


def test_curve_counts_the_flips_within_each_number_of_queries():
    curve = flip_curve("de", np.array([3.0, np.inf, 3.0, 40.0, np.inf]), 100)
    assert curve.queries.tolist() == [1, 3, 40, 100]
    assert curve.rate.tolist() == [0, 0.4, 0.6, 0.6]
    assert curve.n == 5
    for place, k in enumerate((0, 2, 3, 3)):
        interval = binomtest(k, 5).proportion_ci(method="wilson")
        np.testing.assert_allclose((curve.low[place], curve.high[place]), interval, atol=1e-12)


def test_curves_of_nothing_can_be_drawn():
    curves = [flip_curve("de", np.array([np.inf]), 10), flip_curve("random", np.array([]), 1)]
    figure = Figure()
    draw_flip_curves(curves, figure.subplots())
    figure.canvas.draw()


def test_baseline_lies_beneath_and_is_named():
    curves = [flip_curve(name, np.array([2.0, 5.0, np.inf]), 10) for name in ("de", "random", "auto")]
    ax = draw_flip_curves(curves, Figure().subplots())
    assert [line.get_label() for line in ax.get_lines()] == ["random (baseline)", "de", "auto"]
    assert ax.get_lines()[0].get_linestyle() == "--"
    assert len({line.get_color() for line in ax.get_lines()}) == 3


def picture(bands=("g", "r", "i"), size=(20, 30)):
    clean = np.random.default_rng(0).normal(0.4, 0.02, (len(bands), *size)).astype(np.float32)
    perturbed = clean.copy()
    perturbed[0, 12, 25] = 0.9
    return FlipPicture(clean, perturbed, (12,), (25,), bands, "spiral, p = 0.8", "merger, p = 0.6", "galaxy")


def test_the_ring_is_round_the_pixel_and_can_be_seen():
    figure = draw_flip(picture(), Figure(figsize=(11.5, 4.2), layout="constrained", dpi=80))
    clean, perturbed, difference = figure.axes[:3]
    assert not clean.patches
    for ax in (perturbed, difference):
        assert {patch.center for patch in ax.patches} == {(25, 12)}
    assert [ax.get_title() for ax in (clean, perturbed)] == ["spiral, p = 0.8", "merger, p = 0.6"]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    ring = np.array([int(RING[i : i + 2], 16) for i in (1, 3, 5)])
    near = (np.abs(pixels - ring).max(2) < 30).nonzero()
    # The ring stands where matplotlib puts (25, 12) of the middle panel.
    x, y = perturbed.transData.transform((25, 12))
    y = pixels.shape[0] - y
    away = np.hypot(near[1] - x, near[0] - y)
    assert (away < 40).sum() > 60
    np.testing.assert_array_equal(
        difference.images[0].get_array()[12, 25], picture().perturbed[0, 12, 25] - picture().clean[0, 12, 25]
    )


@pytest.mark.parametrize(("bands", "shape"), [(("g",), (4, 5)), (("a", "b"), (4, 5)), (("g", "r", "i"), (4, 5, 3))])
def test_any_number_of_bands_can_be_shown(bands, shape):
    image = np.random.default_rng(0).uniform(size=(len(bands), 4, 5))
    assert composite(image, bands).shape == shape
    figure = draw_flip(picture(bands), Figure())
    figure.canvas.draw()


def test_filters_are_shown_blue_to_red_and_pictures_as_they_are():
    image = np.random.default_rng(0).uniform(size=(3, 4, 5))
    assert np.array_equal(composite(image, ("g", "r", "i"))[..., 0], image[2])
    assert np.array_equal(composite(image, ("red", "green", "blue"))[..., 0], image[0])
    assert np.array_equal(composite(image, ("i", "r", "g"))[..., 0], image[0])
