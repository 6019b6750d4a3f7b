"""Window, isomap and distances as commands, on a small attack."""

import pytest

from robustkit.cli import main
from tests.attacks import make_attack


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
