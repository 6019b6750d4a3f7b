from __future__ import annotations

import numpy as np
import pytest

from robustkit.drawings import save_figure
from robustkit.report.distance_figures import Histogram, bin_edges, draw_histograms


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    values = rng.gamma(4, 1, 90), rng.gamma(4, 2, 70)
    return Histogram("one pixel", "d_E $", ["base_$1", "adapted"], values, "JS 0.40, null 0.21, p = 0.001, 60 pairs")


def test_both_samples_are_counted_in_the_same_bins(pair):
    figure = draw_histograms([[pair, pair], [pair]])
    ax = figure.axes[0]
    edges = bin_edges(pair)
    assert edges[0] == min(values.min() for values in pair.values)
    assert edges[-1] == max(values.max() for values in pair.values)
    drawn = [patch.get_data().values for patch in ax.patches[1::2]]
    for counts, values in zip(drawn, pair.values, strict=True):
        np.testing.assert_array_equal(counts, np.histogram(values, edges)[0])
    centres = [line.get_xdata()[0] for line in ax.lines]
    expected = [centre(values) for values in pair.values for centre in (np.median, np.mean)]
    np.testing.assert_allclose(centres, expected)
    assert ax.get_title() == "one pixel\nJS 0.40, null 0.21, p = 0.001, 60 pairs"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["base_$1", "adapted", "median", "mean"]
    assert not figure.axes[3].axison
    figure.canvas.draw()


def test_a_figure_is_the_same_bytes_twice(pair, tmp_path):
    first = save_figure(draw_histograms([[pair]]), tmp_path, "one", dpi=50)
    second = save_figure(draw_histograms([[pair]]), tmp_path, "two", dpi=50)
    assert [path.suffix for path in first] == [".png", ".pdf"]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert b"/Type3" not in first[1].read_bytes()
