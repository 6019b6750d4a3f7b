# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportIndexIssue=false
"""What the drawings of sections hold, and what is seen of it."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.stats import binomtest

from robustkit.findings.attack.flips import FlipCurves, flip_curve
from robustkit.findings.attack.gallery import CamPicture, FlipPicture, composite, draw_flip, draw_grad_cams
from robustkit.findings.distances.show import Histogram, bin_edges, draw_histograms
from robustkit.findings.latents.show import draw_canonical
from robustkit.findings.maps.pictures import draw_maps, draw_spaces, space_panel
from robustkit.findings.sweep.curves import SweepLatents, SweepSheet
from robustkit.findings.windows.pictures import draw_window, draw_windows
from robustkit.report import screen
from robustkit.report.blocks import Axis, Cells, Drawing, Key, Lines, Panel, Points, Regions, Rings, Rule, Series, Words
from robustkit.report.blocks import legend_of as keys_of
from robustkit.report.films import frames, save_gif, save_mp4
from robustkit.report.inline import safe_json
from robustkit.report.palette import RING, Looks, Meaning, make_palette
from robustkit.report.paper import CAMERAS, paint, shortened_legend
from robustkit.report.saving import printing
from tests.report.reports import make_map, make_plane, make_sweep, make_window, painted

CLASSES = ("spiral", "elliptical", "merger")


def on_paper(drawing):
    with printing():
        return paint(drawing, Looks())


def blocks_of(drawing, kind, panel=0):
    return [block for block in drawing.panels[panel].blocks if isinstance(block, kind)]


def colour_at(figure, ax, x, y):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    column, row = ax.transData.transform((x, y))
    return pixels[len(pixels) - 1 - round(row), round(column)]


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_curve_counts_the_flips_within_each_number_of_queries():
    curve = flip_curve("de", np.array([3.0, np.inf, 3.0, 40.0, np.inf]), 100)
    assert curve.queries.tolist() == [1, 3, 40, 100]
    assert curve.rate.tolist() == [0, 0.4, 0.6, 0.6]
    assert curve.n == 5
    for place, k in enumerate((0, 2, 3, 3)):
        interval = binomtest(k, 5).proportion_ci(method="wilson")
        np.testing.assert_allclose((curve.low[place], curve.high[place]), interval, atol=1e-12)


def test_curves_of_nothing_can_be_drawn():
    curves = [flip_curve("de", np.array([np.inf]), 10), flip_curve("random", np.array([]), 1)]
    section = FlipCurves({"": curves})
    on_paper(section.drawing()).canvas.draw()
    assert len(painted(section)["data"]) > 2


def test_the_baseline_is_dotted_and_each_search_has_its_name_where_its_curve_ends():
    curves = [flip_curve(name, np.array([2.0, 5.0, np.inf]), 10) for name in ("de", "random", "auto")]
    drawing = FlipCurves({"m": curves, "n": curves}).drawing()
    figure = on_paper(drawing)
    for panel in figure.axes:
        lines = panel.get_lines()
        assert [line.get_linestyle() for line in lines] == ["-", ":", "--"]
        assert len({line.get_color() for line in lines}) == 3
        assert {text.get_text().split()[0] for text in panel.texts} == {"de", "random", "auto"}
    names = [one for one in painted(drawing)["layout"]["annotations"] if "%" in one["text"]]
    # Annotations stand at the logarithm on an axis of queries, at its end and not far beyond it.
    assert all(np.log10(10) <= one["x"] <= np.log10(60) for one in names)


def flip(bands=("g", "r", "i"), size=(20, 30)):
    clean = np.random.default_rng(0).normal(0.4, 0.02, (len(bands), *size)).astype(np.float32)
    perturbed = clean.copy()
    perturbed[0, 12, 25] = 0.9
    return FlipPicture(clean, perturbed, (12,), (25,), bands, "spiral, p = 0.8", "merger, p = 0.6", "galaxy")


def test_the_ring_is_round_the_pixel_and_can_be_seen():
    drawing = draw_flip(flip())
    assert [panel.title for panel in drawing.panels[:2]] == ["spiral, p = 0.8", "merger, p = 0.6"]
    assert not blocks_of(drawing, Rings)
    for place in (1, 2):
        (rings,) = blocks_of(drawing, Rings, place)
        assert rings.places.tolist() == [[25, 12]]
    figure = on_paper(drawing)
    figure.set_dpi(100)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    near = (np.abs(pixels - 255 * np.array(to_rgb(RING))).max(2) < 40).nonzero()
    # The ring stands where matplotlib puts (25, 12) of the middle panel.
    x, y = figure.axes[1].transData.transform((25, 12))
    assert (np.hypot(near[1] - x, near[0] - (len(pixels) - y)) < 40).sum() > 40
    (cells,) = blocks_of(drawing, Cells, 2)
    assert cells.values[12, 25] == flip().perturbed[0, 12, 25] - flip().clean[0, 12, 25]


@pytest.mark.parametrize(("bands", "shape"), [(("g",), (4, 5)), (("a", "b"), (4, 5)), (("g", "r", "i"), (4, 5, 3))])
def test_any_number_of_bands_can_be_shown(bands, shape):
    image = np.random.default_rng(0).uniform(size=(len(bands), 4, 5))
    assert composite(image, bands).shape == shape
    assert len(painted(draw_flip(flip(bands)))["layout"]["images"]) == 2


def test_filters_are_shown_blue_to_red_and_pictures_as_they_are():
    image = np.random.default_rng(0).uniform(size=(3, 4, 5))
    assert np.array_equal(composite(image, ("g", "r", "i"))[..., 0], image[2])
    assert np.array_equal(composite(image, ("red", "green", "blue"))[..., 0], image[0])
    assert np.array_equal(composite(image, ("i", "r", "g"))[..., 0], image[0])


def test_what_speaks_for_a_class_glows_and_the_rest_stays_grey():
    image, cam = np.random.default_rng(0).uniform(size=(3, 9, 9)), np.zeros((9, 9))
    cam[4, 4] = 1
    one = CamPicture("1: a", image, image, cam, np.zeros((9, 9)), "spiral", "merger", (2,), (3,), ("g", "r", "i"))
    drawing = draw_grad_cams([one])
    assert [panel.title for panel in drawing.panels] == [
        "1: a, clean", "speaks for spiral", "one pixel changed", "speaks for merger: nothing",
    ]  # fmt: skip
    glowing = drawing.panels[1].blocks[0].values
    assert np.ptp(glowing, axis=2).astype(bool).nonzero() == (4, 4)
    assert not np.ptp(drawing.panels[3].blocks[0].values, axis=2).any()


@pytest.mark.parametrize("name", ["safe", "paper"])
def test_classes_have_their_colours_where_they_win(name):
    palette = make_palette(CLASSES, name)
    figure = on_paper(draw_window(make_window(), palette))
    ax = figure.axes[0]
    np.testing.assert_allclose(colour_at(figure, ax, -0.8, -0.9), to_rgb(palette.colours[0]), atol=0.01)
    np.testing.assert_allclose(colour_at(figure, ax, 0.6, -0.9), to_rgb(palette.colours[2]), atol=0.01)
    assert ax.get_title().splitlines()[0] == "spiral → merger"
    assert ax.get_xlim() == ax.get_ylim() == (-1.1, 1.1)
    assert set(legend_of(figure)) == {"spiral", "merger", "clean", "attacked", "noisy", "random"}
    assert {"spiral", "merger"} <= {text.get_text() for text in ax.texts}


def test_the_true_class_can_be_white():
    drawing = draw_window(make_window(), make_palette(CLASSES), white=True)
    figure = on_paper(drawing)
    np.testing.assert_allclose(colour_at(figure, figure.axes[0], -0.8, -0.9), (1, 1, 1))
    assert {line.tone for line in blocks_of(drawing, Lines)} == {"ink"}


def test_pieces_of_one_class_leave_no_seam():
    left = dict(make_window().polygons)[0]
    cut = [left.copy(), left.copy()]
    cut[0][[1, 2], 0] = cut[1][[0, 3], 0] = -0.537
    palette = make_palette(CLASSES)
    drawing = draw_windows([make_window(polygons=[(0, cut[0]), (0, cut[1])])], palette, rule="")
    figure = on_paper(drawing)
    for x in np.linspace(-0.55, -0.52, 20):
        np.testing.assert_allclose(colour_at(figure, figure.axes[0], x, -0.9), to_rgb(palette.colours[0]), atol=0.01)


def test_a_sampled_window_has_y_upwards():
    grid = np.zeros((3, 3), dtype=int)
    grid[2, 0] = 1  # up, left
    palette = make_palette(CLASSES)
    drawing = draw_window(make_window(polygons=[], boundaries=[], grid=grid), palette)
    figure = on_paper(drawing)
    np.testing.assert_allclose(colour_at(figure, figure.axes[0], -0.9, 0.9), to_rgb(palette.colours[1]), atol=0.01)
    (regions,) = blocks_of(drawing, Regions)
    areas = np.zeros(2)
    for label, corners in regions.pieces:
        areas[label] += np.prod(np.ptp(corners, axis=0))
    np.testing.assert_allclose(areas, 2.2**2 * np.array([8, 1]) / 9)


def test_markers_stand_where_they_should():
    found = {
        b.of.kind: b.places[0].tolist() for b in blocks_of(draw_window(make_window(), make_palette(CLASSES)), Points)
    }
    assert found == {"clean": [0, 0], "attacked": [1, 0], "noisy": [0, 1], "": [0.5, 0.5]}


def test_a_gallery_prints_its_rule():
    figure = on_paper(draw_windows([make_window()] * 4, make_palette(CLASSES), rule="the first four"))
    assert figure._supxlabel.get_text() == "the first four"
    assert [ax.axison for ax in figure.axes] == [True] * 4 + [False] * 2


def test_the_canonical_plane_is_to_scale_and_shows_every_image():
    made = make_plane()
    drawing = draw_canonical([made, made], make_palette(CLASSES), np.arange(40).astype(str), np.ones(40))
    points = blocks_of(drawing, Points)
    places = np.concatenate([block.places for block in points])
    assert sorted(map(tuple, places)) == sorted(map(tuple, made.clean))
    assert sum(len(block.places) for block in points if block.hollow) == 10
    _, within, across = blocks_of(drawing, Lines)
    assert (len(within.ends), len(across.ends)) == (21, 9)
    np.testing.assert_array_equal(across.ends[:, 1], made.perturbed[31:])
    figure = on_paper(drawing)
    assert figure.axes[0].get_aspect() == 1
    assert {"not perturbed", "within its class", "perturbed, to another class"} <= set(legend_of(figure))
    assert painted(drawing)["layout"]["yaxis"]["scaleanchor"] == "x"


def flat():
    return make_map("a $map", make_palette(("a", "b", "c_$")), 2)


def test_every_point_of_a_map_is_drawn_with_the_marker_of_its_kind_and_the_colour_of_its_class():
    one = flat()
    drawing = draw_maps([one, replace(one, title="other")])
    clouds = [block for block in blocks_of(drawing, Points) if not block.edged]
    for kind, name in enumerate(("clean", "noisy", "attacked")):
        for label in range(3):
            mine = [block.places for block in clouds if block.of == Meaning(label=label, kind=name)]
            expected = one.places[(one.kind == kind) & (one.predicted == label)]
            np.testing.assert_array_equal(np.concatenate([*mine, np.empty((0, 2))]), expected)
    steps = next(block for block in blocks_of(drawing, Lines) if block.name == "to each flip").ends
    np.testing.assert_array_equal(steps[1], one.places[[4, 81]])
    assert [block.text.strip() for block in blocks_of(drawing, Words)] == ["1"]
    figure = on_paper(drawing)
    names = [key.name for key in keys_of(drawing, Looks(one.palette))]
    assert names == ["a", "b", "c_$", "noisy", "clean", "attacked", "joins two pieces", "to each flip"]
    assert set(legend_of(figure)) == set(names)
    figure.canvas.draw()


def test_points_without_a_place_are_left_out():
    places = flat().places.copy()
    places[80:] = np.nan
    figure = on_paper(draw_maps([replace(flat(), places=places)]))
    figure.canvas.draw()
    assert np.isfinite(figure.axes[0].dataLim.get_points()).all()
    solid = make_map("a", make_palette(("a", "b", "c")), 3)
    solid.places[80:] = np.nan
    on_paper(draw_spaces([solid])).canvas.draw()


def test_four_cameras_see_each_map_by_kind_and_by_class():
    one = make_map("a $map", make_palette(("a", "b", "c_$")), 3)
    drawing = draw_spaces([one, replace(one, title="base")])
    figure = on_paper(drawing)
    assert len(figure.axes) == 16
    assert [ax.azim for ax in figure.axes[:4]] == list(CAMERAS)
    titles = [ax.texts[0].get_text() for ax in figure.axes if ax.texts]
    assert titles[0] == "a $map: clean and noisy"
    assert titles[-1] == "base: predicted class"
    scenes = {trace.get("scene") for trace in painted(drawing)["data"]} - {None}
    assert scenes == {"scene", "scene2"}  # the screen turns them by class alone


def test_a_turn_is_a_gif_that_goes_on(tmp_path):
    one = make_map("a $map", make_palette(("a", "b", "c_$")), 3)
    pictures = list(frames(space_panel(one), Looks(one.palette), count=4, pixels=160))
    with Image.open(save_gif(pictures, tmp_path / "turn.gif")) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (4, (160, 160), 0)
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_a_film_is_made_only_where_ffmpeg_is(tmp_path, monkeypatch):
    pictures = [Image.new("RGB", (4, 2), (i, 0, 0)) for i in range(3)]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert save_mp4(pictures, tmp_path / "turn.mp4") is None
    fake = tmp_path / "ffmpeg"
    fake.write_text('#!/bin/sh\nfor last; do :; done\ncat > "$last"\n')  # a film of the frames as they came
    fake.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(fake))
    film = save_mp4(pictures, tmp_path / "turn.mp4")
    assert film.read_bytes() == b"".join(picture.tobytes() for picture in pictures)
    fake.write_text("#!/bin/sh\nexit 1\n")
    assert save_mp4(pictures, tmp_path / "other.mp4") is None
    assert {path.name for path in tmp_path.iterdir()} == {"ffmpeg", "turn.mp4"}


def test_both_models_are_counted_in_the_same_bins():
    rng = np.random.default_rng(0)
    values = rng.gamma(4, 1, 90), rng.gamma(4, 2, 70)
    pair = Histogram("one pixel", "d_E $", ["base_$1", "adapted"], values, "JS 0.40, null 0.21, p = 0.001, 60 pairs")
    drawing = draw_histograms([[pair, pair], [pair]])
    edges = bin_edges(pair)
    assert edges[0] == min(values.min() for values in pair.values)
    assert edges[-1] == max(values.max() for values in pair.values)
    for block, some in zip(blocks_of(drawing, Series), pair.values, strict=True):
        np.testing.assert_array_equal(block.y[:-1], np.histogram(some, edges)[0])
    centres = [rule.at for rule in blocks_of(drawing, Rule)]
    np.testing.assert_allclose(centres, [centre(some) for some in values for centre in (np.median, np.mean)])
    figure = on_paper(drawing)
    assert figure.axes[0].get_title() == "one pixel\nJS 0.40, null 0.21, p = 0.001, 60 pairs"
    assert legend_of(figure) == ["base_$1", "adapted", "median", "mean"]
    figure.canvas.draw()


def test_a_panel_shows_the_numbers_and_names_the_levels():
    one = replace(
        make_sweep("exposure"), threshold="0.3 [0.4, 0.2] (milder than all levels)", levels=np.array([0.5, 0.1])
    )
    figure = on_paper(SweepSheet([one], ["spiral", "$merger"], "m").drawing())
    ax = figure.axes[0]
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0.5] * 3, [0.5] * 3, [0.9, 0.7, 0.5]]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["clean", "0.5", "0.1"]
    assert ax.get_title().splitlines() == ["exposure", "5 points lost at: 0.3 [0.4, 0.2]", "(milder than all levels)"]
    bands = [
        band.get_paths()[0].vertices[:, 1] for band in ax.collections if isinstance(band, FillBetweenPolyCollection)
    ]
    assert (bands[-1].min(), bands[-1].max()) == (one.accuracy.low.min(), one.accuracy.high.max())
    assert legend_of(figure) == ["spiral", "$merger", "accuracy"]


def test_five_perturbations_take_two_rows():
    drawing = SweepSheet([make_sweep(name) for name in "abcde"], ["spiral", "merger"], "m").drawing()
    figure = on_paper(drawing)
    assert [ax.get_title()[0] for ax in figure.axes if ax.axison] == list("abcde")
    assert len(figure.axes) == 8


def test_latents_show_medians_between_quartiles():
    distance, margin = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4]]), np.array([[1, 0, -1], [2, 1, 0], [3, 2, 1]])
    drawing = SweepLatents([replace(make_sweep("exposure"), distance=distance, margin=margin)]).drawing()
    far, left = blocks_of(drawing, Series)
    assert (far.low.tolist(), far.y.tolist(), far.high.tolist()) == ([0, 1, 2], [0, 2, 3], [0, 3, 4])
    assert (left.low.tolist(), left.y.tolist(), left.high.tolist()) == ([1, 0, -1], [2, 1, 0], [3, 2, 1])
    on_paper(drawing).canvas.draw()


@pytest.mark.parametrize(("classes", "omitted"), [(3, 0), (100, 77)])
def test_a_legend_of_many_classes_leaves_room_for_its_drawing(classes, omitted):
    names = [*(Key(f"class {k}", Meaning(label=k), None) for k in range(classes)), Key("accuracy", Meaning(), None)]
    kept, more = shortened_legend(names, 25)
    assert (len(kept), more) == (classes + 1 - omitted, omitted)
    assert kept[-1].name == "accuracy"


@pytest.mark.parametrize("log", [False, True])
def test_the_name_of_a_curve_without_points_is_left_out(log):
    blocks = (Words(1.0, float("nan"), "none"), Words(1.0, 1.0, "there"), Words(0.0, 2.0, "at zero"))
    figure = screen.paint(Drawing((Panel(blocks, x=Axis("queries", log=log)),)), Looks())
    texts = [one["text"] for one in figure["layout"]["annotations"]]
    assert "none" not in texts
    assert "there" in texts
    assert ("at zero" in texts) != log
    safe_json(figure)  # which refuses what is no number
