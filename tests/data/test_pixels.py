import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robustkit.data import pixels
from robustkit.data.pixels import moments, percentiles

QUANTILES = (0.0, 0.1, 12.5, 50.0, 99.9, 100.0)


@settings(max_examples=60)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 5), st.integers(1, 5)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_percentiles_are_those_of_numpy(images):
    expected = np.percentile(images.astype(np.float64).transpose(1, 0, 2, 3).reshape(images.shape[1], -1), QUANTILES, 1)
    np.testing.assert_allclose(percentiles(images, QUANTILES), expected, rtol=1e-12, atol=1e-45)


def test_percentiles_of_many_equal_values():
    images = np.zeros((3, 1, 10, 10), dtype=np.float32)
    images[0, 0, 0, :3] = (-2.0, -0.0, 7.0)
    assert percentiles(images, (0.0, 50.0, 100.0)) == ((-2.0,), (0.0,), (7.0,))


def test_block_size_changes_nothing(monkeypatch):
    images = np.random.default_rng(0).normal(0, 100, (50, 2, 7, 9)).astype(np.float32)
    whole = percentiles(images, QUANTILES), moments(images)
    monkeypatch.setattr(pixels, "BLOCK_BYTES", 2 * images[0].nbytes)
    assert len(list(pixels.blocks(images))) == 25
    assert percentiles(images, QUANTILES) == whole[0]
    np.testing.assert_allclose(moments(images), whole[1], rtol=1e-12)


def test_moments_are_those_of_numpy_in_float64():
    images = (np.random.default_rng(0).normal(0, 1, (40, 3, 8, 8)) + 1e4).astype(np.float32)
    mean, std = moments(images)
    np.testing.assert_allclose(mean, images.astype(np.float64).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, images.astype(np.float64).std((0, 2, 3)), rtol=1e-9)


def test_a_mapped_file_is_read_in_blocks_and_gives_the_same(tmp_path, monkeypatch):
    images = np.random.default_rng(1).normal(0, 3, (30, 2, 6, 6)).astype(np.float32)
    np.save(tmp_path / "a.npy", images)
    monkeypatch.setattr(pixels, "BLOCK_BYTES", images[0].nbytes)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert max(len(block) for block in pixels.blocks(mapped)) == 1
    assert percentiles(mapped, QUANTILES) == percentiles(images, QUANTILES)


@pytest.mark.parametrize("axis", [1, -1])
def test_strided_views_are_read_right(axis):
    images = np.random.default_rng(2).normal(0, 3, (5, 2, 6, 7)).astype(np.float32)
    view = np.moveaxis(np.ascontiguousarray(np.moveaxis(images, 1, axis)), axis, 1)
    assert percentiles(view, QUANTILES) == percentiles(images, QUANTILES)
