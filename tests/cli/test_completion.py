import os
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import BashComplete

from robustkit.cli import COMMANDS, group
from robustkit.cli.names import LETTERS, LIMITS, TAKES, Names


def complete(*words):
    """What is offered for the last of the words."""
    offered = BashComplete(group, {}, "robustkit", "_ROBUSTKIT_COMPLETE").get_completions(list(words[:-1]), words[-1])
    return [(item.type, item.value) for item in offered]


def names(*words):
    return [value for kind, value in complete(*words) if kind == "plain"]


def test_commands_are_offered():
    assert names("a") == ["audit", "attack"]
    assert names("") == list(COMMANDS)


def test_options_are_offered():
    assert "--trust-checkpoint" in names("attack", "--tr")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("train", "--method", "c"), ["coral", "cdan"]),
        (("train", "--data", "x", "--network", ""), ["convnet", "resnet18", "deepmerge"]),
        (("sweep", "--perturb", "bad-"), ["bad-column", "bad-row"]),
        (("sweep", "--levels", "1", "2", "--suite", ""), ["lsst", "plain"]),
        (("attack", "--search", "best"), ["best-first"]),
        (("simulate", "--survey", ""), ["lsst", "des", "hsc", "sdss", "hst"]),
        (("simulate", "--style", "h"), ["hst"]),
        (("audit", "--part", "t"), ["train", "test"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
    ],
)
def test_names_are_offered(words, offered):
    assert names(*words) == offered


@pytest.mark.parametrize(
    "words",
    [("attack", "--model", "c"), ("train", "--data", "g"), ("audit", "--base", ""), ("audit", ""), ("report", "au")],
)
def test_files_are_offered(words):
    assert complete(*words) == [("file", words[-1])]


def test_what_is_offered_is_what_there_is():
    from robustkit.data import STRETCHES
    from robustkit.data.styles import STYLES
    from robustkit.data.survey import SURVEYS
    from robustkit.models import NETWORKS
    from robustkit.perturb.faults.registry import PERTURBATIONS, SUITES
    from robustkit.perturb.search.registry import SEARCHES
    from robustkit.training.alignment import ALIGNMENTS
    from robustkit.training.settings import CHOICES, PLAIN

    there = {
        "--method": {*PLAIN, *ALIGNMENTS},
        "--network": {*NETWORKS},
        "--perturb": {*PERTURBATIONS},
        "--suite": {*SUITES},
        "--search": {*SEARCHES},
        "--survey": {*SURVEYS},
        "--style": {*STYLES},
        "--stretch": {*STRETCHES, "unit"},
        **{
            f"--{name.replace('_', '-')}": {*CHOICES[name]} - {None}
            for name in ("kernels", "batch_norm", "select", "precision", "fisher")
        },
    }
    offered = {option: set(takes.names) for option, takes in TAKES.items() if isinstance(takes, Names)}
    assert {option: offered[option] for option in there} == there


def test_every_option_that_has_names_is_one_of_a_command():
    used = {
        word for name in COMMANDS for each in group.get_command(None, name).params for option in each.opts
        for word in (option, f"{name} {option}")
    }  # fmt: skip
    assert {*TAKES, *LIMITS, *LETTERS} <= used


def test_bash_completes_with_what_the_command_prints(tmp_path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "robustkit", "completion", "bash"]
    script = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    program = tmp_path / "robustkit"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m robustkit "$@"\n')
    program.chmod(0o755)
    lines = [
        script,
        "COMP_WORDS=(robustkit train --method m); COMP_CWORD=3",
        f"_robustkit_completion {program}",
        'echo "${COMPREPLY[@]}"',
    ]
    done = subprocess.run([bash, "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mmd", "mcc"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_of_their_own(robustkit, shell):
    status, said, _ = robustkit("completion", shell)
    assert status == 0
    assert f"_ROBUSTKIT_COMPLETE={shell}_complete" in said


def test_a_shell_that_is_not_known_is_refused(robustkit):
    status, _, said = robustkit("completion", "tcsh")
    assert status == 2
    assert "'bash', 'zsh', 'fish'" in said
