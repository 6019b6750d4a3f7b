"""What may happen to a real run, and that it ends in the bytes of a run to which nothing happened."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from robustkit.audit.attack import run_attack
from robustkit.errors import InputError
from tests.attacks import ARGUMENTS, SMALL, same, silent


def command(attacks, out, *more):
    arguments = ["attack", "--model", attacks / "net.pt", *ARGUMENTS, "--device", "cpu", "--out", out, *more]
    return [sys.executable, "-m", "robustkit", *map(str, arguments)]


def test_a_journal_cut_anywhere_gives_the_same_bytes(attacks, tmp_path):
    journal = (attacks / "whole" / "journal.jsonl").read_bytes()
    lines = [place for place, byte in enumerate(journal) if byte == ord("\n")]
    shutil.copytree(attacks / "whole", tmp_path / "run")
    for cut in (0, 1, lines[1], lines[1] + 1, lines[3] + 40):
        (tmp_path / "run" / "journal.jsonl").write_bytes(journal[:cut])
        run_attack(attacks / "net.pt", SMALL, out=tmp_path / "run", resume=True, say=silent)
        assert same(tmp_path / "run", attacks / "whole")


def test_a_changed_model_is_refused_on_resume(attacks, tmp_path):
    shutil.copytree(attacks / "whole", tmp_path / "run")
    model = tmp_path / "net.pt"
    content = bytearray((attacks / "net.pt").read_bytes())
    shutil.copytree(attacks / "galaxies", tmp_path / "galaxies")
    model.write_bytes(bytes(content) + b"\0")
    with pytest.raises(InputError, match=r"model_sha256 was|not a readable checkpoint"):
        run_attack(model, SMALL, out=tmp_path / "run", resume=True, say=silent)
    assert same(tmp_path / "run", attacks / "whole")


@pytest.mark.slow
def test_killed_at_twenty_random_moments_it_ends_in_the_same_bytes(attacks, tmp_path):
    chance, out = random.Random(0), tmp_path / "run"
    began = time.monotonic()
    subprocess.run(command(attacks, tmp_path / "timed"), check=True, capture_output=True)
    whole = time.monotonic() - began
    for _ in range(20):
        process = subprocess.Popen(command(attacks, out, "--resume"), stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 1.0) * whole)
        process.kill()
        process.wait()
        if (out / "summary.json").exists():
            shutil.rmtree(out)  # it was finished before: begin again, so that all kills hit a run under way
    subprocess.run(command(attacks, out, "--resume"), check=True, capture_output=True)
    assert same(out, attacks / "whole")


@pytest.mark.slow
def test_a_full_disk_stops_a_run_in_words_and_it_goes_on(attacks, tmp_path):
    size = (attacks / "whole" / "journal.jsonl").stat().st_size

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    stopped = subprocess.run(command(attacks, tmp_path / "run"), preexec_fn=limit, capture_output=True, text=True)
    assert stopped.returncode == 1
    assert "cannot write" in stopped.stderr
    assert "make room and go on with --resume" in stopped.stderr
    assert stopped.stderr.count("\n") == 1
    subprocess.run(command(attacks, tmp_path / "run", "--resume"), check=True, capture_output=True)
    assert same(tmp_path / "run", attacks / "whole")


@pytest.mark.slow
def test_a_second_run_in_the_folder_is_refused_and_told_of_the_first(attacks, tmp_path):
    first = subprocess.Popen(command(attacks, tmp_path / "run"), stdout=subprocess.DEVNULL)
    while not (tmp_path / "run" / "manifest.json").exists():
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        second = subprocess.run(command(attacks, tmp_path / "run", "--resume"), capture_output=True, text=True)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert second.returncode == 2
    assert f"process {first.pid} on" in second.stderr
    assert first.wait() == 0
    assert same(tmp_path / "run", attacks / "whole")
