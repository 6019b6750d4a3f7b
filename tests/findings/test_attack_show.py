# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from robustkit.data import ArcsinhStretch, MinMaxStretch
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.attack.show import chosen_flips, draw_gallery, table, write_attack
from robustkit.findings.attack.summary import AttackResult, summarize
from tests.perturb.records import flip, make_record, miss, small_record

BANDS = ("g", "r", "i")
STRETCH = ArcsinhStretch(low=(-50.0,) * 3, high=(9000.0,) * 3, c=0.85 / 9000)


def images(n=6):
    return np.full((n, 3, 8, 9), 0.5, dtype=np.float32)


def rows(record, **options):
    options = {"bands": BANDS, "stretch": STRETCH, "units": "electron", **options}
    return list(csv.DictReader(io.StringIO(table(record, **options))))


def test_every_image_and_every_attempt_has_a_line():
    lines = rows(small_record())
    assert [line["id"] for line in lines] == [f"i{k}" for k in (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5)]
    assert [line["search"] for line in lines] == ["de", "random"] * 5 + [""]
    wrong = lines[-1]
    assert (wrong["true"], wrong["clean"], wrong["flipped"], wrong["queries"]) == ("merger", "spiral", "", "")
    missed = lines[4]
    assert (missed["flipped"], missed["queries"], missed["new"], missed["row"]) == ("0", "100", "", "")


def test_a_flip_has_its_values_in_both_scales():
    line = rows(small_record())[0]
    assert (line["true"], line["new"], line["row"], line["column"]) == ("spiral", "elliptical", "3", "4")
    assert (line["p_true_before"], line["p_true_after"]) == (f"{np.float32(0.8):.9g}", f"{np.float32(0.2):.9g}")
    assert (line["p_new_before"], line["p_new_after"]) == (f"{np.float32(0.1):.9g}", f"{np.float32(0.6):.9g}")
    assert float(line["latent_distance"]) == 1.5
    assert np.float32(line["r_after"]) == np.float32(0.8)
    expected = STRETCH.inverse(np.full((3, 1, 1), 0.8))[1, 0, 0]
    np.testing.assert_allclose(float(line["r_after_electron"]), expected, rtol=1e-5)
    assert abs(float(line["g_before_electron"])) < 1e-3


@pytest.mark.parametrize("stretch", [None, MinMaxStretch()])
def test_values_that_cannot_be_calibrated_are_left_away(stretch):
    line = rows(small_record(), stretch=stretch)[0]
    assert "r_after" in line
    assert not [name for name in line if name.endswith("_electron")]


def test_pictures_are_chosen_by_the_rule():
    attempts = [flip(k, "de", queries, 1) for k, queries in enumerate((50, 10, 30, 90))] + [flip(4, "de", 5, 2)]
    record = make_record([*attempts, miss(5, "de", 100)], true=[0] * 6, clean=[0] * 6, searches=["de"])
    assert [(record.image[a], record.new_class[a]) for a in chosen_flips(record)] == [(2, 1), (4, 2)]


def test_everything_is_written(tmp_path):
    record = small_record()
    about = {"versions": {"robustkit": "0"}, "inputs": {"model": {"sha256": "0"}}}
    classifier = SimpleNamespace(module=None)
    checkpoint = SimpleNamespace(card=SimpleNamespace(bands=BANDS), stretch=STRETCH, classifier=classifier)
    sample = SimpleNamespace(
        checkpoint=checkpoint,
        whole=SimpleNamespace(units="electron"),
        inputs=torch.from_numpy(images()),
        constant=None,
    )
    said = write_attack(tmp_path, AttackResult(record, sample, tmp_path), about)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in written if path.parent == tmp_path} == {
        "attack.npz", "attacks.csv", "flips-by-queries.png", "summary.json",
    }  # fmt: skip
    assert said == [summarize(record).text(), f"everything is in {tmp_path}, the numbers in {tmp_path}/summary.json"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["searches"]["de"]["flip_rate"]["n"] == 5
    assert set(summary["pictures"]["files"]) == {path.name for path in written if path.parent.name == "pictures"}
    assert len(summary["pictures"]["files"]) == 3  # spiral to both others, elliptical to spiral
    assert summary["inputs"] == about["inputs"]
    assert AttackRecord.load(tmp_path / "attack.npz").queries.tolist() == record.queries.tolist()
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                picture.verify()


@pytest.mark.parametrize(("units", "said"), [("electron", " electrons (de, query"), ("unknown", "r 0.5 to 0.8")])
def test_a_picture_says_the_change_in_the_unit_of_the_images(units, said):
    checkpoint = SimpleNamespace(card=SimpleNamespace(bands=BANDS), stretch=STRETCH, classifier=None)
    sample = SimpleNamespace(
        checkpoint=checkpoint, whole=SimpleNamespace(units=units), inputs=torch.from_numpy(images())
    )
    figure = draw_gallery(AttackResult(small_record(), sample, None), 1)
    words = " ".join(" ".join(each.get_text() for each in figure.findobj(Text)).split())
    assert said in words
    assert ("electrons" in words) == (units == "electron")
