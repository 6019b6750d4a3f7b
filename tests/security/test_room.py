"""A disk without room, and a system without shared memory, are named in one sentence; nothing is left behind."""

import errno
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from robustkit.cli import main
from robustkit.files import take_room, unfinished_folder
from tests.attacks import ARGUMENTS, same
from tests.audits import make_audit


@pytest.fixture
def little_room():
    """No file may be larger than so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def said(arguments, capsys):
    with pytest.raises(SystemExit) as done:
        main(list(map(str, arguments)))
    return done.value.code, capsys.readouterr().err


def test_a_full_disk_ends_simulate_in_words_and_leaves_nothing(tmp_path, little_room, capsys):
    pytest.importorskip("galsim")
    little_room(100_000)
    status, err = said(["simulate", "--n", "8", "--size", "64", "--workers", "1", "--out", tmp_path / "g"], capsys)
    assert status == 1
    assert err.count("\n") == 1
    assert "File too large; make room and give the same command again" in err
    assert os.listdir(tmp_path) == []


def test_room_for_a_map_is_taken_before_it_is_written(tmp_path, monkeypatch):
    """A disk that fills while a map is written ends the process with a signal, without a word."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with open(tmp_path / "map", "w+b") as file:
        file.truncate(1 << 20)
        with pytest.raises(OSError, match="No space"):
            take_room(file)


@pytest.mark.parametrize("most", [2_000, 60_000])
def test_a_full_disk_ends_training_in_words(tmp_path, little_room, capsys, most):
    make_audit(tmp_path / "a", n=120)
    little_room(most)
    data = tmp_path / "a" / "galaxies"
    out = tmp_path / "out.pt"
    status, err = said(["train", "--data", data, "--epochs", "1", "--device", "cpu", "--out", out], capsys)
    assert status == 1
    assert err.splitlines()[-1].startswith("robustkit: cannot write ")
    assert "make room and continue with --resume, finished epochs are kept" in err
    assert "Traceback" not in err
    assert not out.exists()
    assert not [name for name in os.listdir(tmp_path) if "robustkit-part" in name]


def test_without_shared_memory_workers_are_refused_by_that_name(attacks, tmp_path, monkeypatch, capsys):
    class NoSharedMemory:
        def SimpleQueue(self):
            raise OSError(errno.EROFS, "Read-only file system")

    plain = multiprocessing.get_context
    monkeypatch.setattr(multiprocessing, "get_context", lambda kind=None: NoSharedMemory() if kind else plain())
    arguments = ["attack", "--model", attacks / "net.pt", "--n", "2", "--budget", "4", "--search", "random",
                 "--workers", "2", "--out", tmp_path / "run"]  # fmt: skip
    status, err = said(arguments, capsys)
    assert status == 1
    assert "this system gives none (Read-only file system); mount /dev/shm writable, or do without --workers" in err
    assert str(tmp_path) not in err


def test_what_a_killed_simulation_left_is_cleared_away_by_the_next_and_not_what_lives(tmp_path, capsys):
    pytest.importorskip("galsim")
    code = "import sys, time; from robustkit.files import unfinished_folder; from pathlib import Path\n"
    code += "with unfinished_folder(Path(sys.argv[1])) as made: print(made, flush=True); time.sleep(60)"
    others = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / "g"], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    dead, living = (other.stdout.readline().strip() for other in others if other.stdout)
    for other in others:
        assert other.stdout is not None
        other.stdout.close()
    others[0].send_signal(signal.SIGKILL)
    others[0].wait()
    (tmp_path / ".g.mine.part").mkdir()
    assert said(["simulate", "--n", "2", "--size", "32", "--workers", "1", "--out", tmp_path / "g"], capsys)[0] == 0
    assert not os.path.exists(dead)
    assert os.path.exists(living)
    assert (tmp_path / ".g.mine.part").is_dir()
    others[1].kill()
    others[1].wait()
    with unfinished_folder(tmp_path / "g"):
        assert not os.path.exists(living)


@pytest.mark.slow
def test_processes_that_draw_leave_no_traceback_behind_under_load(attacks, tmp_path):
    """At the end of a command the pool's own thread must be gone: a pipe that it closes then is still written to."""
    code = "from robustkit.runs.local import local_workers\n"
    code += "with local_workers([None] * 2) as pool: pool.submit(print, 1).result()"
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(8)]
    try:
        for _ in range(40):
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
    finally:
        for one in load:
            one.kill()
            one.wait()


def test_the_thread_of_a_pool_is_gone_when_its_block_ends():
    import threading

    from robustkit.runs.local import local_workers

    before = set(threading.enumerate())
    with local_workers([None] * 2) as pool:
        waiting = [pool.submit(time.sleep, 30) for _ in range(4)]
        assert pool.submit(len, "ab")
    assert set(threading.enumerate()) <= before
    assert all(one.done() for one in waiting)


ODD = {
    "optimised": "PYTHONOPTIMIZE=2", "locale C": "LC_ALL=C PYTHONUTF8=0 PYTHONIOENCODING=ascii",
    "no TMPDIR": "TMPDIR=/nonexistent", "no home": "HOME=/nonexistent", "home is a file": "HOME=/dev/null",
    "narrow": "COLUMNS=1 TERM=dumb", "hash seed": "PYTHONHASHSEED=7", "time zone": "TZ=Nowhere/At_all",
    "private": "umask 077;", "few files": "ulimit -n 64;", "little memory": "ulimit -v 6000000;",
    "no cores": "ulimit -c 0;", "no output": "exec >&-;",
    "no errors": "exec 2>&-;", "no input": "exec <&-;", "full output": "exec >/dev/full;",
    "full errors": "exec 2>/dev/full;",
    "nobody reads": "exec > >(true);",
    "warnings": "PYTHONWARNINGS=default", "from the root": "cd /;",
}  # fmt: skip


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("where", ["> /dev/full", "| true"])
def test_a_log_on_a_full_disk_or_without_a_reader_is_no_traceback(where):
    command = f"sleep 0.1; {sys.executable} -m robustkit --help {where}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    if "full" in where:
        assert done.returncode == 1
        assert done.stderr == (
            "robustkit: not all could be printed (No space left on device); what was to be written is there\n"
        )
    else:
        assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_a_run_in_an_odd_environment_leaves_the_same_bytes(attacks, tmp_path, name):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    out = tmp_path / "run"
    command = f"{sys.executable} -m robustkit attack --model {attacks / 'net.pt'} {' '.join(ARGUMENTS)} --out {out}"
    before, _, rest = ODD[name].rpartition(";")
    done = subprocess.run(
        ["bash", "-c", f"export PYTHONPATH={root}; {before or ':'}; {rest} {command}"],
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == (name == "full output"), done.stderr
    assert same(out, attacks / "whole")
