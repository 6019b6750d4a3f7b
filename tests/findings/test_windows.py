# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from robustkit.cli import group
from robustkit.errors import InputError
from robustkit.files import read_json
from robustkit.findings.latents.attacked import open_attacked
from robustkit.findings.latents.running import find_in
from robustkit.findings.windows.measure import WINDOWS, gallery, run_window
from robustkit.findings.windows.pictures import window_pictures
from robustkit.findings.windows.record import WindowRequest, Windows
from robustkit.findings.windows.show import write_windows
from robustkit.latent.embeddings import Embeddings
from robustkit.latent.geometry import crossings, margins
from tests.attacks import make_attack


@pytest.fixture(scope="module")
def attack(tmp_path_factory):
    return make_attack(tmp_path_factory.mktemp("attack"), n=10)


def silent(line):
    """Says nothing."""


@pytest.fixture(scope="module")
def opened(attack):
    return open_attacked(*attack)


@pytest.fixture(scope="module")
def run(attack, tmp_path_factory):
    said = []
    done = run_window(*attack, out=tmp_path_factory.mktemp("out") / "windows", say=said.append)
    return done, "\n".join(said)


def test_a_run_leaves_records_table_summary_and_pictures(run):
    done, said = run
    names = {path.name for path in done.folder.iterdir()}
    assert {"embeddings.npz", "windows.npz", "windows.csv", "summary.json", "manifest.json"} <= names
    assert {"gallery.png", "gallery.pdf", "canonical.png", "canonical.pdf"} <= names
    summary = read_json(done.folder / "summary.json")
    assert summary["windows"] == int(done.latents.flipped.sum()) > 0
    assert summary["without"] == {"no one-pixel direction": int((~done.latents.flipped).sum())}
    assert summary["pictures"]["rule"].startswith("for up to 4 class changes")
    assert all((done.folder / name).stat().st_size > 1000 for name in summary["pictures"]["files"])
    axes = zip(done.record.axes, "xy", strict=True)
    assert summary["directions"] == {name: done.record.settings[axis] for name, axis in axes}
    assert summary["canonical"] == "drawn"
    assert f"{summary['windows']} of 10 images have a window along one-pixel and noise (exact, affine head)" in said
    fonts = re.findall(
        rb"/Subtype\s*/(Type3|TrueType|Type0|CIDFontType2)\b", (done.folder / "gallery.pdf").read_bytes()
    )
    assert fonts
    assert b"Type3" not in fonts


def test_the_table_holds_the_numbers_of_every_image(run):
    done, _ = run
    rows = list(csv.DictReader((done.folder / "windows.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == done.latents.ids.tolist()
    head, found = done.latents.head, done.latents
    for i, row in enumerate(rows):
        if not found.flipped[i]:
            assert row["why_not"] == "no one-pixel direction"
            assert row["x_crossing"] == row["plane_margin"] == ""
            continue
        moved = (found.attacked[i] - found.clean[i].astype(np.float64))[None]
        assert float(row["x_crossing"]) == pytest.approx(crossings(head, found.clean[i][None], moved).t[0])
        assert float(row["x_crossing"]) <= 1 + 1e-4  # it is a flip
        assert row["x_end"] == found.class_names[found.attacked_class[i]]
        assert float(row["true_margin"]) == pytest.approx(margins(head, found.clean[i][None]).distance[0])
        assert float(row["true_margin"]) <= float(row["plane_margin"])
        for what in ("area", "disc"):
            assert sum(float(row[f"{what}_{name}"]) for name in found.class_names) == pytest.approx(1, abs=1e-6)
        assert float(row["x_length"]) == pytest.approx(np.linalg.norm(moved))


def test_pictures_come_from_the_records_alone(run):
    done, _ = run
    windows = Windows.load(done.folder / "windows.npz")
    assert Embeddings.load(done.folder / "embeddings.npz").ids.tolist() == windows.ids.tolist()
    pictures = window_pictures(windows)
    assert len(pictures) == len(windows.shown)
    for picture, i in zip(pictures, windows.shown, strict=True):
        assert picture.title == f"{windows.class_names[windows.true[i]]} → {windows.class_names[windows.x_end[i]]}"
        assert [mark[2:] for mark in picture.marks] == [(0, 0), (1, 0), (0, 1)]
        area = 0.0
        for _, vertices in picture.polygons:
            x, y = vertices.T
            area += (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
        assert area == pytest.approx(2.2**2)


def test_windows_of_ids_that_look_alike_have_files_of_their_own(run, tmp_path):
    done, _ = run
    ids = done.record.ids.astype("<U20")
    ids[done.record.shown[:2]] = ["galaxy 1/2", "galaxy_1_2"]
    alike = replace(done, record=replace(done.record, ids=ids, shown=done.record.shown[:2]))
    write_windows(tmp_path, alike, {}, True)
    assert len(list((tmp_path / "windows").glob("*.png"))) == 2


def test_the_gallery_shows_the_earliest_the_median_and_the_latest_of_each_pair():
    start = np.array([0, 0, 0, 0, 0, 1, 1, 2, 2])
    end = np.array([1, 1, 1, 1, 1, 2, 2, 0, 2])
    crossing = np.array([0.5, 0.1, 0.9, 0.3, 0.7, 0.8, 0.2, 0.4, np.inf])
    made = np.ones(9, dtype=bool)
    assert gallery(start, end, crossing, made) == [1, 0, 2, 6, 5, 7]
    made[2] = False
    assert gallery(start, end, crossing, made)[:3] == [1, 3, 4]
    assert gallery(start, start, crossing, made)[:3] == [1, 3, 4]  # nothing changes class: all are candidates


@pytest.mark.parametrize(
    "request_",
    [
        {"orthogonal": True, "white": True, "colours": "paper"},
        {"x": "noise", "y": "random"},
        {"x": "random", "y": "random"},
        {"x": "gaussian:0.1", "y": "one-pixel", "extent": 2.0},
        {"resolution": 21},
    ],
)
def test_every_variant_is_measured_and_drawn(opened, request_):
    result = find_in(WINDOWS, [opened], WindowRequest(**request_), say=silent)
    windows = result.record
    assert len(window_pictures(windows)) == len(windows.shown)
    assert f"{result.summary()['windows']} of 10 images have a window along" in result.describe()
    made = windows.made
    assert made.any()
    np.testing.assert_allclose(windows.areas[made].sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(windows.disc[made].sum(axis=1), 1, atol=1e-9)
    if "random" in request_.values():
        assert made.all()
        assert np.abs(windows.cosine).max() < 0.3  # in 256 dimensions
    if request_.get("x") == "noise":
        np.testing.assert_allclose(windows.lengths[:, 0], windows.lengths[:, 1])
    if request_.get("orthogonal"):
        # Where the noisy image itself lies: the window is a map of lengths along x and across it.
        x, y = windows.y_mark[made].T
        length = np.hypot(x * windows.lengths[made, 0], y * windows.lengths[made, 1])
        np.testing.assert_allclose(length, windows.lengths[made, 1])
    if request_.get("resolution"):
        assert windows.method == "sampled, 21 x 21 cells"
        assert windows.grids.shape[1:] == (21, 21)


def test_one_seed_gives_one_random_direction(opened):
    def angles(seed):
        return find_in(WINDOWS, [opened], WindowRequest(x="noise", y="random", seed=seed), say=silent).record.cosine

    one = angles(1)
    np.testing.assert_array_equal(one, angles(1))
    assert (one != angles(2)).any()


def test_axes_that_are_not_named_are_random_where_no_image_has_them(opened):
    windows = find_in(WINDOWS, [opened], WindowRequest(noisy="none"), say=silent).record
    assert windows.axes == ["one-pixel", "random"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"x": "noise"}, "both axes are noise; a window needs two directions"),
        ({"noisy": "none", "y": "noise"}, "none of 10 images has a window along one-pixel and noise: no"),
        ({"x": "wind"}, "unknown axis 'wind'; expected one-pixel, noise, random, or a perturbation"),
        ({"x": "psf:1.0"}, "does not declare"),
        ({"colours": "gaudy"}, "unknown colours 'gaudy'"),
        ({"shown": ("galaxy-x",)}, "image 'galaxy-x' is not among the 10 images"),
        ({"extent": 0.0}, "extent is 0"),
        ({"resolution": 20}, "resolution is 20; it must be odd"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(attack, tmp_path, request_, words):
    with pytest.raises(InputError, match=words):
        run_window(*attack, WindowRequest(**request_), out=tmp_path / "out", say=silent)
    assert not (tmp_path / "out").exists()


def test_an_image_without_a_window_cannot_be_drawn(attack, run, tmp_path):
    missing = str(run[0].record.ids[~run[0].record.made][0])
    with pytest.raises(InputError, match=f"image '{missing}' has no window: no one-pixel direction"):
        run_window(*attack, WindowRequest(shown=(missing,)), out=tmp_path / "out", say=silent)


def test_the_command(attack, run, tmp_path, monkeypatch):
    model, folder = attack
    image = str(run[0].record.ids[run[0].record.made][0])
    arguments = ["window", "--model", model, "--run", folder, "--image", image, "--device", "cpu"]
    done = CliRunner().invoke(group, [*map(str, arguments), "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert done.exit_code == 0
    assert "everything is in" in done.output
    assert {path.name for path in (tmp_path / "out" / "windows").iterdir()} == {f"{image}.png", f"{image}.pdf"}
