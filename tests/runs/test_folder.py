import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from robustkit.errors import InputError, RunInterrupted
from robustkit.runs import interruptible, only_writer, open_run

MANIFEST = {"inputs": {"seed": 1, "model": {"sha256": "abc"}}, "versions": {"torch": "2"}}


def test_a_run_goes_on_where_it_was(tmp_path):
    with open_run(tmp_path / "run", MANIFEST, resume=True) as run:
        run.append([{"unit": 1}])
    with open_run(tmp_path / "run", {**MANIFEST, "versions": {"torch": "3"}}, resume=True) as run:
        assert run.finished == [{"unit": 1}]
        run.append([{"unit": 2}])
    with open_run(tmp_path / "run", MANIFEST, resume=True) as run:
        assert run.finished == [{"unit": 1}, {"unit": 2}]


def test_changed_inputs_are_refused_with_a_diff(tmp_path):
    with open_run(tmp_path / "run", MANIFEST):
        pass
    changed = {"inputs": {"seed": 2, "model": {"sha256": "abd"}}}
    with (
        pytest.raises(InputError, match=r"model\.sha256 was 'abc' and is 'abd'; seed was 1 and is 2"),
        open_run(tmp_path / "run", changed, resume=True),
    ):
        pass


def test_a_run_killed_before_its_manifest_is_started_again(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").write_text(json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1}))
    with open_run(tmp_path / "run", MANIFEST, resume=True) as run:
        assert run.finished == []


def test_a_folder_that_holds_a_run_is_refused(tmp_path):
    with open_run(tmp_path / "run", MANIFEST):
        pass
    with pytest.raises(InputError, match="already holds files"), open_run(tmp_path / "run", MANIFEST):
        pass


def test_a_second_writer_is_refused_and_told_who_the_first_is(tmp_path):
    with open_run(tmp_path / "run", MANIFEST):
        expected = f"process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(InputError, match=expected), open_run(tmp_path / "run", MANIFEST, resume=True):
            pass
    assert not (tmp_path / "run" / "lock").exists()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "lock").write_text(json.dumps({"host": socket.gethostname(), "pid": dead.pid}))
    with only_writer(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_the_lock_of_another_machine_is_respected(tmp_path):
    (tmp_path / "lock").write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    with pytest.raises(InputError, match="process 1 on elsewhere"), only_writer(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_end_the_block_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with pytest.raises(RunInterrupted, match=r"finished work is kept, go on with --resume") as caught, interruptible():
        signal.raise_signal(number)
    assert caught.value.exit_code == 75
    assert signal.getsignal(number) == before


KILLED = """
import sys, time
from robustkit.runs import open_run
with open_run(sys.argv[1], {"inputs": 1}, resume=True) as run:
    for unit in range(len(run.finished), 2000):
        run.append([{"unit": unit}])
print("done")
"""


def test_killed_at_random_moments_it_ends_with_every_unit_once(tmp_path):
    import random

    random.seed(0)
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "run")])
        time.sleep(0.15 + 0.2 * random.random())
        process.kill()
        process.wait()
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "run")], check=True)
    with open_run(tmp_path / "run", {"inputs": 1}, resume=True) as run:
        assert [entry["unit"] for entry in run.finished] == list(range(2000))
