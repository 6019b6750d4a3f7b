"""The page of an audit of two models keeps every chapter, section and file that it had, by its commands alone."""

import re

from tests.docs.world import run
from tests.inventory import kept, missing

REQUEST = """
model = "adapted.pt"
base = "source.pt"
n = 40
part = "all"

[attack]
searches = ["auto", "random"]
budget = 1000

[sweep]
perturbations = ["exposure", "cosmic-ray"]
"""


def test_the_page_keeps_its_chapters_sections_and_files(tmp_path):
    run("simulate", "--n", "60", "--size", "24", "--workers", "1", "--out", str(tmp_path / "galaxies"))
    for name, method in (("source.pt", "source"), ("adapted.pt", "mmd")):
        how = ("--method", method, "--warm-up", "1", "--epochs", "10")
        run("train", "--data", str(tmp_path / "galaxies"), *how, "--out", str(tmp_path / name))
    (tmp_path / "audit.toml").write_text(REQUEST)
    run("audit", str(tmp_path / "audit.toml"), "--device", "cpu", "--out", str(tmp_path / "audit"))
    html = (tmp_path / "audit" / "report.html").read_text(encoding="utf-8")
    page = kept()["page"]
    assert missing(page["chapters"], re.findall(r'<section id="([a-z0-9-]+)"', html)) == []
    assert missing(page["sections"], re.findall(r'<section class="one" id="([a-z0-9-]+)"', html)) == []
    written = {path.relative_to(tmp_path / "audit").as_posix() for path in (tmp_path / "audit").rglob("*")}
    assert missing(page["files"], sorted(written)) == []
    tables = [f"tables/{name}.csv" for name in page["sections"]]
    assert missing(tables, sorted(written)) == []
