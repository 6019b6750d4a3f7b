from click.testing import CliRunner

from robustkit.cli.train import command
from robustkit.models import open_checkpoint
from tests.training.worlds import squares


def test_train_writes_a_checkpoint_that_opens(tmp_path):
    folder = squares().save(tmp_path / "squares")
    arguments = ["--data", str(folder), "--out", str(tmp_path / "a.pt"), "--epochs", "1", "--batch", "16"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert open_checkpoint(tmp_path / "a.pt").card.network == "convnet"
