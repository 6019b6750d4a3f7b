"""Accidents and threats as a person asks for them: whole commands, each refusal in one sentence."""

from dataclasses import replace

import numpy as np
import pytest

from robustkit.cli import main
from robustkit.data import ImageSet
from robustkit.data.stretch import MinMaxStretch
from robustkit.data.survey import LSST, Depth
from tests.audits import make_audit
from tests.own_fault import own_fault


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    model, data = make_audit(folder)
    images = ImageSet.load(data)
    lsst = replace(images, meta=Depth(LSST, 10, 10).meta())
    own = {"OWN": "(1, 4)", "ENDLESS": '(1, float("inf"))', "EMPTY": "(4, 1)"}
    for name, ends in own.items():
        (folder / f"{name.lower()}.py").write_text(own_fault(ends, ("corner",)))
    bright = np.array(images.images)
    bright[0, 0, 3, 4] = 9000.0  # beyond the bounds
    squeezed = MinMaxStretch()
    return {
        "MODEL": model,
        "LSST": lsst.save(folder / "lsst"),
        "BARE": replace(images, units="unknown", bounds=None).save(folder / "bare"),
        "UNDECLARED": replace(images, meta={}).save(folder / "undeclared"),
        "SQUEEZED": replace(lsst, images=squeezed(bright).astype(np.float32), stretch=squeezed, bounds=None).save(
            folder / "squeezed"
        ),
        **{name: f"{folder / name.lower()}.py:Corner" for name in own},
    }


def run(command, places, tmp_path, capsys):
    words = [str(places.get(word, word)) for word in command.split()]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--model", str(places["MODEL"]), "--n", "3", "--all", "--out", str(tmp_path / "run")])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("hazard --data BARE", "ask robustkit certify --values line which amplitudes of a pixel flip them"),
        ("attack --threat cosmic-ray --data BARE", "attack with --values instead of --threat"),
        ("hazard --data UNDECLARED", "does not declare scale, sky_electron"),
        ("attack --threat hot-pixel --data UNDECLARED", "does not declare scale, sky_electron"),
        ("hazard --data SQUEEZED", "give the calibrated images"),
        ("attack --threat hot-pixel --data SQUEEZED", "give the calibrated images"),
        ("hazard --data LSST --rate satellite=-1", "events per image from 0 to 1000"),
        ("hazard --data LSST --rate satellite=1001", "events per image from 0 to 1000"),
        ("hazard --data LSST --rate satellite=nan", "events per image from 0 to 1000"),
        ("hazard --data LSST --kept 1.5", "--kept must be between 0 and 1"),
        ("hazard --data LSST --events 0", "--events must be at least 1, got 0"),
        ("hazard --data LSST --events 1000000000000000000000", "--events must be from 1 to 1,000,000"),
        ("hazard --data LSST --depth Y30", "deeper than the images"),
        ("hazard --data LSST --survey sdss2", "sdss"),
        ("attack --threat hot-pixel,level=9:5 --data LSST", "two finite numbers"),
        ("attack --threat hot-pixel,level=5:inf --data LSST", "two finite numbers"),
        ("attack --threat ENDLESS --data LSST", "two finite numbers"),
        ("attack --threat EMPTY --data LSST", "two finite numbers"),
        ("attack --threat psf --data LSST --search complete", "normal noise"),
        ("certify --values line:1 --data LSST", "a weight for each of the 3 bands"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_sentence(places, tmp_path, capsys, command, why):
    code, _, err = run(command, places, tmp_path, capsys)
    assert code == 2
    assert why in err
    refusal = [line for line in err.strip().splitlines() if not line.startswith("robustkit: running Corner")]
    assert len(refusal) == 1, err
    assert not (tmp_path / "run" / "summary.json").exists()


def test_lines_of_images_without_units_are_in_their_own_units(places, tmp_path, capsys):
    code, out, err = run("certify --values line --budget 20 --data BARE", places, tmp_path, capsys)
    assert code == 0, err
    assert "electrons" not in out
    assert "sky sigma" not in out


def test_a_fault_of_your_own_is_a_threat_by_its_ranges(places, tmp_path, capsys):
    code, out, err = run("attack --threat OWN --search complete --footprints 3 --data LSST", places, tmp_path, capsys)
    assert code == 0, err
    assert "width 1 to 4" in out
    assert "it draws corner" in out


def test_a_hit_that_leaves_nothing_changes_no_class(places, tmp_path, capsys):
    asked = "hazard --fault hot-pixel --rate hot-pixel=0 --events 2 --depth own --data LSST"
    code, out, err = run(asked, places, tmp_path, capsys)
    assert code == 0, err
    assert "of a million objects 0 [0, 0] in Y10 change class" in out
