"""Windows against the layers themselves: which outputs change is found by changing inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from robustkit.engine.windows import Crop, Maps, Place, Reach, Slide, Where


@st.composite
def slides(draw):
    kernel, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    slide = Slide(kernel, draw(st.integers(1, 4)), draw(st.integers(0, 4)), dilation)
    size = draw(st.integers(max(1, slide.reach + 1 - 2 * slide.padding), 20))
    return slide, size


@settings(deadline=None, max_examples=60)
@given(slides(), st.integers(1, 3))
def test_reach_of_a_layer_is_what_changes(drawn, box):
    slide, size = drawn
    box = min(box, size)
    positions = size - box + 1
    changed = torch.zeros(positions, 1, size)
    for position in range(positions):
        changed[position, 0, position : position + box] = 1.0
    ones = torch.ones(1, 1, slide.kernel)
    out = functional.conv1d(changed, ones, None, slide.stride, slide.padding, slide.dilation)[:, 0] > 0

    reach = Reach.of_pixels(size, box).slide(slide, out.shape[1])

    for position in range(positions):
        cells = out[position].nonzero().flatten().tolist()
        first, last = reach.first[position], reach.last[position]
        assert 0 <= first <= last < out.shape[1]
        if cells and slide.dilation == 1:
            assert (first, last) == (cells[0], cells[-1])
        elif cells:  # a dilated layer leaves gaps, which may lie at the end of a map
            assert first <= cells[0] <= cells[-1] <= last


@settings(deadline=None, max_examples=60)
@given(slides(), st.integers(1, 3), st.integers(1, 4))
def test_places_lie_inside_and_hold_every_change(drawn, box, bands):
    slide, size = drawn
    box = min(box, size)
    outputs = (size + 2 * slide.padding - slide.reach - 1) // slide.stride + 1
    reach = Reach.of_pixels(size, box).slide(slide, outputs)
    for band in np.array_split(np.arange(size - box + 1), bands):
        if len(band):
            place = reach.place(slice(band[0], band[-1] + 1))
            assert (place.start >= 0).all()
            assert (place.start + place.extent <= outputs).all()
            assert (place.start[band] <= reach.first[band]).all()
            assert (place.start[band] + place.extent > reach.last[band]).all()


def test_union_holds_both():
    one = Reach(9, np.array([0, 4]), np.array([2, 5]))
    other = Reach(9, np.array([1, 2]), np.array([1, 7]))
    union = one.union(other)
    assert union.first.tolist() == [0, 2]
    assert union.last.tolist() == [2, 7]
    assert union.extent(slice(0, 1)) == 3


@pytest.mark.parametrize("moving", [False, True], ids=["one offset", "offsets of their own"])
@pytest.mark.parametrize("shift", [-2, 0, 1], ids=["hangs out before", "inside", "hangs out behind"])
def test_region_is_the_clean_map_with_the_window_over_it(moving, shift):
    generator = torch.Generator().manual_seed(0)
    n, c, size, margin, positions = 3, 2, 9, 3, 5
    clean = torch.rand(n, c, size, size, generator=generator)
    padded = functional.pad(clean, (margin,) * 4, value=-1.0)
    maps = Maps(padded.permute(0, 2, 3, 1).reshape(-1, c).contiguous(), size + 6, size + 6, margin, margin)
    start = np.arange(positions)
    window = Place(size, start, 3)
    region = Place(size, (start if not moving else start // 2) - shift, 4)
    cut = Crop(region, region, window=(window, window), bands=(slice(0, 5), slice(0, 5)), device=clean.device)
    slot, row, column = torch.tensor([2, 0, 1, 2]), torch.tensor([0, 4, 2, 3]), torch.tensor([4, 0, 1, 3])
    windows = torch.rand(4, c, 3, 3, generator=generator)

    answer = cut(maps, windows, Where(slot, row, column))

    for i in range(4):
        whole = padded[slot[i]].clone()
        top, left = row[i] + margin, column[i] + margin
        whole[:, top : top + 3, left : left + 3] = windows[i]
        top, left = int(region.start[row[i]]) + margin, int(region.start[column[i]]) + margin
        torch.testing.assert_close(answer[i], whole[:, top : top + 4, left : left + 4])
    torch.testing.assert_close(maps.rows, padded.permute(0, 2, 3, 1).reshape(-1, c))
