"""The code of the how-to runs, and does what the page says."""

import re
from pathlib import Path

import pytest
import torch

from robustkit.training.alignment import ALIGNMENTS
from robustkit.training.evaluate import predict_test
from tests.training.worlds import noisier, squares

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "add-a-training-method.md"


def test_a_method_of_ones_own_is_trained_and_evaluated(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    squares(60).save(tmp_path / "Y10")
    noisier(squares(60)).save(tmp_path / "Y1")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {}
    try:
        exec(compile(code, str(PAGE), "exec"), names)
    finally:
        ALIGNMENTS.pop("energy", None)
    assert "energy, epoch" in capsys.readouterr().out
    assert all("penalty" in row for row in names["trained"].history)
    assert {each.method for each in predict_test(tmp_path / "models" / "energy.pt")} == {"energy"}
    source, target = torch.zeros(4, 2), torch.zeros(4, 2)
    source[:2, 0] = 2.0
    target[:, 0] = 1.0  # distances between: 1; within the source: mean 1, within the target: 0
    assert float(names["Energy"]()(source, target)) == pytest.approx(0.5)
