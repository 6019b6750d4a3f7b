import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robustkit.data import pixels
from robustkit.data.checks import scan_images
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


def resident(name):
    """Bytes in memory of the mapped files whose names hold this, as Linux counts them."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = name in line
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1]) << 10
    return found


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """16 MiB in a file of its own, in blocks of 1 MiB."""
    monkeypatch.setattr(pixels, "BLOCK_BYTES", 1 << 20)
    values = np.random.default_rng(0).random((64, 1, 256, 256), dtype=np.float32)
    np.save(tmp_path / "rather-large.npy", values)
    return np.load(tmp_path / "rather-large.npy", mmap_mode="r"), values


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_of_a_mapped_set_no_more_than_a_block_is_in_memory(mapped):
    images, values = mapped
    most = 0
    for block in pixels.blocks(images):
        block.sum()
        most = max(most, resident("rather-large.npy"))
    assert 1 << 20 <= most <= 4 << 20  # a block, and what the kernel reads beside it
    assert resident("rather-large.npy") == 0
    scan_images(images)
    percentiles(images, QUANTILES)
    np.testing.assert_array_equal(pixels.picked(images, [3, 60]), values[[3, 60]])
    np.testing.assert_array_equal(pixels.picked(images, np.arange(64) == 5), values[5:6])
    assert resident("rather-large.npy") == 0
    np.testing.assert_array_equal(images, values)


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_what_was_written_into_a_mapped_set_stays(mode, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, 1, 64, 64), dtype=np.float32))
    images = np.load(tmp_path / "images.npy", mmap_mode=mode)
    images[1] = 3
    pixels.release(images[1:])
    pixels.release(np.asarray(images))
    assert (images[1] == 3).all()
    assert not images[0].any()
