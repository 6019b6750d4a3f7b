import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from robustkit.errors import InputError
from robustkit.report.canonical_figure import CanonicalPicture, draw_canonical, draw_canonical_sheet
from robustkit.report.palette import lightness, make_palette
from robustkit.report.window_figures import (
    ATTACKED,
    CLEAN,
    NOISY,
    WindowPicture,
    draw_gallery,
    draw_single,
    draw_window,
)

CLASSES = ("spiral", "elliptical", "merger")
LEFT = np.array([[-1.1, -1.1], [0.2, -1.1], [0.2, 1.1], [-1.1, 1.1]])
RIGHT = np.array([[0.2, -1.1], [1.1, -1.1], [1.1, 1.1], [0.2, 1.1]])


def picture(**changes):
    values = {
        "title": "spiral → merger",
        "notes": ["galaxy-1, angle 80°", "margin in this plane 1.2"],
        "extent": 1.1,
        "polygons": [(0, LEFT), (2, RIGHT)],
        "boundaries": [np.array([[0.2, -1.1], [0.2, 1.1]])],
        "grid": None,
        "marks": [(CLEAN, "clean", 0.0, 0.0), (ATTACKED, "one pixel", 1.0, 0.0), (NOISY, "noisy", 0.0, 1.0)],
        "labels": ("one-pixel direction", "noise direction"),
        "true": 0,
    }
    return WindowPicture(**(values | changes))


def colour_at(figure, ax, x, y):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    column, row = ax.transData.transform((x, y))
    return pixels[len(pixels) - 1 - round(row), round(column)]


@pytest.mark.parametrize("name", ["safe", "paper"])
def test_classes_have_their_colours_where_they_win(name):
    palette = make_palette(CLASSES, name)
    figure = draw_single(picture(), palette)
    ax = figure.axes[0]
    np.testing.assert_allclose(colour_at(figure, ax, -0.8, -0.9), to_rgb(palette.colours[0]), atol=0.01)
    np.testing.assert_allclose(colour_at(figure, ax, 0.6, -0.9), to_rgb(palette.colours[2]), atol=0.01)
    assert ax.get_title() == "spiral → merger"
    assert ax.get_xlim() == ax.get_ylim() == (-1.1, 1.1)
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {*CLASSES, "clean", "one pixel", "noisy"}
    assert {"spiral", "merger"} <= {text.get_text() for text in ax.texts}


def test_the_true_class_can_be_white():
    figure = draw_single(picture(), make_palette(CLASSES), white=True)
    np.testing.assert_allclose(colour_at(figure, figure.axes[0], -0.8, -0.9), (1, 1, 1))
    assert "true class" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_pieces_of_one_class_leave_no_seam():
    cut = [LEFT.copy(), LEFT.copy()]
    cut[0][[1, 2], 0] = cut[1][[0, 3], 0] = -0.537
    figure = Figure(dpi=150)
    cells = picture(polygons=[(0, cut[0]), (0, cut[1]), (2, RIGHT)])
    draw_window(cells, figure.subplots(), make_palette(CLASSES), names=False)
    for x in np.linspace(-0.55, -0.52, 20):
        seen = colour_at(figure, figure.axes[0], x, -0.9)
        np.testing.assert_allclose(seen, to_rgb(make_palette(CLASSES).colours[0]), atol=0.01)


def test_a_sampled_window_has_y_upwards():
    grid = np.zeros((3, 3), dtype=int)
    grid[2, 0] = 1  # up, left
    figure = draw_single(picture(polygons=[], boundaries=[], grid=grid), make_palette(CLASSES))
    np.testing.assert_allclose(
        colour_at(figure, figure.axes[0], -0.9, 0.9), to_rgb(make_palette(CLASSES).colours[1]), atol=0.01
    )


def test_markers_stand_where_they_should():
    ax = draw_window(picture(), Figure().subplots(), make_palette(CLASSES))
    found = {line.get_marker(): (*line.get_xdata(), *line.get_ydata()) for line in ax.lines if line.get_marker()}
    assert found[CLEAN] == (0, 0)
    assert found[ATTACKED] == (1, 0)
    assert found[NOISY] == (0, 1)


def test_a_gallery_prints_its_rule():
    figure = draw_gallery([picture()] * 4, make_palette(CLASSES), rule="the first four")
    assert figure._supxlabel.get_text() == "the first four"
    assert [ax.axison for ax in figure.axes] == [True] * 4 + [False] * 2
    figure.canvas.draw()


def test_colours_differ_in_grey_and_are_refused_where_there_are_none():
    for count in (2, 3, 6):
        shades = [lightness(colour) for colour in make_palette([str(k) for k in range(count)]).colours]
        assert shades == sorted(shades, reverse=True)
        assert min(np.abs(np.diff(shades))) > 0.07
    assert len(make_palette([str(k) for k in range(9)]).colours) == 9
    with pytest.raises(InputError, match="paper has 3 colours and there are 4 classes"):
        make_palette(["a", "b", "c", "d"], "paper")
    with pytest.raises(InputError, match="unknown colours 'gaudy'; known are safe, paper"):
        make_palette(CLASSES, "gaudy")


def canonical():
    rng = np.random.default_rng(0)
    clean, true = rng.uniform(-4, 4, (30, 2)), rng.integers(0, 3, 30)
    moved = clean + rng.normal(0, 0.5, (30, 2))
    moved[:10] = np.nan
    corners = np.array([[-5.0, -5.0], [5, -5], [5, 5], [-5, 5]])
    changed = np.arange(30) > 20
    return CanonicalPicture(
        "one pixel", clean, moved, changed, true, [(0, corners)], [corners[:2]], corners[0], corners[2], ("a", "b")
    )


def test_the_canonical_plane_is_to_scale_and_shows_every_image():
    made = canonical()
    ax = draw_canonical(made, Figure().subplots(), make_palette(CLASSES))
    assert ax.get_aspect() == 1
    drawn = np.concatenate([line.get_xydata() for line in ax.lines if line.get_marker() not in ("", "None", None)])
    assert {tuple(point) for point in drawn.tolist()} == {tuple(point) for point in made.clean.tolist()}
    arrows = ax.collections
    assert sum(len(arrow.U) for arrow in arrows) == 20
    assert len(arrows[1].U) == 9  # those that change their class
    figure = draw_canonical_sheet([made, made], make_palette(CLASSES))
    figure.canvas.draw()
    assert "no perturbed twin" in {text.get_text() for text in figure.legends[0].get_texts()}
