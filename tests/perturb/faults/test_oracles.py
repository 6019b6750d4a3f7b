"""Perturbations against independent implementations, and against the physics that they stand for."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from robustkit.data import ArcsinhStretch, ImageSet
from robustkit.data.simulate import expose
from robustkit.data.survey import LSST, Depth
from robustkit.errors import InputError
from robustkit.perturb.conditions import INVERTED, calibrated, conditions_of
from robustkit.perturb.faults.cosmic_ray import CosmicRay
from robustkit.perturb.faults.cti import ChargeTransfer
from robustkit.perturb.faults.dead_pixel import DeadPixel
from robustkit.perturb.faults.distance import Distance
from robustkit.perturb.faults.exposure import Exposure
from robustkit.perturb.faults.fits_compression import HCompress, Rice
from robustkit.perturb.faults.hot_pixel import HotPixel
from robustkit.perturb.faults.psf import FWHM_PER_SIGMA, PSFBlur
from robustkit.perturb.faults.registration import Rotation, fourier_shift
from robustkit.perturb.faults.saturation import Saturation, bleed
from robustkit.seeds import Streams
from robustkit.testing import example_conditions, example_images

TEN = Depth(LSST, 10, 10)


def image_set(images, **changes):
    ids = np.array([f"galaxy-{i}" for i in range(len(images))])
    labels = np.zeros(len(images), dtype=np.int64)
    fields = {"units": "electron", "meta": TEN.meta()} | changes
    return ImageSet(images, labels, ("spiral",), ("g", "r", "i"), ids, **fields)


def test_conditions_are_what_the_survey_declares():
    read, made = conditions_of(image_set(np.zeros((1, 3, 8, 8), np.float32))), example_conditions()
    for name in ("scale", "sky", "visits", "read_noise", "exposure", "zero_point", "seeing", "full_well"):
        np.testing.assert_allclose(getattr(read, name), getattr(made, name))
    np.testing.assert_allclose(read.background, [TEN.background(band) for band in LSST.bands])
    assert read.pixel_scale == 0.2
    assert read.origin == "declared"


def test_images_without_units_are_refused_with_what_to_do():
    for changes, words in (
        ({"units": "display"}, "units of these are display; declare the units"),
        ({"units": "unknown"}, "or use --suite plain"),
        ({"meta": {"scale": 1.0}}, "does not declare sky_electron"),
        ({"meta": TEN.meta() | {"visits": {"g": 80}}}, "one for each of g, r, i"),
    ):
        with pytest.raises(InputError, match=words):
            conditions_of(image_set(np.zeros((1, 3, 8, 8), np.float32), **changes))


def test_stretched_images_are_inverted_and_marked():
    images = example_images().numpy()
    stretch = ArcsinhStretch(low=(-1e6,) * 3, high=(1e6,) * 3, c=1e-3)
    seen = image_set(stretch(images), stretch=stretch)
    found = calibrated(seen)
    np.testing.assert_allclose(found.images, images, rtol=1e-4, atol=0.01)
    assert found.stretch is None
    assert conditions_of(found).origin == conditions_of(seen).origin == INVERTED


def test_a_tenth_of_ten_years_has_the_moments_of_the_simulated_first_year():
    rate = np.full((3, 64, 64), 2.0)  # electrons per second of source
    rate[:, :32] = 0.0
    ten, one = (
        np.stack([expose(rate, Depth(LSST, years, 10), np.random.default_rng([years, i])) for i in range(12)])
        for years in (10, 1)
    )
    streams = Streams(0, [str(i) for i in range(12)])
    made = Exposure(0.1)(torch.from_numpy(ten), conditions=example_conditions(), streams=streams).numpy()
    for half in (slice(0, 32), slice(32, 64)):
        for band in range(3):
            a, b = made[:, band, half].ravel().astype(float), one[:, band, half].ravel().astype(float)
            assert abs(a.mean() - b.mean()) < 4 * math.sqrt((a.var() + b.var()) / len(a))
            assert abs(a.var() - b.var()) < 4 * math.sqrt(2 / len(a)) * math.hypot(a.var(), b.var())


def test_blur_is_galsims():
    galsim = pytest.importorskip("galsim")
    images = example_images().double()
    blurred = PSFBlur(0.714, restore_noise=False)(images, conditions=example_conditions(), streams=Streams(0, "abcd"))
    sigma = 0.714 / FWHM_PER_SIGMA / 0.2
    profile = galsim.InterpolatedImage(
        galsim.Image(images[0, 2].numpy(), scale=1.0), x_interpolant="lanczos15", normalization="flux"
    )
    drawn = galsim.Convolve(profile, galsim.Gaussian(sigma=sigma)).drawImage(nx=32, ny=32, scale=1.0, method="no_pixel")
    np.testing.assert_allclose(blurred[0, 2].numpy(), drawn.array, atol=2e-3 * float(images.max()))


def test_blur_gives_back_the_noise_that_it_takes():
    conditions = example_conditions()
    sigma = torch.as_tensor(np.sqrt(conditions.background))[:, None, None]
    noise = sigma * torch.from_numpy(np.random.default_rng(0).standard_normal((16, 3, 32, 32)))
    streams = Streams(0, [str(i) for i in range(16)])
    made = PSFBlur(0.975)(noise, conditions=conditions, streams=streams) / sigma
    assert float(made.var()) == pytest.approx(1, abs=4 * math.sqrt(2 / made.numel()) + 0.01)
    neighbours = (made[..., 1:] * made[..., :-1]).mean()
    assert abs(float(neighbours)) < 0.03  # white again; a blur alone would leave about 0.9
    smooth = PSFBlur(0.975, restore_noise=False)(noise, conditions=conditions, streams=streams) / sigma
    assert float(smooth.var()) < 0.1


def test_defects_are_as_large_as_they_say():
    conditions, images = example_conditions(), torch.zeros(5, 3, 16, 16)

    def streams():
        return Streams(3, "abcde")

    hot = HotPixel(20.0)(images, conditions=conditions, streams=streams())
    assert (hot != 0).flatten(1).sum(1).tolist() == [1] * 5
    torch.testing.assert_close(hot.flatten(1).amax(1), torch.full((5,), 20.0 * 30))  # one visit of 30 s
    dead = DeadPixel(1.0, visits=None, band="r")(images, conditions=conditions, streams=streams())
    torch.testing.assert_close(dead.flatten(1).amin(1), torch.full((5,), -float(conditions.sky[1])))
    full = HotPixel(1e5, visits=None, band="all")(images, conditions=conditions, streams=streams())
    most = torch.as_tensor(conditions.full_well * conditions.visits - conditions.sky).float()
    torch.testing.assert_close(full.amax((2, 3)), most.expand(5, 3))
    with pytest.raises(InputError, match="unknown band 'z'"):
        HotPixel(20.0, band="z")(images, conditions=conditions, streams=streams())


def test_a_track_keeps_its_charge():
    images = torch.zeros(64, 3, 400, 40)
    track = CosmicRay(8.0)(images, conditions=example_conditions(), streams=Streams(0, [str(i) for i in range(64)]))
    charge = track.sum((1, 2, 3))
    assert float(charge.max()) == pytest.approx(8 * 1243, rel=1e-4)
    assert float((charge > 8 * 1243 * 0.999).float().mean()) > 0.6  # the others cross an edge


def test_bleeding_keeps_charge_and_fills_the_nearest_room():
    column = torch.zeros(1, 1, 11, 1, dtype=torch.float64)
    column[0, 0, 5] = 7.0
    assert bleed(column, torch.tensor([[[2.0]]], dtype=torch.float64))[0, 0, :, 0].tolist() == [
        *(0, 0, 0, 0.5, 2, 2, 2, 0.5, 0, 0, 0)
    ]
    rng = np.random.default_rng(0)
    charge = torch.from_numpy(rng.uniform(0, 3, (3, 2, 60, 5)))
    charge[:, :, 28:31] += 9
    held = bleed(charge, torch.full((2, 1, 1), 4.0, dtype=torch.float64))
    torch.testing.assert_close(held.sum(2), charge.sum(2))
    assert float(held.max()) <= 4.0 + 1e-12


def test_a_star_saturates_near_magnitude_16_in_r():
    conditions, images = example_conditions(), torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    well = conditions.full_well[1] * conditions.visits[1] - conditions.sky[1]
    peak = {
        m: float(Saturation(m)(images, conditions=conditions, streams=Streams(0, "a"))[0, 1].max()) / well
        for m in (17.4, 15.4)
    }
    assert peak[17.4] < 0.9
    assert peak[15.4] == pytest.approx(1.0)


def test_a_star_is_galsims_moffat():
    galsim = pytest.importorskip("galsim")
    conditions, size = example_conditions(), 41
    images = torch.zeros(1, 3, size, size, dtype=torch.float64)
    made = Saturation(21.0)(images, conditions=conditions, streams=Streams(2, "a"))[0]
    row, column = Streams(2, "a").uniform(2)[0]
    for band, seeing in enumerate(conditions.seeing):
        flux = (
            conditions.zero_point[band] * conditions.exposure[band] * 10 ** (-0.4 * (21 - 24)) * conditions.scale[band]
        )
        star = galsim.Moffat(beta=4.765, fwhm=seeing / conditions.pixel_scale, flux=flux)
        place = galsim.PositionD(float(column) * size + 0.5, float(row) * size + 0.5)  # the first pixel is 1
        drawn = star.drawImage(galsim.ImageD(size, size), scale=1.0, center=place, method="no_pixel")
        np.testing.assert_allclose(made[band].numpy(), drawn.array, atol=2e-3 * float(made.max()))


def test_transfers_are_the_power_of_one_transfer():
    level, transfers, size = 2e-4, 2000, 40
    one = np.eye(size) * (1 - level) + np.eye(size, k=-1) * level
    column = np.zeros(size)
    column[5] = 1000.0
    expected = np.linalg.matrix_power(one, transfers) @ column
    image = torch.from_numpy(column)[None, None, :, None].expand(1, 1, size, 2)
    made = ChargeTransfer(level)(image, streams=Streams(0, "a"))
    np.testing.assert_allclose(made[0, 0, :, 0].numpy(), expected, atol=1e-9)
    assert made[0, 0, 5, 0] / 1000 == pytest.approx(math.exp(-0.4), rel=1e-3)


def test_shifts_are_scipys_and_turns_are_exact_at_a_right_angle():
    images = example_images(n=1).double()
    made = fourier_shift(images, torch.full((1, 3), 0.7).double(), torch.full((1, 3), -1.3).double())
    expected = np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(images[0, 1].numpy()), (0.7, -1.3))).real
    np.testing.assert_allclose(made[0, 1].numpy(), expected, atol=5e-6 * float(images.max()))
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.standard_normal((1, 3, 12, 12)))
    turned = Rotation(90.0)(noise, streams=Streams(0, "a"))
    torch.testing.assert_close(turned, torch.rot90(noise, -1, (2, 3)), atol=1e-6, rtol=0)


def test_a_farther_gaussian_is_the_gaussian_that_it_must_be():
    conditions = replace(example_conditions(), sky=np.zeros(3), read_noise=np.zeros(3))
    place = torch.arange(64, dtype=torch.float64) - 31.5
    squared = place[:, None] ** 2 + place**2
    sigma, d = 6.0, 2.0
    image = torch.exp(-squared / (2 * sigma**2)).expand(1, 3, 64, 64)
    made = Distance(d)(image, conditions=conditions, streams=Streams(0, "a"))
    for band, seeing in enumerate(conditions.seeing):
        psf = seeing / FWHM_PER_SIGMA / 0.2
        # Its own size shrinks, its seeing does not, and its flux falls by d^2.
        width = (sigma**2 - psf**2) / d**2 + psf**2
        expected = sigma**2 / d**2 / width * torch.exp(-squared / (2 * width))
        torch.testing.assert_close(made[0, band], expected, atol=4e-3, rtol=0)  # bicubic
    dimmed = Distance(d, redshift=0.5)(image, conditions=conditions, streams=Streams(0, "a"))
    torch.testing.assert_close(dimmed, made / 1.5**4)
    with pytest.raises(InputError, match="redshift must be at least 0"):
        Distance(d, redshift=-1.0)


def test_a_farther_image_has_the_noise_of_the_nearer_one():
    conditions = example_conditions()
    sigma = torch.as_tensor(np.sqrt(conditions.background))[:, None, None]
    noise = sigma * torch.from_numpy(np.random.default_rng(0).standard_normal((16, 3, 48, 48)))
    for level, redshift in ((1.25, 0.0), (2.0, 0.0), (1.25, 0.3)):
        made = (
            Distance(level, redshift=redshift)(
                noise, conditions=conditions, streams=Streams(0, [str(i) for i in range(16)])
            )
            / sigma
        )
        assert float(made.var()) == pytest.approx(1, abs=0.03)
        assert float(made[..., 20:28, 20:28].var()) == pytest.approx(1, abs=0.1)


def test_compression_leaves_the_noise_of_its_steps():
    pytest.importorskip("astropy")
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 113, (2, 1, 100, 100)).astype(np.float32))
    for kind in (Rice, HCompress):
        error = kind(0.5)(noise, streams=Streams(0, "ab")) - noise
        assert float(error.std()) / 113 == pytest.approx(0.5 / math.sqrt(12), rel=0.1)
        assert float(error.abs().max()) < 0.75 * 0.5 * 113  # the noise is measured tile by tile
