import numpy as np
import pytest
import torch

from robustkit.errors import InputError
from robustkit.perturb.search.cells import Cells, repeated
from robustkit.perturb.search.orders import Walk, coarse_to_fine, spread_cells, spread_walk
from robustkit.perturb.values import Corners
from tests.oracles import PlantedPixel
from tests.perturb.searching import make_problem


def problem_of(images, **changes):
    return make_problem(PlantedPixel(tuple(images.shape[1:]), row=1, column=1, band=0), images, **changes)


@pytest.fixture
def cells():
    return Cells(problem_of(0.1 + 0.8 * torch.rand(3, 2, 5, 7, generator=torch.Generator().manual_seed(0))))


def test_every_cell_is_its_own_pixel_and_option(cells):
    everything = torch.arange(cells.count).expand(3, -1)
    candidates = cells.candidates(torch.arange(3), everything)
    seen = {
        (y, x, tuple(value))
        for y, x, value in zip(
            candidates.row[1, :, 0].tolist(),
            candidates.column[1, :, 0].tolist(),
            candidates.value[1, :, 0].tolist(),
            strict=True,
        )
    }
    corners = [(float(a), float(b)) for a in (0, 1) for b in (0, 1)]
    assert cells.count == 5 * 7 * 4
    assert seen == {(y, x, value) for y in range(5) for x in range(7) for value in corners}


def test_cells_that_change_nothing_need_no_query():
    images = torch.full((2, 2, 5, 7), 0.5)
    images[1, :, 2, 3] = torch.tensor([1.0, 0.0])
    cells = Cells(problem_of(images))
    assert cells.left.tolist() == [140, 139]
    idle = int(cells.tried[1].nonzero())
    candidates = cells.candidates(torch.tensor([1]), torch.tensor([[idle]]))
    assert (int(candidates.row), int(candidates.column)) == (2, 3)
    assert candidates.value.flatten().tolist() == [1.0, 0.0]


def test_record_keeps_the_best_margin_of_each_pixel_and_its_lowest_option(cells):
    generator = np.random.default_rng(0)
    best = {}
    for _ in range(6):
        rows = torch.tensor([0, 2])
        asked = torch.from_numpy(np.stack([generator.choice(cells.count, 20, replace=False) for _ in rows]))
        asked = cells.untried(rows, asked, 12)
        if (asked < 0).any():
            continue
        margins = torch.from_numpy(generator.integers(0, 4, asked.shape).astype(np.float32))
        cells.record(rows, asked, margins)
        for row, found, values in zip(rows.tolist(), asked.tolist(), margins.tolist(), strict=True):
            for cell, margin in zip(found, values, strict=True):
                best.setdefault((row, cell // 4), []).append((margin, cell % 4))
    assert len(best) > 30
    for (row, pixel), seen in best.items():
        top = max(margin for margin, _ in seen)
        assert cells.margin[row, pixel] == top
        assert int(cells.option[row, pixel]) in [option for margin, option in seen if margin == top]
    assert int(cells.tried.sum()) == sum(map(len, best.values())) == 3 * cells.count - int(cells.left.sum())
    assert cells.margin[1].isneginf().all()


def test_lowest_option_wins_a_tie_within_one_answer(cells):
    cells.record(torch.tensor([0]), torch.tensor([[3, 1, 2]]), torch.tensor([[5.0, 5.0, 1.0]]))
    assert (float(cells.margin[0, 0]), int(cells.option[0, 0])) == (5.0, 1)


def test_untried_packs_what_is_new_in_order(cells):
    cells.record(torch.tensor([0]), torch.tensor([[4, 5]]), torch.zeros(1, 2))
    wanted = torch.tensor([[5, 9, -1, 9, 4, 8, 7], [5, 9, -1, 9, 4, 8, 7]])
    found = cells.untried(torch.tensor([0, 1]), wanted, 4)
    assert found.tolist() == [[9, 8, 7, -1], [5, 9, 4, 8]]


def test_repeated_finds_all_but_the_first():
    keys = torch.randint(0, 9, (20, 15), generator=torch.Generator().manual_seed(1))
    expected = [[key in row[:i] for i, key in enumerate(row)] for row in keys.tolist()]
    assert repeated(keys).tolist() == expected


def test_several_pixels_have_no_cells():
    with pytest.raises(InputError, match="2 pixels at once"):
        Cells(problem_of(torch.rand(1, 2, 5, 7), pixels=2))


def test_orders_hold_every_cell_once():
    assert sorted(spread_cells(9, 14, 8)) == list(range(9 * 14 * 8))
    assert sorted(coarse_to_fine(9, 14)) == list(range(9 * 14))


def test_the_beginning_of_the_spread_is_even_in_position_and_option():
    row, rest = np.divmod(spread_cells(64, 64, 8)[:128], 64 * 8)
    column, option = np.divmod(rest, 8)
    blocks = np.bincount(row // 16 * 4 + column // 16, minlength=16)
    assert blocks.min() >= 6  # 8 each if it were perfect; a random draw leaves some with 2 or 3
    assert blocks.max() <= 10
    assert np.bincount(option, minlength=8).min() >= 14


def test_coarse_to_fine_begins_with_the_corners_of_a_halved_grid():
    row, column = np.divmod(coarse_to_fine(16, 16), 16)
    for side in (2, 4, 8):
        step = 16 // side
        first = set(zip(row[: side * side].tolist(), column[: side * side].tolist(), strict=True))
        assert first == {(y, x) for y in range(0, 16, step) for x in range(0, 16, step)}


def test_a_walk_passes_by_what_was_tried_and_meets_all_the_rest(cells):
    walk = spread_walk(cells)
    rows = torch.arange(3)
    cells.record(rows, torch.arange(30).expand(3, -1), torch.zeros(3, 30))
    met = []
    for _ in range(11):
        found = walk.fill(rows, 10, torch.tensor([[3, 77, -1]]).expand(3, -1))
        cells.record(rows, found, torch.zeros(3, 10))
        met.append(found)
    met = torch.cat(met, 1)
    assert (met[:, 0] == 77).all()
    assert met.sort(1).values.tolist() == [list(range(30, 140))] * 3
    assert not torch.equal(met[0], met[1])  # shifted at random for each image


def test_a_walk_meets_again_what_was_taken_and_never_answered(cells):
    walk = Walk(cells, lambda rows, place: place)
    rows = torch.arange(1)
    walk.fill(rows, 140)
    assert walk.fill(rows, 140).tolist() == [list(range(140))]


def test_values_of_corners_are_what_cells_paint():
    values = Corners(torch.tensor([0.2, 0.3]), torch.tensor([0.6, 0.9]))
    cells = Cells(problem_of(torch.full((1, 2, 5, 7), 0.5), values=values))
    value = cells.candidates(torch.tensor([0]), torch.arange(4)[None]).value[0, :, 0]
    assert torch.equal(value, torch.tensor([[0.2, 0.3], [0.6, 0.3], [0.2, 0.9], [0.6, 0.9]]))
