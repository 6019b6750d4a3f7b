import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustkit.data import ImageSet
from robustkit.data.survey import LSST, Depth
from robustkit.perturb.faults.registry import SUITES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "examples" / "03_perturbations.py"))


def test_the_page_is_what_the_docstrings_say(script):
    text = (ROOT / "docs" / "perturbations.md").read_text()
    assert text == script["page"](), "run examples/03_perturbations.py again"
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == list(SUITES["lsst"])


def test_the_page_has_its_pictures(script):
    text = (ROOT / "docs" / "perturbations.md").read_text()
    named = {ROOT / "docs" / path for path in re.findall(r"\]\((images/\S+)\)", text)}
    assert named == set((ROOT / "docs" / "images" / "perturbations").iterdir())
    assert sum(path.stat().st_size for path in named) < 1_500_000
    for path in named:
        with Image.open(path) as picture:
            assert picture.size == (6 * 200 + 5 * 6, 222)


def test_the_script_shows_what_happens(script, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.normal(0, 300, (2, 3, 20, 20)).astype(np.float32)
    images[:, :, 8:12, 8:12] += 50_000
    ids, labels = np.array(["a", "b"]), np.zeros(2, np.int64)
    meta = Depth(LSST, 10, 10).meta()
    path = ImageSet(images, labels, ("x",), ("g", "r", "i"), ids, "electron", meta=meta).save(tmp_path / "set")
    names = {"SUITES": {"lsst": ("exposure", "band-drop", "hot-pixel,visits=all", "jpeg")}}
    script["main"].__globals__.update(names)
    script["main"](str(path), tmp_path, 1)
    script["main"].__globals__["SUITES"] = SUITES
    made = {file.stem: np.array(Image.open(file).convert("RGB")) for file in (tmp_path / "images").rglob("*.png")}
    assert set(made) == {"exposure", "band-drop", "hot-pixel-visits-all", "jpeg"}
    for name, picture in made.items():
        panels = [picture[22:, x : x + 40].astype(int) for x in range(0, picture.shape[1], 46)]
        assert len(panels) == 6
        change = [np.abs(panel - panels[0]).mean() for panel in panels]
        assert change[5] > max(0.1, change[1]), name
