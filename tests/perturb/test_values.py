import itertools

import numpy as np
import pytest
import torch

from robustkit.data import ArcsinhStretch, LuptonStretch, MeanStdStretch, MinMaxStretch
from robustkit.errors import InputError
from robustkit.perturb.defects import Defect
from robustkit.perturb.threats import describe_values, make_values
from robustkit.perturb.values import Corners, Grid, SingleBand

RANGE = [(0.1, 0.8), (0.2, 0.9), (0.3, 0.7)]
LOW, HIGH = torch.tensor(RANGE).T
STRETCH = ArcsinhStretch(low=(-50.0,) * 3, high=(9000.0, 12000.0, 15000.0), c=0.85 / 15000)
LUPTON = LuptonStretch(minimum=(0.0, 1.0, 2.0), softening=8.0, stretch=500.0)


def every_option(values, clean):
    return values.option(clean.expand(values.size, -1), torch.arange(values.size))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (Corners(LOW, HIGH), itertools.product(*RANGE)),
        (Grid(LOW, HIGH, 3), itertools.product(*[np.linspace(*pair, 3) for pair in RANGE])),
        (Grid(LOW, HIGH, 2), itertools.product(*RANGE)),
    ],
)
def test_options_are_every_combination_once(values, expected):
    expected = np.array(list(expected))
    options = every_option(values, torch.zeros(3)).numpy()
    assert values.size == len(expected)
    np.testing.assert_allclose(options[np.lexsort(options.T)], expected[np.lexsort(expected.T)], rtol=1e-6)


def test_grid_reaches_its_ends_exactly():
    low, high = torch.rand(2, 500).sort(0).values
    options = torch.stack(
        [Grid(low[b : b + 1], high[b : b + 1], 7).option(low[:1], torch.tensor([0, 6])) for b in range(500)]
    )
    assert torch.equal(options[:, 0, 0], low)
    assert torch.equal(options[:, 1, 0], high)


def test_single_band_changes_one_band_to_an_end():
    clean = torch.tensor([0.5, 0.6, 0.4])
    options = every_option(SingleBand(LOW, HIGH), clean)
    assert len(options) == 6
    changed = options != clean
    assert torch.equal(changed.sum(1), torch.ones(6, dtype=torch.int64))
    assert sorted(options[changed].tolist()) == sorted([*LOW.tolist(), *HIGH.tolist()])


@pytest.mark.parametrize(
    "name",
    ["corners", "paper", "single-band", "together", "together:5", "grid:3", "hot:5000", "hot", "dead", "dead:-40"],
)
def test_contract(name):
    values = make_values(name, input_range=RANGE, stretch=STRETCH, units="electron", bounds=(-100.0, 20000.0))
    generator = torch.Generator().manual_seed(0)
    low, high = torch.tensor(RANGE).T
    clean = low + (high - low) * torch.rand(50, 4, 3, generator=generator)
    kept = clean.clone()
    index = torch.randint(values.size, (50, 4), generator=generator)
    options = values.option(clean, index)
    points = values.point(clean, torch.rand(50, 4, 3, generator=generator))
    assert torch.equal(clean, kept)
    for new in (options, points):
        assert new.shape == clean.shape
        assert new.dtype == torch.float32
        assert (new >= values.low - 1e-6).all()
        assert (new <= values.high + 1e-6).all()
    assert values.to_json()["name"] == values.name == name
    assert name in describe_values(values, bands=("g", "r", "i"), stretch=STRETCH, units="electron")


@pytest.mark.parametrize("name", ["single-band", "grid:3", "hot:5000", "dead"])
def test_a_set_without_inside_is_moved_through_by_its_options(name):
    values = make_values(name, input_range=RANGE, stretch=STRETCH, units="electron")
    clean = torch.tensor([0.5, 0.6, 0.55])
    options = every_option(values, clean)
    units = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0))
    points = values.point(clean.expand(2000, -1), units)
    which = (points[:, None] == options).all(2)
    assert which.any(1).all()  # every point is an option
    assert which.any(0).all()  # and every option is reached


def test_corners_fill_their_box():
    values = Corners(LOW, HIGH)
    assert torch.equal(values.point(LOW, torch.zeros(3)), LOW)
    torch.testing.assert_close(values.point(LOW, torch.full((3,), 0.5)), (LOW + HIGH) / 2)


@pytest.mark.parametrize(
    "stretch", [STRETCH, LUPTON, MeanStdStretch(mean=(10.0, 20.0, 30.0), std=(300.0, 400.0, 500.0))]
)
def test_hot_pixel_gains_its_charge_before_the_stretch(stretch):
    calibrated = torch.tensor([100.0, 200.0, 300.0])

    def seen(pixel):
        return stretch(pixel[:, None, None])[:, 0, 0]

    values = Defect("hot:5000", stretch, 5000.0, None, torch.tensor([[0.0] * 3, [1.0] * 3]))
    options = every_option(values, seen(calibrated))
    torch.testing.assert_close(options[0], seen(calibrated + 5000), rtol=1e-5, atol=1e-6)
    for band in range(3):
        one = calibrated.clone()
        one[band] += 5000
        torch.testing.assert_close(options[1 + band], seen(one), rtol=1e-5, atol=1e-6)


def test_bands_that_a_defect_does_not_reach_keep_their_last_bit():
    clean = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.5
    values = Defect("dead", STRETCH, 0.0, 0.0, torch.tensor(RANGE).T)
    options = values.option(clean, torch.full((1000,), 2))
    assert torch.equal(options[:, [0, 2]], clean[:, [0, 2]])
    torch.testing.assert_close(options[:, 1], torch.full((1000,), 0.5))


def test_one_band_has_one_defect():
    values = make_values("dead", input_range=RANGE[:1], stretch=MeanStdStretch((3.0,), (2.0,)), units="electron")
    assert values.size == 1
    torch.testing.assert_close(every_option(values, torch.tensor([0.4])), torch.tensor([[-1.5]]))


def test_saturation_is_the_highest_value_a_pixel_can_take():
    plain = MeanStdStretch(mean=(0.0,) * 3, std=(1000.0,) * 3)
    values = make_values("hot", input_range=RANGE, stretch=plain, units="electron", bounds=(-100.0, 64000.0))
    torch.testing.assert_close(every_option(values, torch.zeros(3))[0], torch.full((3,), 64.0))
    torch.testing.assert_close(values.high, torch.full((3,), 64.0))


def test_values_are_said_in_calibrated_units():
    text = describe_values(
        Corners(*STRETCH(torch.tensor([[-40.0], [8000.0]])[..., None, None].expand(2, 3, 1, 1))[..., 0, 0]),
        bands="gri",
        stretch=STRETCH,
        units="electron",
    )
    assert "8 options" in text
    assert "in electron g -40 to 8000" in text
    assert "cannot be inverted" in describe_values(
        Corners(LOW, HIGH), bands="gri", stretch=MinMaxStretch(), units="electron"
    )


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("corner", {}, r"unknown values 'corner'; did you mean 'corners'\? Known are corners"),
        ("corners:3", {}, "unknown values"),
        ("grid:1", {}, "at least 2 values"),
        ("grid", {}, "as in grid:3"),
        ("corners", {"value_range": "wide"}, "known are data, paper"),
        ("paper", {"value_range": "data"}, "use --values corners"),
        ("hot:5000", {"value_range": "paper"}, "--range has no meaning"),
        ("hot:5000", {"units": "display"}, "units of the images are display; use --values corners"),
        ("dead", {"units": "unknown"}, "given in electrons"),
        ("hot:5000", {"stretch": MinMaxStretch()}, "minmax cannot be inverted"),
        ("dead", {"stretch": None}, "the stretch is not known"),
        ("hot", {}, "as in hot:50000"),
        ("hot:-5", {}, "above 0"),
        ("hot:much", {}, "expected a number of electrons"),
        ("corners", {"input_range": [(0.0, float("nan"))]}, "must be finite and rise"),
        ("corners", {"input_range": [(1.0, 0.0)]}, "must be finite and rise"),
    ],
)
def test_refusals_say_what_to_do(name, options, words):
    with pytest.raises(InputError, match=words.replace("[", r"\[")):
        make_values(name, **{"input_range": RANGE, "stretch": STRETCH, "units": "electron", **options})


def test_a_defect_says_what_it_does():
    for name, words in (("hot:5000", "gains 5000 electrons"), ("dead", "shows 0 electrons"), ("dead:-40", "shows -40")):
        values = make_values(name, input_range=RANGE, stretch=STRETCH, units="electron")
        assert words in describe_values(values, bands=("g", "r", "i"), stretch=STRETCH, units="electron")


def test_range_is_the_data_unless_it_is_asked_for():
    data = make_values("corners", input_range=RANGE)
    wide = make_values("corners", input_range=RANGE, value_range="paper")
    paper = make_values("paper", input_range=RANGE)
    torch.testing.assert_close(torch.stack([data.low, data.high]), torch.tensor(RANGE).T)
    assert wide.name == paper.name == "paper"
    assert wide.low.tolist() == paper.low.tolist() == [0.0] * 3
    assert wide.high.tolist() == paper.high.tolist() == [1.0] * 3
