import pytest
from click.testing import CliRunner

from robustkit.cli.search import command
from robustkit.models import open_checkpoint
from tests.training.worlds import noisier, squares

pytest.importorskip("optuna")


def test_search_prints_the_best_trial_and_leaves_its_checkpoint(tmp_path):
    squares(60).save(tmp_path / "Y10")
    noisier(squares(60)).save(tmp_path / "Y1")
    pair = ["--source", str(tmp_path / "Y10"), "--target", str(tmp_path / "Y1"), "--out", str(tmp_path / "search")]
    quick = ["--method", "source", "--epochs", "1", "--batch", "16", "--trials", "2"]
    result = CliRunner().invoke(command, [*pair, *quick], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "trial-00" in result.output
    found = [
        open_checkpoint(path).card.training["settings"]["learning_rate"] for path in (tmp_path / "search").glob("*.pt")
    ]
    assert len(set(found)) == 2
    assert all(1e-4 <= rate <= 1e-2 for rate in found)
