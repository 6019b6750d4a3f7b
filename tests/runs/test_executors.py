import io
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tqdm import tqdm

from robustkit.cli import main
from robustkit.cores import cores
from robustkit.errors import InputError
from robustkit.findings.attack.measure import Attack, run_attack
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.models.checkpoint import versions
from robustkit.runs import Parts, measurement
from robustkit.runs.executors import choose_executor
from robustkit.runs.measurement import check_versions
from tests.attacks import ARGUMENTS, SMALL, same, silent


def test_any_executor_gives_the_same_bytes(attacks, tmp_path):
    with ThreadPoolExecutor(3) as executor:
        run_attack(attacks / "net.pt", SMALL, out=tmp_path / "run", executor=executor, say=silent)
        certified = run_certify(
            attacks / "net.pt", CertifyRequest(n=3, group=2), out=tmp_path / "c", executor=executor, say=silent
        )
    assert same(tmp_path / "run", attacks / "whole")
    here = run_certify(attacks / "net.pt", CertifyRequest(n=3, group=2), out=tmp_path / "here", say=silent)
    assert (here.record.flips_map == certified.record.flips_map).all()


def test_worker_processes_on_two_devices_give_the_same_bytes(attacks, tmp_path, capsys):
    arguments = ["attack", "--model", attacks / "net.pt", *ARGUMENTS, "--device", "cpu,cpu", "--out", tmp_path / "run"]
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    assert done.value.code == 0, capsys.readouterr().err
    assert same(tmp_path / "run", attacks / "whole")


def test_a_worker_that_finds_another_model_refuses(attacks, tmp_path):
    class Moving(ThreadPoolExecutor):
        def submit(self, function, work, unit):
            task = work.args[0]
            object.__setattr__(task, "inputs", {**task.inputs, "model_sha256": "other"})
            return super().submit(function, work, unit)

    with Moving(1) as executor, pytest.raises(InputError, match=r"finds other files: model_sha256 was 'other'"):
        run_attack(attacks / "net.pt", SMALL, out=tmp_path / "run", executor=executor, say=silent)


def test_a_worker_of_other_versions_is_refused_by_name_when_it_is_given_work(attacks, tmp_path, monkeypatch):
    monkeypatch.setattr(measurement, "_open", None)
    monkeypatch.setattr(measurement, "versions", lambda: versions() | {"torch": "1.0"})
    words = rf"the worker process {os.getpid()} on .* has torch 1.0 and this process has {versions()['torch'][:3]}"
    with ThreadPoolExecutor(1) as executor, pytest.raises(InputError, match=words):
        run_attack(attacks / "net.pt", SMALL, out=tmp_path / "run", executor=executor, say=silent)
    assert not (tmp_path / "run" / "lock").exists()


def test_a_worker_opens_the_run_once_and_the_bar_ends_at_its_total(attacks, tmp_path, monkeypatch):
    opened, bars, init = [], [], Attack.__init__

    def opening(self, *arguments):
        opened.append(self)
        init(self, *arguments)

    def progress(**options):
        bars.append(tqdm(total=options["total"], file=io.StringIO(), disable=False))
        return bars[0]

    monkeypatch.setattr(measurement, "_open", None)
    monkeypatch.setattr(Attack, "__init__", opening)
    monkeypatch.setattr("robustkit.runs.running.progress", progress)
    with ThreadPoolExecutor(3) as executor:
        run_attack(attacks / "net.pt", SMALL, out=tmp_path / "run", executor=executor, say=silent)
    assert len(opened) == 2  # by this process, and by the one that works, for all of the five groups
    assert len(opened[0]) == 5
    assert bars[0].n == bars[0].total == 20  # images times searches


def test_workers_of_other_versions_are_refused_by_name():
    mine = versions()
    check_versions(mine, {"a": dict(mine), "b": mine | {"python": "3"}})
    with pytest.raises(InputError, match=r"the worker tcp://b:1 has torch 1.0 and this process has"):
        check_versions(mine, {"tcp://a:1": mine, "tcp://b:1": mine | {"torch": "1.0"}})
    with pytest.raises(InputError, match="has robustkit None"):
        check_versions(mine, {"x": {}})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "at least 1 worker"),
        ({"workers": 2, "dask": "tcp://x:1"}, "--workers and --dask exclude each other"),
        ({"device": "cpu,cpu", "parsl": "x.py"}, "--parsl and several devices exclude"),
        ({"device": "cpu,cpu", "workers": 3}, "2 devices have a worker each"),
        ({"device": "cpu,abacus"}, "unknown device 'abacus'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        choose_executor(**options)


def test_what_is_asked_for_is_where_it_works():
    assert choose_executor() == (None, None)
    assert choose_executor("cpu") == ("cpu", None)
    device, start = choose_executor("cpu", workers=3)
    assert (device, start.args) == ("cpu", (["cpu"] * 3,))


def test_an_unreachable_scheduler_is_a_sentence_within_ten_seconds(attacks, tmp_path, capsys, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    with pytest.raises(SystemExit) as done:
        main(["attack", "--model", str(attacks / "net.pt"), "--n", "2", "--dask", "tcp://127.0.0.1:9"])
    assert done.value.code == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err
    assert time.monotonic() - began < 10
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "it does not exist"), ("1 / 0", "ZeroDivisionError"), ("config = 3", "defines no `config`")],
)
def test_a_parsl_file_without_a_config_is_refused(tmp_path, text, words):
    pytest.importorskip("parsl")
    path = tmp_path / "site.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=words):
        choose_executor(parsl=path)


def processor_time(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals")
@pytest.mark.slow
@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_ends_a_run_within_five_seconds_and_it_goes_on(attacks, tmp_path, number, workers):
    arguments = [sys.executable, "-m", "robustkit", "attack", "--model", str(attacks / "net.pt"), *ARGUMENTS]
    arguments += ["--out", str(tmp_path / "run"), "--resume", *workers]
    process = subprocess.Popen(
        arguments, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)
    )
    while not list(Parts(tmp_path / "run")) and process.poll() is None:
        time.sleep(0.01)
    before = processor_time(process.pid)
    process.send_signal(number)
    began = time.monotonic()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - began
    # On a busy machine the wall clock says little; what it still computed is what it made others wait for. Of workers
    # all that they ever computed would be counted.
    assert workers or usage.ru_utime + usage.ru_stime - before < 5
    assert took < (5 if os.getloadavg()[0] < cores() else 30)
    wrong = process.stderr.read()
    process.stderr.close()
    assert process.returncode == 75, wrong
    assert "continue with --resume" in wrong
    assert subprocess.run(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode == 0
    assert same(tmp_path / "run", attacks / "whole")
