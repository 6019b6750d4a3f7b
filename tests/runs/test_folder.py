import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from robustkit.errors import InputError, RobustkitError, RunInterrupted
from robustkit.runs import Parts, interruptible, open_run, trouble_in_words

MANIFEST = {"inputs": {"seed": 1, "model": {"sha256": "abc"}}, "versions": {"torch": "2"}}


def test_a_run_goes_on_where_it_was(tmp_path):
    with open_run(tmp_path / "run", MANIFEST, resume=True) as run:
        Parts(run.folder).keep(1, {}, {})
    with open_run(tmp_path / "run", {**MANIFEST, "versions": {"torch": "3"}}, resume=True) as run:
        assert list(Parts(run.folder)) == [1]
        Parts(run.folder).keep(2, {}, {})
    with open_run(tmp_path / "run", MANIFEST, resume=True) as run:
        assert list(Parts(run.folder)) == [1, 2]


def test_a_run_kept_in_another_way_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(MANIFEST))
    with (
        pytest.raises(InputError, match=r"kept by another version of robustkit .*start it again in a new folder$"),
        open_run(tmp_path / "run", MANIFEST, resume=True),
    ):
        pass


def test_changed_inputs_are_refused_with_a_diff(tmp_path):
    with open_run(tmp_path / "run", MANIFEST):
        pass
    changed = {"inputs": {"seed": 2, "model": {"sha256": "abd"}}}
    with (
        pytest.raises(InputError, match=r"model\.sha256 was 'abc' and is 'abd'; seed was 1 and is 2"),
        open_run(tmp_path / "run", changed, resume=True),
    ):
        pass


def dead_process():
    """The number of a process that is gone."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    return dead.pid


@pytest.mark.parametrize(
    "left", [[], ["lock"], [".lock.a1.robustkit-part"], ["lock", ".manifest.json.b2.robustkit-part"]]
)
def test_a_run_killed_before_its_manifest_is_started_again(tmp_path, left):
    (tmp_path / "run").mkdir()
    for name in left:
        (tmp_path / "run" / name).write_text(json.dumps({"host": socket.gethostname(), "pid": dead_process()}))
    with open_run(tmp_path / "run", MANIFEST, resume=True) as run:
        assert list(Parts(run.folder)) == []
        assert sorted(os.listdir(run.folder)) == ["lock", "manifest.json"]


def test_what_a_kill_left_half_written_is_cleared_away_and_nothing_else(tmp_path):
    with open_run(tmp_path / "run", MANIFEST):
        pass
    (tmp_path / "run" / "parts").mkdir()
    for name in ("parts/.0000001.npz.x9.robustkit-part", ".summary.json.y8.robustkit-part", ".mine.part", ".mine"):
        (tmp_path / "run" / name).write_text("half")
    with open_run(tmp_path / "run", MANIFEST, resume=True) as run:
        left = sorted(str(path.relative_to(run.folder)) for path in run.folder.rglob("*"))
    assert left == [".mine", ".mine.part", "lock", "manifest.json", "parts"]


def test_a_folder_of_other_files_is_no_run_to_go_on_with(tmp_path):
    (tmp_path / "thesis.part").write_text("mine")
    with pytest.raises(InputError, match="already holds files"), open_run(tmp_path, MANIFEST, resume=True):
        pass
    assert os.listdir(tmp_path) == ["thesis.part"]


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_end_the_block_and_handlers_come_back(number):
    if number != signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)  # `nohup pytest` has one ignored
    before = signal.getsignal(number)
    with (
        pytest.raises(RunInterrupted, match=r"finished work is kept, continue with --resume") as caught,
        interruptible(),
    ):
        signal.raise_signal(number)
    assert caught.value.exit_code == 75
    assert signal.getsignal(number) == before


def test_a_signal_while_cleaning_up_breaks_nothing():
    cleaned = []

    @interruptible()
    def work():
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(1)

    with pytest.raises(RunInterrupted, match="SIGUSR1"):
        work()
    assert cleaned


def test_in_another_thread_signals_are_left_alone():
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(interruptible()(signal.getsignal), signal.SIGTERM).result() == signal.SIG_DFL


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "cannot write .*here: No space left on device; make room and continue with --resume"),
        (errno.EACCES, "stopped at .*here: Permission denied; put that right and continue with --resume"),
    ],
)
def test_trouble_with_a_file_is_a_sentence_and_the_outermost_advises(tmp_path, number, words):
    def fail():
        raise OSError(number, os.strerror(number), str(tmp_path / "here"))

    with pytest.raises(RobustkitError, match=f"{words}, finished work is kept$"), open_run(tmp_path / "a", MANIFEST):
        fail()
    assert not (tmp_path / "a" / "lock").exists()
    with (
        pytest.raises(RobustkitError, match=f"{words.partition(' and ')[0]} and dig$"),
        trouble_in_words(tmp_path, "dig"),
        open_run(tmp_path / "b", MANIFEST),
    ):
        fail()
    with pytest.raises(BrokenPipeError), trouble_in_words(tmp_path):
        raise BrokenPipeError


KILLED_AT_EACH_CALL = """
import os, sys
from pathlib import Path
from robustkit.files import write_json
from robustkit.runs import Parts, open_run

def run(folder):
    with open_run(folder, {"inputs": 1}, resume=True) as run:
        parts = Parts(run.folder)
        for unit in range(3):
            if unit not in parts:
                parts.keep(unit, {}, {"unit": unit})
        write_json(folder / "summary.json", [parts.note(unit) for unit in parts])

def killed(folder, k):
    "Whether the run was killed at its k-th call; a write is cut in half there."
    child = os.fork()
    if not child:
        calls = 0
        def watched(real):
            def call(*arguments, **options):
                nonlocal calls
                calls += 1
                if calls == k:
                    if real is write:
                        real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                    os._exit(1)
                return real(*arguments, **options)
            return call
        write = os.write
        for name in ("open", "write", "fsync", "replace", "link", "ftruncate", "unlink"):
            setattr(os, name, watched(getattr(os, name)))
        run(folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1

k = 1
while True:
    folder = Path(sys.argv[1]) / str(k)
    hit = killed(folder, k)
    killed(folder, k // 2)
    run(folder)
    assert [Parts(folder).note(unit)["unit"] for unit in Parts(folder)] == [0, 1, 2], k
    assert sorted(os.listdir(folder)) == ["manifest.json", "parts", "summary.json"], k
    assert sorted(os.listdir(folder / "parts")) == [f"000000{unit}.npz" for unit in range(3)], k
    if not hit:
        break
    k += 1
print(k)
"""


def test_killed_at_each_call_of_the_file_system_it_ends_with_every_unit_once(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED_AT_EACH_CALL, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20  # so many places there are


KILLED = """
import sys, time
from robustkit.runs import Parts, open_run
with open_run(sys.argv[1], {"inputs": 1}, resume=True) as run:
    parts = Parts(run.folder)
    for unit in range(400):
        if unit not in parts:
            parts.keep(unit, {}, {"unit": unit})
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
        parts = Parts(run.folder)
        assert [parts.note(unit)["unit"] for unit in parts] == list(range(400))
