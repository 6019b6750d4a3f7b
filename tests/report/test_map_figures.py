from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from robustkit.report.map_figures import (
    CAMERAS,
    MapPoints,
    draw_cameras,
    draw_map,
    draw_maps,
    frames,
    save_gif,
    save_mp4,
)
from robustkit.report.palette import make_palette


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    image = np.concatenate([np.arange(12), np.arange(12), [3, 4]])
    kind = np.repeat([0, 1, 2], [12, 12, 2])
    places = rng.normal(size=(26, 3)) * (4, 2, 1)
    predicted = image % 3
    return MapPoints(
        "a $map", places, image, kind, predicted, np.array([3]), np.array([[0, 5]]), make_palette(("a", "b", "c_$"))
    )


def flat(points):
    return replace(points, places=points.places[:, :2])


def test_every_point_is_drawn_filled_or_empty_by_its_kind(points):
    figure = draw_maps([flat(points), replace(flat(points), title="other")])
    ax = figure.axes[0]
    clouds = {kind: [] for kind in ("filled", "empty")}
    for drawn in ax.collections[1:7]:  # the first are the lines to the flips
        clouds["filled" if len(drawn.get_facecolors()) else "empty"].append(np.asarray(drawn.get_offsets()))
    for name, kind in (("filled", 0), ("empty", 1)):
        shown = np.concatenate(clouds[name])
        expected = points.places[points.kind == kind, :2]
        assert sorted(map(tuple, shown)) == sorted(map(tuple, expected))
    steps = ax.collections[0].get_segments()
    np.testing.assert_array_equal(steps[1], points.places[[4, 25], :2])
    assert [text.get_text() for text in ax.texts] == ["1"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:5] == ["a", "b", "c_$", "clean", "noisy"]
    assert "joins two pieces" in legend
    figure.canvas.draw()


def test_points_without_a_place_are_left_out(points):
    places = points.places[:, :2].copy()
    places[24:] = np.nan
    figure = draw_maps([replace(points, places=places)])
    figure.canvas.draw()
    assert np.isfinite(figure.axes[0].dataLim.get_points()).all()


def test_four_cameras_see_each_map_by_exposure_and_by_class(points):
    figure = draw_cameras([points, replace(points, title="base")])
    assert len(figure.axes) == 16
    assert [ax.azim for ax in figure.axes[:4]] == list(CAMERAS)
    figure.canvas.draw()
    titles = [ax.texts[0].get_text() for ax in figure.axes if ax.texts]
    assert titles[0] == "a $map: clean and noisy"
    assert titles[-1] == "base: predicted class"


def test_a_turn_is_a_gif_that_goes_on(points, tmp_path):
    pictures = list(frames(points, count=4, pixels=160))
    with Image.open(save_gif(pictures, tmp_path / "turn.gif")) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (4, (160, 160), 0)
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_a_film_is_made_only_where_ffmpeg_is(points, tmp_path, monkeypatch):
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


def test_a_drawing_goes_on_the_axes_given(points):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert draw_map(flat(points), ax) is ax
    assert ax.get_xlabel() == "axis 1"
