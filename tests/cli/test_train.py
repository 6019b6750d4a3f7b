import os

import pytest
from click.testing import CliRunner

from robustkit.cli.train import _SETTINGS, command
from robustkit.errors import InputError
from robustkit.models import open_checkpoint
from robustkit.training import Settings
from tests.training.worlds import noisier, squares


def run(*arguments):
    return CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)


def test_train_writes_a_checkpoint_that_opens(tmp_path):
    folder = squares().save(tmp_path / "squares")
    result = run("--data", folder, "--out", tmp_path / "a.pt", "--epochs", 1, "--batch", 16)
    assert result.exit_code == 0, result.output
    assert "balanced accuracy" in result.output
    assert open_checkpoint(tmp_path / "a.pt").card.network == "convnet"


def test_options_and_presets_become_settings(tmp_path):
    squares(60).save(tmp_path / "a")
    noisier(squares(60)).save(tmp_path / "b")
    out = tmp_path / "m.pt"
    pair = ["--source", tmp_path / "a", "--target", tmp_path / "b", "--out", out, "--preset", "ad22", "--batch", 16]
    rest = ["--method", "mmd", "--epochs", 1, "--network", "deepmerge", "--entropy", "--no-dihedral"]
    run(*pair, *rest)
    settings = open_checkpoint(out).card.training["settings"]
    assert settings["betas"] == [0.7, 0.8]
    assert (settings["kernels"], settings["weight"], settings["weight_decay"]) == ("published", 0.05, 1e-4)
    assert (settings["network"], settings["entropy"], settings["dihedral"]) == ("deepmerge", 0.05, False)
    with pytest.raises(InputError, match="--resume"):
        run(*pair, "--method", "mmd", "--epochs", 1, "--network", "deepmerge", "--entropy", "--no-dihedral")
    again = run(
        *pair, "--method", "mmd", "--epochs", 1, "--network", "deepmerge", "--entropy", "--no-dihedral", "--resume"
    )
    assert again.exit_code == 0


def test_only_the_first_of_several_processes_speaks(tmp_path, monkeypatch):
    folder = squares().save(tmp_path / "squares")
    monkeypatch.setitem(os.environ, "RANK", "1")
    assert run("--data", folder, "--out", tmp_path / "a.pt", "--epochs", 1, "--batch", 16).output == ""


def test_every_setting_that_shapes_a_result_has_an_option():
    offered = {name.split("/")[0].removeprefix("--").replace("-", "_") for name, _ in _SETTINGS}
    fields = set(Settings.__dataclass_fields__)
    assert (offered - {"compile"}) | {"compiled"} <= fields
    assert fields - offered - {"compiled"} == {"betas", "optimiser", "schedule", "ramp"}
