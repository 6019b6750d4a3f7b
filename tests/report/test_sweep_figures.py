import numpy as np

from robustkit.report.sweep_figures import SweepCurve, draw_sweep
from robustkit.stats import wilson


def curve(name, threshold="not reached"):
    right = np.array([18, 15, 9])
    recall = np.array([[1.0, 0.8, 0.5], [0.8, 0.7, 0.4]])
    return SweepCurve(name, "of the exposure", np.array([0.5, 0.1]), wilson(right, [20, 20, 20]), recall, threshold)


def test_a_panel_shows_the_numbers_and_names_the_levels():
    figure = draw_sweep([curve("exposure", "0.3 [0.4, 0.2] (milder than all levels)")], ["spiral", "$merger"])
    (ax,) = figure.axes
    drawn = [line.get_ydata().tolist() for line in ax.lines]
    assert drawn == [[1.0, 0.8, 0.5], [0.8, 0.7, 0.4], [0.9, 0.75, 0.45]]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["clean", "0.5", "0.1"]
    assert ax.get_title().splitlines() == ["exposure", "5 points lost at: 0.3 [0.4, 0.2]", "(milder than all levels)"]
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (wilson(9, 20).low, wilson(18, 20).high)


def test_five_perturbations_take_two_rows():
    figure = draw_sweep([curve(name) for name in "abcde"], ["spiral", "merger"])
    assert [ax.get_title()[0] for ax in figure.axes if ax.axison] == list("abcde")
    assert len(figure.axes) == 8
