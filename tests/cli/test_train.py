import os
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from robustkit.cli import main
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
    offered = (offered - {"compile", "arch", "latent_layer"}) | {"compiled", "latent"}  # --arch names the network
    assert offered <= fields
    assert fields - offered == {"betas", "optimiser", "schedule", "ramp"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--source", "a", "--target", "other-bands", "--method", "mmd"], "different bands"),
        (["--source", "a", "--target", "other-units", "--method", "mmd"], "different units"),
        (["--source", "a", "--target", "b", "--method", "mmd", "--batch", "999"], "larger than the"),
        (["--source", "a", "--method", "mmd"], "--target"),
        (["--source", "rare"], "class 2"),
        (["--source", "a", "--method", "magic"], "known are"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, shallow = squares(60), noisier(squares(60))
    images.save("a")
    shallow.save("b")
    replace(shallow, bands=("g", "r", "z")).save("other-bands")
    replace(shallow, units="display").save("other-units")
    images.select(np.flatnonzero((images.labels != 2) | (np.arange(60) < 6))).save("rare")
    with pytest.raises(SystemExit) as stopped:
        main(["train", *arguments, "--out", "m.pt", "--epochs", "6"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("robustkit: ")
    assert said.count("\n") == 1
    assert words in said
