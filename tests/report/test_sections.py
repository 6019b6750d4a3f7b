import numpy as np
import pytest

from robustkit.audit.pictures import sky_noise
from robustkit.report.attack_figures import flip_curve
from robustkit.report.sections.flips import MOST_STEPS, FlipCurves, SurvivalCurves
from robustkit.report.sections.forest import Forest
from robustkit.report.sections.gallery import Exhibit, Gallery
from robustkit.report.sections.matrix import Matrix
from robustkit.report.sections.reliability import ReliabilityCurves
from robustkit.report.sections.sweeps import SweepCurves, SweepGrid
from robustkit.report.sections.vulnerability import Chances, Vulnerability
from robustkit.report.style import printing
from robustkit.report.sweep_figures import SweepCurve
from robustkit.stats import kaplan_meier, reliability, wilson


def _sweep(name, right):
    accuracy = wilson(right, np.full(len(right), 10))
    recall = wilson(np.ones((2, len(right)), dtype=int), 4)
    middle = np.zeros((3, len(right)))
    return SweepCurve(name, "sigma", np.arange(1.0, len(right)), accuracy, recall, "not reached", middle, middle)


def _exhibit(**more):
    picture = np.zeros((20, 20, 3), dtype=np.uint8)
    options = {
        "image_id": "a", "true": "spiral", "new": "merger", "before": 0.9, "after": 0.6, "clean": picture,
        "perturbed": picture, "row": (3,), "column": (4,), "change": np.array([1000.0, -50.0]),
        "sky": np.array([10.0, np.nan]), "bands": ("g", "r"), "unit": "electrons", "search": "de", "queries": 12,
    }  # fmt: skip
    return Exhibit(**{**options, **more})


SECTIONS = [
    Forest("a", "A", "rate", [("x", "one", wilson(1, 4)), ("x", "two", wilson(2, 4))]),
    Matrix("b", "B", {"m": np.array([[-1, 2], [0, -1]])}, {"m": np.array([4, 6])}, ("p", "q"), "new", "Said."),
    ReliabilityCurves({"m": reliability([[0.9, 0.1], [0.4, 0.6]], [0, 0], rng=np.random.default_rng(0))}),
    SweepCurves({"m": _sweep("psf", [9, 7, 5])}, "Blur."),
    SweepGrid({"m": [_sweep("psf", [9, 9, 8]), _sweep("sky", [9, 2, 1])]}),
    FlipCurves({"m": [flip_curve("de", np.array([3.0, np.inf, 8.0]), 10)]}),
    SurvivalCurves({"m": kaplan_meier([3, 10, 8], [True, False, True])}, "de"),
    Gallery([_exhibit()], "the first", "m"),
    Vulnerability(np.ones((2, 9, 9)) * [[[0.2]], [[np.nan]]], (3, 0), ("p", "q"), "m"),
    Chances({"m": np.array([0.0, 0.5])}, 72, {"m": 1}),
]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: type(section).__name__)
def test_a_section_says_lists_and_draws_its_numbers(section):
    table = section.table()
    assert len(section.summary()) > 20
    assert table.rows
    assert {len(row) for row in table.rows} == {len(table.columns)}
    with printing():
        figure = section.draw()
        assert figure.axes or figure.subfigs
    shown = section.interactive()
    if shown is not None:
        assert len(shown.data) >= 1
        assert shown.to_json()


def test_both_drawings_show_the_numbers_of_the_table():
    forest = SECTIONS[0]
    values = [float(row[2]) for row in forest.table().rows]
    assert [float(x) for trace in forest.interactive().data for x in trace.x] == pytest.approx(values)
    with printing():
        ax = forest.draw().axes[0]
    assert sorted(float(c.lines[0].get_xdata()[0]) for c in ax.containers) == pytest.approx(sorted(values))


def test_the_perturbation_that_costs_most_stands_on_top():
    grid = SECTIONS[4]
    assert grid.rows == ["sky", "psf"]
    assert grid.interactive().data[0].z[0].tolist() == pytest.approx([-70, -80])


def test_a_long_curve_is_thinned_by_the_rule_that_is_printed():
    queries = np.arange(1.0, 5001.0)
    section = FlipCurves({"m": [flip_curve("de", queries, 5000)]})
    drawn = section.interactive().data[-1]
    assert len(drawn.x) == MOST_STEPS
    assert (drawn.x[0], drawn.x[-1], drawn.y[-1]) == (1, 5000, 1)
    assert f"through {MOST_STEPS} of them" in section.summary()


def test_a_flip_is_said_in_electrons_and_in_sky_sigmas_where_both_are_known():
    assert _exhibit().spoken() == "g +1,000 (+100 sky σ), r -50"


def test_sky_noise_is_that_of_the_border_whatever_stands_in_the_middle():
    image = np.random.default_rng(0).normal(5, 3, (1, 100, 100))
    image[:, 30:70, 30:70] += 1e5
    assert sky_noise(image)[0] == pytest.approx(3, rel=0.05)
