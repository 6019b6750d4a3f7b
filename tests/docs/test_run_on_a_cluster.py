"""The scripts of docs/howto/run-on-a-cluster.md without a scheduler, and its Dask and Parsl on this machine."""

import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from robustkit.cli import group
from robustkit.runs import Shard
from tests.docs.blocks import ROOT, lines
from tests.docs.shell import Shell, tiny

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "run-on-a-cluster.md"
SHELL = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
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


def command_with(option):
    """The command of the page that has the option, at the size of a test."""
    (words,) = [words for words in lines("\n".join(SHELL)) if option in words and words[0] == "robustkit"]
    return tiny(words[1:])


def environment():
    """That of a terminal in which the environment of these tests is active."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def check_same(folder, words):
    """The command leaves what the first command of the page leaves, which runs here."""
    Shell(folder).run(["robustkit", *lines(SHELL[0])[0][1:]])
    done = subprocess.run(
        [sys.executable, "-m", "robustkit", *words], env=environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    out = folder / words[words.index("--out") + 1]
    for name in ("attack.npz", "attacks.csv"):
        assert (out / name).read_bytes() == (folder / "attack" / name).read_bytes()
    return done.stdout


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_dask_of_the_page_leaves_the_same_bytes(given_folder):
    distributed = pytest.importorskip("distributed")
    port = free_port()
    started = [words for words in lines("\n".join(SHELL)) if words[0] == "dask"]
    assert [words[1] for words in started] == ["scheduler", "worker"]
    with ExitStack() as stack:
        for words in started:
            here = [sys.executable, "-m", *(word.replace("8786", port) for word in words)]
            process = stack.enter_context(subprocess.Popen(here, env=environment(), stderr=subprocess.DEVNULL))
            stack.callback(process.terminate)
        with distributed.Client(f"tcp://localhost:{port}", timeout=120, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        said = check_same(given_folder, [word.replace("8786", port) for word in command_with("--dask")])
    assert "2 Dask workers at tcp://localhost" in said


@pytest.mark.slow
def test_the_parsl_of_the_page_leaves_the_same_bytes(given_folder):
    pytest.importorskip("parsl")
    Path("site.py").write_text(block("from parsl"))
    check_same(given_folder, command_with("--parsl"))
    assert Path("runinfo").is_dir()
