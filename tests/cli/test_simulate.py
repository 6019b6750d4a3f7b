"""`robustkit simulate`."""

import pytest
from click.testing import CliRunner

pytest.importorskip("galsim")

from robustkit.cli.simulate import command
from robustkit.errors import InputError


def test_the_command_writes_and_says_what_it_wrote(tmp_path):
    out = tmp_path / "galaxies"
    arguments = ["--n", "2", "--years", "5", "1", "--seed", "4", "--size", "20", "--workers", "1", "--out", str(out)]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    first, second, after = result.output.splitlines()
    assert after.startswith("next: robustkit train --data ")
    assert first.startswith(f"{out / 'Y5'}: 2 images of 20x20, bands g r i, units electron")
    assert second.startswith(f"{out / 'Y1'}: ")


def test_a_style_brings_its_camera_and_depth(tmp_path):
    out = tmp_path / "nearby"
    arguments = ["--n", "2", "--style", "sdss", "--size", "20", "--workers", "1", "--out", str(out)]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    line, _ = result.output.splitlines()
    assert line.startswith(f"{out / 'Y1'}: 2 images of 20x20, bands g r i, units electron")


def test_errors_are_ours(tmp_path):
    with pytest.raises(InputError, match="unknown survey"):
        CliRunner().invoke(command, ["--survey", "euclid", "--out", str(tmp_path / "x")], catch_exceptions=False)
