"""What may happen to a real run, and that it ends in the bytes of a run to which nothing happened."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from robustkit.cli import main
from robustkit.data import ImageSet
from robustkit.errors import InputError, RobustkitError
from robustkit.files import sha256_file
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.models import open_checkpoint, save_checkpoint
from robustkit.runs import Parts
from tests.attacks import ARGUMENTS, SMALL, same, silent
from tests.audits import make_audit


def command(attacks, out, *more):
    arguments = ["attack", "--model", attacks / "net.pt", *ARGUMENTS, "--device", "cpu", "--out", out, *more]
    return [sys.executable, "-m", "robustkit", *map(str, arguments)]


@pytest.mark.parametrize("lost", [(0,), (1,), (0, 1, 2)])
def test_a_run_that_lost_any_of_its_parts_gives_the_same_bytes(attacks, tmp_path, lost):
    shutil.copytree(attacks / "whole", tmp_path / "run")
    for unit in lost:
        Parts(tmp_path / "run").path(unit).unlink(missing_ok=True)
    run_attack(attacks / "net.pt", SMALL, out=tmp_path / "run", resume=True, say=silent)
    assert same(tmp_path / "run", attacks / "whole")


@contextmanager
def room_for(most):
    """No file may be larger than so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def certify(attacks, out, **more):
    run_certify(attacks / "net.pt", CertifyRequest(n=4, group=2, budget=500), out=out, say=silent, **more)


def attack(attacks, out, **more):
    run_attack(attacks / "net.pt", replace(SMALL, n=4), out=out, say=silent, **more)


@pytest.fixture(scope="module")
def wholes(attacks, tmp_path_factory):
    """What each run leaves when nothing happens to it."""
    folder = tmp_path_factory.mktemp("wholes")
    for run in (attack, certify):
        run(attacks, folder / run.__name__)
    return {run: files_of(folder / run.__name__) for run in (attack, certify)}


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (certify, "manifest.json"),
        (certify, "parts/0000000.npz"),
        (certify, "certificates.npz"),
        (certify, "vulnerability.png"),
        (attack, "flips-by-queries.png"),
    ],
)
def test_a_disk_that_is_full_at_any_file_is_one_sentence_and_the_run_goes_on(attacks, wholes, tmp_path, run, name):
    whole = wholes[run]
    with (
        pytest.raises(
            RobustkitError, match=rf"^cannot write .*/{name}: File too large; make room and continue with --res"
        ),
        room_for(len(whole[name]) * 9 // 10),
    ):
        run(attacks, tmp_path / "run")
    left = files_of(tmp_path / "run")
    assert name not in left
    assert left.keys() < whole.keys()  # no lock, and nothing that is not finished
    run(attacks, tmp_path / "run", resume=True)
    again = files_of(tmp_path / "run")
    assert again.keys() == whole.keys()
    timed = {"summary.json", *(path for path in whole if path.startswith("parts"))}
    assert all(again[path] == whole[path] for path in whole.keys() - timed)


def test_a_model_with_one_weight_changed_is_refused_on_resume_with_the_difference(attacks, tmp_path):
    shutil.copytree(attacks / "whole", tmp_path / "run")
    shutil.copytree(attacks / "galaxies", tmp_path / "galaxies")
    opened = open_checkpoint(attacks / "net.pt")
    with torch.no_grad():
        opened.classifier.module.fc.bias[0] += 1e-3
    save_checkpoint(tmp_path / "net.pt", opened.classifier.module, opened.card)
    old, new = (sha256_file(folder / "net.pt")[:50] for folder in (attacks, tmp_path))
    with pytest.raises(InputError, match=rf"model_sha256 was '{old}.* and is '{new}"):
        run_attack(tmp_path / "net.pt", SMALL, out=tmp_path / "run", resume=True, say=silent)
    assert same(tmp_path / "run", attacks / "whole")


def test_images_with_one_pixel_changed_are_refused_on_resume_with_the_difference(tmp_path):
    model, data = make_audit(tmp_path)
    request = AttackRequest(n=2, budget=10, searches=("random",), data=data)
    run_attack(model, request, out=tmp_path / "run", say=silent)
    image_set = ImageSet.load(data)
    images = np.array(image_set.images)
    images[0, 0, 0, 0] += 1
    other = replace(image_set, images=images).save(tmp_path / "other")
    with pytest.raises(InputError, match=r"data_sha256\.images\.npy was '.* and is '"):
        run_attack(model, replace(request, data=other), out=tmp_path / "run", resume=True, say=silent)


def test_what_a_run_is_given_stays_as_it_is(tmp_path):
    model, data = make_audit(tmp_path / "given")

    def stand():
        return {
            path: (path.stat().st_size, path.stat().st_mtime_ns) for path in [model.parent, *model.parent.rglob("*")]
        }

    before = stand()
    run_attack(model, AttackRequest(n=2, budget=10, data=data), out=tmp_path / "run", say=silent)
    run_certify(model, CertifyRequest(n=2, budget=50), out=tmp_path / "certify", say=silent)
    assert stand() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "surroundings",
    [
        {"TZ": "Pacific/Kiritimati", "LC_ALL": "de_DE.ISO-8859-1"},
        {"TZ": "America/St_Johns", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_time_zone_and_language_change_no_byte(attacks, tmp_path, surroundings):
    subprocess.run(
        command(attacks, tmp_path / "run"), env={**os.environ, **surroundings}, check=True, capture_output=True
    )
    assert same(tmp_path / "run", attacks / "whole")


@pytest.mark.parametrize("where", ["executors.choose_executor", "measurement.open_sample"])
@pytest.mark.parametrize("command", [["attack"], ["certify"], ["sweep", "--perturb", "gaussian"]])
def test_a_signal_before_the_run_is_open_asks_to_be_queued_again(
    attacks, tmp_path, monkeypatch, capsys, command, where
):
    def slow(*arguments, **options):
        signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(f"robustkit.runs.{where}", slow)
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(SystemExit) as ended:
        main([*command, "--model", str(attacks / "net.pt"), "--n", "2", "--out", str(tmp_path / "run")])
    assert ended.value.code == 75
    assert capsys.readouterr().err == "robustkit: stopped by SIGUSR1; finished work is kept, continue with --resume\n"
    assert signal.getsignal(signal.SIGUSR1) == before
    assert not (tmp_path / "run").exists()


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
    size = Parts(attacks / "whole").path(0).stat().st_size

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    stopped = subprocess.run(command(attacks, tmp_path / "run"), preexec_fn=limit, capture_output=True, text=True)
    assert stopped.returncode == 1
    assert "cannot write" in stopped.stderr
    assert "make room and continue with --resume" in stopped.stderr
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
