from types import SimpleNamespace

import numpy as np
import pytest

from robustkit.findings.attack.flips import MOST_STEPS, FlipCurves, flip_curve
from robustkit.findings.pictures.measure import _declared_noise, sky_noise
from robustkit.findings.sweep.curves import SweepGrid
from robustkit.report.palette import Looks
from robustkit.report.paper import paint
from robustkit.report.saving import printing
from tests.report.reports import make_exhibit, make_pair, make_sections, make_sweep, painted, shown


@pytest.mark.parametrize("section", [*make_sections(), make_pair()], ids=lambda section: type(section).__name__)
def test_a_section_says_lists_and_draws_its_numbers(section):
    table = section.table()
    assert len(section.summary()) > 20
    assert table.rows
    assert {len(row) for row in table.rows} == {len(table.columns)}
    with printing():
        figure = paint(section.drawing(), Looks())
        assert figure.axes
        figure.canvas.draw()


def test_both_drawings_show_the_numbers_of_the_table():
    forest = make_sections()[0]
    values = [float(row[2]) for row in forest.table().rows]
    assert [float(x) for trace in shown(painted(forest)) for x in trace["x"]] == pytest.approx(values, abs=1e-4)
    with printing():
        ax = paint(forest.drawing(), Looks()).axes[0]
    assert [float(c.lines[0].get_xdata()[0]) for c in ax.containers] == pytest.approx(values, abs=1e-4)
    for trace, row in zip(shown(painted(forest)), forest.table().rows, strict=True):
        assert float(row[4]) - float(row[2]) == pytest.approx(trace["error_x"]["array"][0], abs=1e-4)
        assert float(row[2]) - float(row[3]) == pytest.approx(trace["error_x"]["arrayminus"][0], abs=1e-4)


def test_the_perturbation_that_costs_most_stands_on_top():
    grid = SweepGrid({"m": [make_sweep("psf", right=(9, 9, 8)), make_sweep("sky", right=(9, 2, 1))]})
    assert grid.rows == ["sky", "psf"]
    assert painted(grid)["data"][0]["z"][0] == pytest.approx([-70, -80])


def test_a_long_curve_is_thinned_by_the_rule_that_is_printed():
    queries = np.arange(1.0, 5001.0)
    section = FlipCurves({"m": [flip_curve("de", queries, 5000)]})
    drawn = painted(section)["data"][-1]
    assert len(drawn["x"]) == MOST_STEPS
    assert (drawn["x"][0], drawn["x"][-1], drawn["y"][-1]) == (1, 5000, 1)
    assert f"through {MOST_STEPS} of them" in section.summary()


def test_a_flip_is_said_in_electrons_and_in_sky_sigmas_where_both_are_known():
    assert make_exhibit().spoken() == "g +1,000 (+100 sky σ), r -50"
    assert make_exhibit().spoken(1) == "g +1,000 (+100 sky σ) and 1 more"


def test_the_noise_that_an_image_set_declares_is_taken_before_any_is_measured():
    def of(meta):
        card = SimpleNamespace(bands=["g", "r"])
        return _declared_noise(SimpleNamespace(whole=SimpleNamespace(meta=meta), checkpoint=SimpleNamespace(card=card)))

    assert of({"noise_sigma": {"r": 2.0, "g": 160.1}}).tolist() == [160.1, 2.0]
    assert of({}) is None
    assert of({"noise_sigma": {"g": 1.0}}) is None


def test_sky_noise_is_that_of_the_border_whatever_stands_in_the_middle():
    image = np.random.default_rng(0).normal(5, 3, (1, 100, 100))
    image[:, 30:70, 30:70] += 1e5
    assert sky_noise(image)[0] == pytest.approx(3, rel=0.05)
