"""Fragile objects: the least change of a planted pixel is known, and so are the order, the links and the slices."""

import re
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch

from robustkit.data.columns import Columns
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from robustkit.findings.fragile.measure import find_fragile
from robustkit.findings.fragile.ranking import FragileObjects, aladin, fragile_rows, legacy, order_of, regions
from robustkit.findings.fragile.record import FragileRecord
from robustkit.findings.fragile.slices import Slices, bins, columns_of, dependences, slices_of
from robustkit.report.section import Cell
from robustkit.runs.arrays import sample_of
from tests.oracles import PlantedPixel

CLASSES = ("a", "b", "c")
HEIGHTS = (0.1, 0.5, 0.85)  # of the planted pixel, whose threshold is 0.9


@pytest.fixture(scope="module")
def sample():
    images = torch.zeros(4, 3, 12, 14)
    images[:, 1, 5, 9] = torch.tensor((*HEIGHTS, 0.2))
    images[0, :, 0, 0], images[1, :, 0, 1] = 1.0, -0.5  # the ends of the values that a pixel may take
    return sample_of(PlantedPixel(), images, [0, 0, 0, 1], class_names=CLASSES, ids=["x{1}", "y", "z", "wrong"])


@pytest.fixture(scope="module")
def record(sample, tmp_path_factory):
    asked = AttackRequest(searches=("auto",), part="all", n=4)
    attack = run_attack(sample, asked, out=tmp_path_factory.mktemp("attack") / "run", say=lambda line: None).record
    columns = Columns("here", 4, ["ra", "dec", "mag"], np.array([[1, 2, 20], [3, -4, 21], [np.nan] * 3, [5, 6, 22.0]]))
    found = find_fragile(sample, columns, attack=attack, certificate=None, pictures=None)
    return found, attack


def _one(record, attack):
    return SimpleNamespace(
        label="net", records={"fragile": record}, certificate=None, pictures=None, sweep=None, attack=attack,
        class_names=list(CLASSES), about={"true": [0, 0, 0, 1], "ids": record.ids.tolist()},
    )  # fmt: skip


def test_the_least_change_of_a_planted_pixel_is_found(record):
    found, attack = record
    np.testing.assert_array_equal(found.right, [True, True, True, False])
    np.testing.assert_array_equal(found.flipped, [True, True, True, False])
    after = {int(attack.image[a]): float(attack.after[a, 0, 1]) for a in np.flatnonzero(attack.flipped)}
    for i, height in enumerate(HEIGHTS):
        needed, whole = 0.9 - height, after[i] - height
        assert (found.row[i], found.column[i]) == (5, 9)
        # The first of 128 parts of the way that passes the threshold.
        assert needed / whole <= found.share[i] <= needed / whole + 1.001 / 128
        assert found.change[i, 1] == pytest.approx(found.share[i] * whole, rel=1e-5)
    assert np.isnan(found.share[3])
    np.testing.assert_allclose(found.margin[:3], np.minimum(1, 10 * (0.9 - np.array(HEIGHTS))), rtol=1e-5)  # to c


def test_the_most_fragile_stands_first_and_what_was_wrong_is_left_out(record):
    one = _one(*record)
    assert [str(one.records["fragile"].ids[i]) for i in order_of(one)] == ["z", "y", "x{1}"]
    said = FragileObjects(one, "fragile-objects").summary()
    assert said.startswith("z flips most easily")
    assert "1 that are misclassified without any change are left out" in said


def test_links_lead_to_the_object_and_are_there_only_where_the_sky_is_known(record):
    columns, rows = fragile_rows(_one(*record))
    place = columns.index("Aladin Lite")
    assert rows[0][place] == ""  # z has no place on the sky
    link = rows[1][place]
    assert isinstance(link, Cell)
    assert parse_qs(urlsplit(link.link).query)["target"] == ["3.000000 -4.000000"]
    assert parse_qs(urlsplit(legacy(3, -4)).query)["dec"] == ["-4.000000"]
    assert re.fullmatch(r"[\x21-\x7e]+", aladin(359.9, -89.0))
    csv = FragileObjects(_one(*record), "fragile-objects").table().csv()
    assert "https://aladin" in csv
    found, attack = record
    nowhere = _one(FragileRecord(**{**vars(found), "names": ["mag"], "values": found.values[:, 2:]}), attack)
    assert "Aladin Lite" not in fragile_rows(nowhere)[0]
    assert regions(nowhere) == ""


def test_a_region_file_holds_the_objects_with_a_place_in_their_order(record):
    lines = regions(_one(*record)).splitlines()
    assert lines[2:] == [
        "fk5", 'circle(3.000000,-4.000000,10") # text={2 y}', 'circle(1.000000,2.000000,10") # text={3 x_1_}',
    ]  # fmt: skip
    assert len(regions(_one(*record), most=2).splitlines()) == 4


def _many(n=200):
    """Images of which the faint half is wrong, and of which those of large size flip."""
    rng = np.random.default_rng(0)
    magnitude, size, other = rng.uniform(18, 22, n), rng.uniform(1, 5, n), rng.normal(size=n)
    right, nothing = magnitude < 20, np.full(n, np.nan)
    values = np.stack([magnitude, size, other, right.astype(float)], 1)
    return FragileRecord(
        ids=np.array([f"g{i}" for i in range(n)]), right=right, flipped=right & (size > 3), margin=nothing,
        share=nothing, change=np.full((n, 1), np.nan), sigmas=nothing, row=np.full(n, -1), column=np.full(n, -1),
        peak=nothing, names=["mag_r", "radius", "noise", "label"], values=values, source="here", matched=n, bands=["r"],
        unit="electrons",
    )  # fmt: skip


def test_slices_find_what_was_planted_and_nothing_else():
    record = _many()
    assert list(columns_of(record)) == ["mag_r", "radius", "noise"]  # a label gives the class away
    bright, *_, faint = (one for one in slices_of(record, "net") if one.column == "mag_r")
    assert (float(bright.accuracy.value), float(faint.accuracy.value)) == (1, 0)
    certain = {(one.column, one.outcome, one.lower) for one in dependences(record, "net") if one.p < 0.01}
    assert certain == {("mag_r", "accuracy", False), ("radius", "flips", False)}
    shown = Slices({"net": record})
    assert shown.summary().startswith("net is wrong more often at high mag_r (p < 0.001)")
    assert len(shown.drawing().panels) == 6
    assert len(shown.table().rows) == 12


def test_bins_hold_all_that_is_known_once_and_never_part_equal_values():
    values = np.array([np.nan, *np.repeat([1.0, 2.0, 3.0], [50, 60, 10])])
    masks = bins(values)
    np.testing.assert_array_equal(sum(mask.astype(int) for mask in masks), np.isfinite(values))
    for one in (1.0, 2.0, 3.0):
        assert sum(bool(mask[values == one].any()) for mask in masks) == 1


def test_few_images_or_one_value_are_no_slices():
    record = _many()
    few = FragileRecord(**{**vars(record), "values": np.where(np.arange(200)[:, None] < 39, record.values, np.nan)})
    assert columns_of(few) == {}
    same = FragileRecord(**{**vars(record), "values": np.ones_like(record.values)})
    assert columns_of(same) == {}
