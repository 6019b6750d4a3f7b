"""What a user installs: built as a release is built, and tried where there is no checkout. `make package` runs this."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.metadata import Metadata

import robustkit
from tests.packaging.clean import make_environment

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

# Galaxies for the commands below, without GalSim: it is an extra.
IMAGES = """
import numpy as np
rng = np.random.default_rng(0)
labels = np.arange(90) % 3
y, x = np.mgrid[:24, :24] - 11.5
widths = np.array([2.0, 3.5, 5.0])[labels, None, None, None]
images = rng.normal(0, 3, (90, 3, 24, 24)) + 300 * np.exp(-(x**2 + y**2) / (2 * widths**2))
np.savez("images.npz", images=images.astype(np.float32), labels=labels)
"""

# An audit of what needs no extra, in seconds.
AUDIT = """
model = "net.pt"
n = 6
take_all = true
attack = { searches = ["random"], budget = 60 }
sweep = { perturbations = ["gaussian", "jpeg"] }
certify = { seconds = 1.0 }
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the sdist and the wheel; the wheel is made of the sdist, not of the checkout."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)], check=True, capture_output=True)
    assert len(list(out.iterdir())) == 2
    return out


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(built, tmp_path_factory):
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    return make_environment(tmp_path_factory.mktemp("clean"), wheel)


def test_the_metadata_are_valid(wheel):
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (home,) = {name.partition("/")[0] for name in names} - {"robustkit"}
        metadata = Metadata.from_email(archive.read(f"{home}/METADATA"), validate=True)
        assert archive.read(f"{home}/licenses/LICENSE").decode() == (ROOT / "LICENSE").read_text()
    assert str(metadata.version) == robustkit.__version__
    assert metadata.license_expression == "BSD-3-Clause"
    assert metadata.description_content_type == "text/markdown"
    assert metadata.description == (ROOT / "README.md").read_text()


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {f"robustkit/{name}" for name in _tracked("robustkit")}


def test_the_sdist_holds_what_git_does(sdist):
    held = {str(path.relative_to(sdist)) for path in sdist.rglob("*") if path.is_file()}
    assert {name for name in _tracked(".") if not name.startswith(".")} <= held


def test_tests_that_read_the_checkout_pass_in_the_sdist(sdist):
    chosen = ["tests/models/foreign/test_documented.py", "tests/test_layers.py", "tests/packaging/test_project.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *chosen]
    environment = {**os.environ, "PYTHONPATH": str(sdist)}
    done = subprocess.run(command, cwd=sdist, env=environment, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_the_package_is_imported_from_the_environment(installed):
    said = installed.run("python", "-c", "import robustkit; print(robustkit.__file__, robustkit.__version__)")
    place, version = said.split()
    assert Path(place).is_relative_to(installed.folder)
    assert version == robustkit.__version__
    for name in ("py.typed", "report/template/page.html.j2", "report/template/page.css", "report/template/page.js"):
        assert (Path(place).parent / name).is_file()


def test_the_command_answers(installed):
    assert "Audits trained image classifiers" in installed.run("robustkit", "--help")
    assert robustkit.__version__ in installed.run("robustkit", "--version")
    assert "galsim not installed; pip install 'robustkit-audit[sim]'" in installed.run("robustkit", "doctor")
    assert "_robustkit_completion" in installed.run("robustkit", "completion", "bash")


def test_what_an_extra_is_for_is_refused_in_words(installed):
    said = installed.run("robustkit", "simulate", "--n", 3, "--out", "galaxies", status=2)
    assert said.splitlines()[-1].endswith("run: pip install 'robustkit-audit[sim]'")
    assert "Traceback" not in said


def test_one_trains_and_audits_without_any_extra(installed):
    installed.run("python", "-c", IMAGES)
    train = "train --data images.npz --stretch meanstd --epochs 2 --out net.pt --device cpu"
    installed.run("robustkit", *train.split())
    (installed.home / "audit.toml").write_text(AUDIT)
    installed.run("robustkit", "audit", "audit.toml", "--device", "cpu")
    page = (installed.home / "audit" / "report.html").read_text()
    assert "Plotly.newPlot" in page
    assert str(ROOT) not in page
    assert (installed.home / "audit" / "audit.json").stat().st_size > 1000


def _tracked(folder: str) -> set[str]:
    """The files of a folder that git knows, relative to it."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("there is no checkout to compare with")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT / folder, check=True, capture_output=True, text=True)
    return set(done.stdout.split())
