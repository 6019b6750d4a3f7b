"""What docs/howto/add-a-perturbation.md tells a user to do, done."""

import csv
import re
import sys
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from robustkit.cli import group
from robustkit.data import ImageSet
from robustkit.data.survey import LSST, Depth
from tests.audits import make_audit

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "add-a-perturbation.md"


def test_the_page_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    model, galaxies = make_audit(tmp_path)
    data = replace(ImageSet.load(galaxies), meta=Depth(LSST, 10, 10).meta()).save(tmp_path / "lsst")
    code, check = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "leaks.py").write_text(code)
    exec(check, {})
    command = re.search(r"^robustkit (sweep .*)$", PAGE.read_text(), re.MULTILINE).group(1).split()
    command[command.index("ckpt.pt")] = str(model)
    result = CliRunner().invoke(group, [*command, "--data", str(data), "--n", "5", "--out", "run"])
    assert result.exception is None
    rows = list(csv.DictReader((tmp_path / "run" / "sweep.csv").read_text().splitlines()))
    assert [row["perturbation"] for row in rows] == ["clean"] + ["dark-current"] * 5
    sys.modules.pop("leaks")
