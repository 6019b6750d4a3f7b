import json

import numpy as np
import pytest
import torch

from robustkit.data import (
    STRETCHES,
    ArcsinhStretch,
    IdentityStretch,
    LuptonStretch,
    MeanStdStretch,
    MinMaxStretch,
    fit_stretch,
    stretch_from_json,
)
from robustkit.errors import InputError

NAMES = sorted(STRETCHES)


def galaxies(count: int = 12, seed: int = 0) -> np.ndarray:
    """Blobs of different colours and brightness on a sky of zero mean."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :24] - 11.5
    profile = np.exp(-np.hypot(x, y) / 3)
    flux = rng.uniform(50, 5000, (count, 3, 1, 1))
    return (flux * profile + rng.normal(0, 5, (count, 3, 24, 24))).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_torch_and_numpy_agree(name):
    images = galaxies()
    stretch = fit_stretch(name, images)
    seen = stretch(images)
    assert seen.dtype == np.float32
    assert seen.shape == images.shape
    as_tensor = stretch(torch.from_numpy(images))
    assert as_tensor.dtype == torch.float32
    np.testing.assert_allclose(as_tensor.numpy(), seen, rtol=2e-6, atol=2e-6)
    if stretch.invertible:
        np.testing.assert_allclose(
            stretch.inverse(torch.from_numpy(seen)).numpy(), stretch.inverse(seen), rtol=2e-5, atol=2e-3
        )


@pytest.mark.parametrize("name", [name for name in NAMES if STRETCHES[name].invertible])
def test_the_inverse_gives_back_what_was_not_clipped(name):
    images = galaxies().astype(np.float64)
    stretch = fit_stretch(name, images)
    back = stretch.inverse(stretch(images))
    kept = np.ones(images.shape, dtype=bool)
    if isinstance(stretch, ArcsinhStretch):
        low, high = (np.array(limits)[:, None, None] for limits in (stretch.low, stretch.high))
        kept = (images >= low) & (images <= high)
        assert 0.99 < kept.mean() < 1
        np.testing.assert_allclose(back[~kept], np.clip(images, low, high)[~kept], rtol=1e-9)
    np.testing.assert_allclose(back[kept], images[kept], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_leading_axes(name):
    images = galaxies()
    stretch = fit_stretch(name, images)
    np.testing.assert_array_equal(stretch(images[3]), stretch(images)[3])
    np.testing.assert_array_equal(stretch(images.reshape(3, 4, 3, 24, 24))[1, 2], stretch(images)[6])


@pytest.mark.parametrize("name", NAMES)
def test_json_gives_back_the_same_stretch(name):
    stretch = fit_stretch(name, galaxies())
    assert stretch_from_json(json.loads(json.dumps(stretch.to_json()))) == stretch


def test_the_papers_numbers():
    stretch = fit_stretch("arcsinh", galaxies())
    np.testing.assert_allclose(stretch(np.zeros((3, 1, 1))), 0.5)  # the sky
    brightest = stretch(np.full((3, 1, 1), 1e9))
    assert brightest.max() == pytest.approx((np.arcsinh(0.85) + 1) / 2)
    assert brightest.max() <= 0.886
    assert stretch(galaxies()).min() >= 0


def test_arcsinh_is_the_formula_of_numpy_and_of_astropy():
    images = galaxies()
    stretch = fit_stretch("arcsinh", images)
    low, high = np.percentile(images.transpose(1, 0, 2, 3).reshape(3, -1).astype(np.float64), (0.1, 99.9), axis=1)
    clipped = np.clip(images, low[:, None, None], high[:, None, None])
    np.testing.assert_allclose(stretch(images), (np.arcsinh(0.85 * clipped / high.max()) + 1) / 2, rtol=1e-6)
    visualization = pytest.importorskip("astropy.visualization")
    a = 1 / 0.85  # AsinhStretch(a) maps x to arcsinh(x / a) / arcsinh(1 / a)
    positive = np.clip(clipped / high.max(), 0, 1).astype(np.float64)
    expected = visualization.AsinhStretch(a)(positive) * np.arcsinh(1 / a)
    np.testing.assert_allclose(stretch(images.clip(0)), (expected + 1) / 2, rtol=1e-6)


def test_lupton_is_astropys_where_that_does_not_clip():
    lupton = pytest.importorskip("astropy.visualization.lupton_rgb")
    images = galaxies()[0].astype(np.float64)
    ours = LuptonStretch(minimum=(-20.0, -10.0, -30.0), softening=8.0, stretch=500.0)
    theirs = lupton.AsinhMapping([-20.0, -10.0, -30.0], stretch=500.0, Q=8)
    shifted = images - np.array(ours.minimum)[:, None, None]
    factor = theirs.map_intensity_to_uint8(shifted.mean(0))
    frac = 0.1  # astropy's slope at the origin, and its 255 levels
    scale = ours.softening * frac * 255 / np.arcsinh(frac * ours.softening)
    np.testing.assert_allclose(ours(images) * scale, shifted * factor, rtol=1e-9)


def test_lupton_keeps_colours_and_has_its_limit_at_zero():
    stretch = fit_stretch("lupton", galaxies())
    images = galaxies().astype(np.float64)
    shifted = images - np.array(stretch.minimum)[:, None, None]
    seen = stretch(images)
    np.testing.assert_allclose(seen[:, 0] * shifted[:, 2], seen[:, 2] * shifted[:, 0], rtol=1e-9, atol=1e-12)
    sky = np.array(stretch.minimum)[:, None, None]
    np.testing.assert_allclose(stretch(sky + 1e-7), np.full((3, 1, 1), 1e-7 / stretch.stretch), rtol=1e-3)


def test_lupton_has_finite_gradients_at_the_sky():
    stretch = LuptonStretch(minimum=(0.0,), softening=8.0, stretch=1.0)
    pixel = torch.zeros(1, 1, 1, requires_grad=True)
    stretch(pixel).sum().backward()
    assert pixel.grad is not None
    assert pixel.grad.item() == pytest.approx(1.0)


def test_meanstd_and_minmax_are_their_formulas():
    images = galaxies()
    seen = MeanStdStretch.fit(images)(images)
    np.testing.assert_allclose(seen.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(seen.std((0, 2, 3)), 1, rtol=1e-5)
    scaled = MinMaxStretch()(images)
    np.testing.assert_array_equal(scaled.min((1, 2, 3)), 0)
    np.testing.assert_array_equal(scaled.max((1, 2, 3)), 1)
    np.testing.assert_array_equal(MinMaxStretch()(np.full((1, 2, 4, 4), 7.0)), 0)
    assert IdentityStretch()(images) is images


def test_a_stretch_is_frozen_on_what_it_was_fitted_on():
    stretch = fit_stretch("arcsinh", galaxies())
    before = stretch.to_json()
    stretch(galaxies(seed=1) * 50)
    assert stretch.to_json() == before


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: fit_stretch("log", galaxies()), "unknown stretch 'log'; known are arcsinh, lupton"),
        (lambda: fit_stretch("arcsinh", galaxies(), q0=1), "has no setting q0; its settings are softening, q"),
        (lambda: fit_stretch("minmax", galaxies(), q=1), "its settings are none"),
        (lambda: fit_stretch("arcsinh", -galaxies().clip(1)), "needs pixels above zero"),
        (lambda: fit_stretch("lupton", np.ones((2, 1, 4, 4), np.float32)), "not constant"),
        (lambda: fit_stretch("meanstd", np.ones((2, 1, 4, 4), np.float32)), "std above 0"),
        (lambda: fit_stretch("arcsinh", galaxies())(galaxies()[:, :1]), r"fitted on 3 bands .* \(12, 1, 24, 24\)"),
        (lambda: MinMaxStretch().inverse(galaxies()), "cannot be inverted"),
        (lambda: stretch_from_json({"name": "meanstd", "mean": [1.0]}), "constants of the meanstd stretch do not fit"),
        (
            lambda: stretch_from_json({"name": "meanstd", "mean": [1.0], "std": ["x"]}),
            "expected finite numbers for std",
        ),
        (lambda: stretch_from_json({"name": ["arcsinh"]}), "unknown stretch"),
        (lambda: stretch_from_json([1]), "expected a stretch as a JSON object"),  # type: ignore[arg-type]
        (lambda: LuptonStretch((0.0,), 0.0, 1.0), "softening and stretch above 0"),
        (lambda: ArcsinhStretch((0.0,), (float("inf"),), 1.0), "expected finite numbers for high"),
    ],
)
def test_what_cannot_be_is_refused(act, message):
    with pytest.raises(InputError, match=message):
        act()
