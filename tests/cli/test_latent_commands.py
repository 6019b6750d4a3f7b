"""Window, isomap and distances as commands, on a small attack."""

import numpy as np
import pytest

from robustkit.cli import main
from tests.attacks import make_attack
from tests.cli.forms import making


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    return make_attack(tmp_path_factory.mktemp("attacked"), n=8)


@pytest.mark.parametrize("command", ["distances", "isomap", "window"])
def test_a_command_on_the_latents_of_an_attack_ends_well(attacked, tmp_path, command):
    model, run = attacked
    with pytest.raises(SystemExit) as done:
        main([command, "--model", str(model), "--run", str(run), "--device", "cpu", "--out", str(tmp_path / "out")])
    assert done.value.code == 0
    assert (tmp_path / "out" / "summary.json").is_file()


def _run(*words):
    with pytest.raises(SystemExit) as done:
        main([str(word) for word in words])
    assert done.value.code == 0


def test_commands_on_an_attack_run_in_another_folder(tmp_path, monkeypatch, capsys):
    """Everything was named from the folder of the attack: model, code, images, and labels in a file of their own."""
    there, here = tmp_path / "there", tmp_path / "here"
    for folder in (there, here):
        folder.mkdir()
    monkeypatch.chdir(there)
    images = making.pictures()
    network = making.made("Net", images)
    np.save("d.npy", images)
    np.save("classes.npy", making.logits(network, images).argmax(1))
    model = [making.state(network), *making.code("Net"), *making.BOUNDS, "--classes", "a,b,c"]
    short = ("--n", 8, "--search", "best-first", "--budget", 300, "--out", "runs/attack", "--device", "cpu")
    _run("attack", "--model", *model, "--data", "d.npy", "--labels", "classes.npy", *short)
    monkeypatch.chdir(here)
    looking = ("--model", there / "net.pt", "--arch", f"{there / 'nets.py'}:Net", "--run", "../there/runs/attack")
    for command, more in (
        ("distances", ()), ("isomap", ("--frames", 0, "--neighbours", 2)), ("window", ("--resolution", 15))
    ):  # fmt: skip
        capsys.readouterr()
        _run(command, *looking, "--noisy", "none", "--device", "cpu", "--out", command, *more)
        assert (here / command / "summary.json").is_file()
