import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import time

import pytest

from robustkit.errors import InputError
from robustkit.runs import lock, only_writer


@pytest.fixture
def path(tmp_path):
    """A lock whose holder is dead."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "lock").write_text(json.dumps({"host": socket.gethostname(), "pid": dead.pid}))
    return tmp_path / "lock"


def holder(path):
    return json.loads(path.read_text())["pid"]


def test_the_lock_of_a_dead_process_is_taken_over(path):
    with only_writer(path):
        assert holder(path) == os.getpid()
    assert not list(path.parent.iterdir())


def test_the_lock_of_another_machine_is_respected(path):
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    with pytest.raises(InputError, match="process 1 on elsewhere"), only_writer(path):
        pass


@pytest.mark.parametrize("content", ["", '{"host": "el', "[]"])
def test_a_lock_that_says_nothing_is_refused_in_words(path, content):
    path.write_text(content)
    words = r"lock does not say which process writes to .*; delete it if none does"
    with pytest.raises(InputError, match=words), only_writer(path):
        pass


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_no_lock(tmp_path, monkeypatch, call):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(f"robustkit.runs.lock.os.{call}", full)
        with pytest.raises(OSError, match=r"No space left on device: .*lock"), only_writer(tmp_path / "lock"):
            pass
    assert not list(tmp_path.iterdir())
    with only_writer(tmp_path / "lock"):
        pass


def test_a_lock_that_another_process_took_is_not_given_back(tmp_path):
    with only_writer(tmp_path / "lock"):
        (tmp_path / "lock").write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    assert holder(tmp_path / "lock") == 1
    (tmp_path / "lock").unlink()
    with only_writer(tmp_path / "lock"):
        (tmp_path / "lock").unlink()


def test_file_systems_without_hard_links_will_do(path, monkeypatch):
    def link(*arguments):
        if path.exists():
            raise FileExistsError
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("robustkit.runs.lock.os.link", link)
    with only_writer(path):
        assert holder(path) == os.getpid()
    with only_writer(path):
        assert holder(path) == os.getpid()
        with pytest.raises(InputError, match=f"process {os.getpid()} on"), only_writer(path):
            pass


def test_without_file_locks_a_dead_lock_stays_and_it_is_said(path, monkeypatch):
    def flock(*arguments):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("robustkit.runs.lock.fcntl.flock", flock)
    with pytest.raises(InputError, match=r"is gone, but .*Function not implemented.*; delete it if"), only_writer(path):
        pass


HOLDS = """
import sys
from robustkit.runs import only_writer
with only_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("where", ["fcntl.flock", "os.link"])
def test_of_two_that_find_a_dead_lock_one_writes(path, monkeypatch, where, stays):
    """The other takes it over after this process found it dead, at several points, and writes still or is done."""
    owner = {"fcntl.flock": fcntl, "os.link": os}[where]
    name = where.rpartition(".")[2]
    real, others = getattr(owner, name), []

    def late(*arguments):
        if not others:
            other = subprocess.Popen([sys.executable, "-c", HOLDS, path], stdin=-1, stdout=-1, text=True)
            others.append(other)
            assert other.stdout.readline() == "held\n"
            if not stays:
                other.communicate("\n")
        return real(*arguments)

    monkeypatch.setattr(owner, name, late)
    if stays:
        with pytest.raises(InputError, match=r"another process writes to .* \(process \d+ on"), only_writer(path):
            pass
        assert holder(path) == others[0].pid
        others[0].communicate("\n")
    else:
        with only_writer(path):
            assert holder(path) == os.getpid()
    assert not list(path.parent.iterdir())


MANY = """
import os, signal, sys, time
from pathlib import Path
from robustkit.errors import InputError
from robustkit.runs import only_writer

folder = Path(sys.argv[1])
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that the dead are gone
for child in range(24):
    if not os.fork():
        while True:
            try:
                with only_writer(folder / "lock"):
                    os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))
                    time.sleep(0.002)
                    os.unlink(folder / "inside")
                    (folder / f"was-{child}").touch()
                    os._exit(0)  # without giving it back
            except InputError:
                time.sleep(0.001)
            except BaseException as error:
                (folder / f"error-{child}").write_text(repr(error))
                os._exit(1)
try:
    os.wait()
except ChildProcessError:
    pass
"""


def test_many_that_die_holding_it_hold_it_one_after_the_other(tmp_path):
    subprocess.run([sys.executable, "-c", MANY, tmp_path], check=True, timeout=60)
    assert [path.read_text() for path in tmp_path.glob("error-*")] == []
    assert len(list(tmp_path.glob("was-*"))) == 24


def record(**more):
    return json.dumps(lock._this_process() | more)


@pytest.mark.parametrize(
    ("more", "stays"),
    [
        ({"pid": 1}, False),  # a dead one of this machine lets go of its flock, whatever its number is now
        ({"pid": 1, "pid_namespace": "pid:[1]"}, False),
        ({"pid": 1, "boot": "another"}, True),  # of another machine, and it gave a sign of life just now
        ({"pid": 1, "boot": "another", "host": "elsewhere"}, True),
    ],
)
def test_a_holder_in_another_container_or_on_another_machine(tmp_path, more, stays):
    (tmp_path / "lock").write_text(record(**more))
    if stays:
        with pytest.raises(InputError, match="another process writes"), only_writer(tmp_path / "lock"):
            pass
        old = os.stat(tmp_path / "lock").st_mtime - lock._SILENCE - 1
        os.utime(tmp_path / "lock", (old, old))
    with only_writer(tmp_path / "lock"):
        assert holder(tmp_path / "lock") == os.getpid()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pid", [0, -1, 1 << 31, 1 << 70, 1.5, "1", None, True])
def test_a_lock_with_a_number_that_no_process_has_is_refused(tmp_path, pid):
    (tmp_path / "lock").write_text(record(pid=pid))
    with pytest.raises(InputError, match="does not say which process"), only_writer(tmp_path / "lock"):
        pass


def test_a_link_or_a_pipe_in_the_place_of_a_lock_is_refused(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "token")
    with pytest.raises(InputError, match="is a link"), only_writer(tmp_path / "lock"):
        pass
    assert not (tmp_path / "token").exists()


def test_the_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_BEAT", 0.01)
    with only_writer(tmp_path / "lock"):
        os.utime(tmp_path / "lock", (0, 0))
        for _ in range(500):
            if os.stat(tmp_path / "lock").st_mtime > 0:
                break
            time.sleep(0.01)
        assert os.stat(tmp_path / "lock").st_mtime > 0


TAKES = """
import os, sys, time
from robustkit.errors import InputError
from robustkit.runs import only_writer
try:
    with only_writer(sys.argv[1] + "/lock"):
        os.close(os.open(sys.argv[1] + "/inside", os.O_CREAT | os.O_EXCL))
        time.sleep(0.3)
        os.unlink(sys.argv[1] + "/inside")
        print("wrote")
except InputError as error:
    print("refused", "another process writes" in str(error))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="new pid namespaces need root on Linux")
def test_two_in_two_pid_namespaces_never_write_both(tmp_path):
    """Each is process 1 of its own namespace under one host name, as two containers are."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", TAKES, str(tmp_path)]
    for _ in range(50):
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        said = sorted(one.communicate(timeout=120)[0].strip() for one in both)
        assert [one.returncode for one in both] == [0, 0]
        # On a slow machine the second may begin when the first is done; never do both write at once.
        assert said in (["refused True", "wrote"], ["wrote", "wrote"])
