"""The scripts of docs/howto/run-on-a-cluster.md, as far as they can be tried without a scheduler."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from robustkit.cli import group
from robustkit.runs import Shard

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "run-on-a-cluster.md"
TASKS = 64


def block(start):
    """The code block of the page that begins so."""
    found = [text for text in re.findall(r"```[^\n]*\n(.*?)```", PAGE.read_text(), re.DOTALL) if text.startswith(start)]
    assert len(found) == 1
    return found[0]


def options_of(arguments):
    """What the command line understands of the arguments of a task."""
    name, *rest = arguments
    command = group.get_command(None, name)
    return command.make_context(name, rest).params


def check_tasks(tasks):
    """Every shard has one task, each with a folder of its own, and all can go on."""
    given = [options_of(task) for task in tasks]
    shards = [Shard.parse(options["shard"]) for options in given]
    assert sorted(shard.index for shard in shards) == list(range(1, TASKS + 1))
    assert {shard.of for shard in shards} == {TASKS}
    assert len({options["out"] for options in given}) == TASKS
    assert all(options["resume"] for options in given)
    for shard, options in zip(shards, given, strict=True):
        assert options["out"].name == f"shard-{shard.index}"


def stub(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs bash")
def test_the_tasks_of_the_slurm_array_are_all_shards(tmp_path):
    script = block("#!/bin/bash")
    array = re.search(r"#SBATCH --array=(\d+)-(\d+)", script)
    assert array is not None
    stub(tmp_path, "srun", f'printf "%q " "${{@:2}}" >> {tmp_path}/said; echo >> {tmp_path}/said; exit ${{STATUS:-0}}')
    stub(tmp_path, "scontrol", f'echo "$@" >> {tmp_path}/requeued')
    about = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_CPUS_PER_TASK": "1", "SLURM_ARRAY_JOB_ID": "9"}

    def submit(task, **more):
        given = about | {"SLURM_ARRAY_TASK_ID": str(task)} | more
        return subprocess.run(["/bin/bash", "-c", script], env=given, cwd=tmp_path).returncode

    for task in range(int(array[1]), int(array[2]) + 1):
        assert submit(task) == 0
    check_tasks([shlex.split(line) for line in (tmp_path / "said").read_text().splitlines()])
    assert not (tmp_path / "requeued").exists()
    assert submit(7, STATUS="75") == 75
    assert (tmp_path / "requeued").read_text() == "requeue 9_7\n"


def test_the_tasks_of_the_htcondor_queue_are_all_shards():
    lines = [line.partition("=") for line in block("executable").splitlines() if "=" in line]
    settings = {name.strip(): value.strip() for name, _, value in lines}
    assert f"queue {TASKS}" in block("executable")
    first = settings["shard"]  # a sum, which $INT() works out
    assert re.fullmatch(r"\$\(Process\) \+ \d+", first)

    def written_out(text, process):
        shard = process + int(first.rpartition("+")[2])
        return text.replace("$INT(shard)", str(shard))

    check_tasks([shlex.split(written_out(settings["arguments"], process)) for process in range(TASKS)])
    assert len({written_out(settings["output"], process) for process in range(TASKS)}) == TASKS
    assert settings["on_exit_remove"] == "(ExitCode =!= 75)"
