from click.testing import CliRunner

from robustkit.cli.evaluate import command as evaluate
from robustkit.cli.train import command as train
from tests.training.worlds import noisier, squares


def test_train_over_seeds_then_evaluate(tmp_path):
    squares(60).save(tmp_path / "Y10")
    noisier(squares(60)).save(tmp_path / "Y1")
    pair = ["--source", str(tmp_path / "Y10"), "--target", str(tmp_path / "Y1"), "--out", str(tmp_path / "models")]
    quick = ["--epochs", "2", "--warm-up", "1", "--batch", "16"]
    for method in (["--method", "mmd", "--seeds", "2", "--entropy", "--fisher"], ["--method", "oracle"]):
        result = CliRunner().invoke(train, [*pair, *quick, *method])
        assert result.exit_code == 0, result.output
    assert "ORACLE" in result.output
    names = sorted(path.name for path in (tmp_path / "models").glob("*.pt"))
    assert names == ["convnet-mmd-seed0.pt", "convnet-mmd-seed1.pt", "convnet-oracle-seed0.pt"]
    arguments = ["--model", str(tmp_path / "models"), "--draws", "99", "--out", str(tmp_path / "evaluation")]
    result = CliRunner().invoke(evaluate, arguments)
    assert result.exit_code == 0, result.output
    assert "mmd" in result.output
    assert (tmp_path / "evaluation" / "bars.png").is_file()
