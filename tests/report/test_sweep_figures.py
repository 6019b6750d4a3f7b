import numpy as np

from robustkit.report.sweep_figures import SweepCurve, draw_latents, draw_sweep
from robustkit.stats import wilson


def curve(name, threshold="not reached"):
    right = np.array([18, 15, 9])
    recall = wilson([[10, 8, 5], [8, 7, 4]], 10)
    distance, margin = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4]]), np.array([[1, 0, -1], [2, 1, 0], [3, 2, 1]])
    accuracy = wilson(right, [20, 20, 20])
    return SweepCurve(name, "of the exposure", np.array([0.5, 0.1]), accuracy, recall, threshold, distance, margin)


def test_a_panel_shows_the_numbers_and_names_the_levels():
    figure = draw_sweep([curve("exposure", "0.3 [0.4, 0.2] (milder than all levels)")], ["spiral", "$merger"])
    (ax,) = figure.axes
    drawn = [line.get_ydata().tolist() for line in ax.lines]
    assert drawn == [[1.0, 0.8, 0.5], [0.8, 0.7, 0.4], [0.9, 0.75, 0.45]]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["clean", "0.5", "0.1"]
    assert ax.get_title().splitlines() == ["exposure", "5 points lost at: 0.3 [0.4, 0.2]", "(milder than all levels)"]
    spans = [collection.get_paths()[0].vertices[:, 1] for collection in ax.collections]
    ends = [(4, 8, 10), (5, 10, 10), (9, 18, 20)]  # lowest and highest of 10, of 10 and of 20
    expected = sorted((wilson(low, n).low, wilson(high, n).high) for low, high, n in ends)
    assert sorted((span.min(), span.max()) for span in spans) == expected


def test_five_perturbations_take_two_rows():
    figure = draw_sweep([curve(name) for name in "abcde"], ["spiral", "merger"])
    assert [ax.get_title()[0] for ax in figure.axes if ax.axison] == list("abcde")
    assert len(figure.axes) == 8


def test_latents_show_medians_between_quartiles():
    (ax,) = draw_latents([curve("exposure")]).axes
    drawn = [line.get_ydata().tolist() for line in ax.lines[:2]]
    assert drawn == [[0, 2, 3], [2, 1, 0]]
    spans = [collection.get_paths()[0].vertices[:, 1] for collection in ax.collections]
    assert [(span.min(), span.max()) for span in spans] == [(0, 4), (-1, 3)]
