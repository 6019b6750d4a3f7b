"""Real engines on this machine, with workers killed while they work."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from robustkit.errors import InputError
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from robustkit.models.checkpoint import versions
from robustkit.runs import Parts
from robustkit.runs.dask_workers import dask_workers
from robustkit.runs.executors import choose_executor
from robustkit.runs.measurement import check_versions
from tests.attacks import SMALL, same, silent
from tests.audits import make_audit

pytestmark = pytest.mark.filterwarnings("ignore")  # the engines warn about their own dead workers
REQUEST = AttackRequest(n=16, budget=300, group=1, searches=("random", "de"))


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """As `attacks`, but an attack that takes long enough to kill a worker of it."""
    folder = tmp_path_factory.mktemp("attacks")
    model, _ = make_audit(folder)
    run_attack(model, REQUEST, out=folder / "whole", say=silent)
    return folder


def kill_when(folder: Path, finished: int, pids) -> threading.Thread:
    """Kills one of the processes when so many units are finished."""

    def watch():
        while len(list(Parts(folder))) < finished:
            time.sleep(0.01)
        os.kill(pids()[0], signal.SIGKILL)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def units(folder):
    return list(Parts(folder))


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path), silence_logs=50
    ) as made:
        yield made


@pytest.fixture
def threads(tmp_path):
    """Two Dask workers in this process: a scheduler and its protocol, without the seconds that processes take."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, local_directory=str(tmp_path),
        silence_logs=50,
    ) as made:  # fmt: skip
        yield made


@pytest.mark.slow
def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bytes(longer, tmp_path, cluster):
    _, start = choose_executor("cpu", dask=cluster.scheduler_address, say=silent)
    killer = kill_when(tmp_path / "run", 2, lambda: [nanny.pid for nanny in cluster.workers.values()])
    run_attack(longer / "net.pt", REQUEST, out=tmp_path / "run", executor=start, say=silent)
    killer.join()
    assert units(tmp_path / "run") == list(range(16))
    assert same(tmp_path / "run", longer / "whole")


def test_a_dask_cluster_gives_the_same_bytes(attacks, tmp_path, threads):
    _, start = choose_executor("cpu", dask=threads.scheduler_address, say=silent)
    run_attack(attacks / "net.pt", SMALL, out=tmp_path / "run", executor=start, say=silent)
    assert units(tmp_path / "run") == list(range(5))
    assert same(tmp_path / "run", attacks / "whole")


def test_dask_workers_of_other_versions_are_refused_by_name(threads):
    check = partial(check_versions, {"robustkit": versions()["robustkit"], "torch": "1.0"})
    with (
        pytest.raises(InputError, match=r"the worker inproc://.* has torch .* and this process has 1.0; install"),
        dask_workers(threads.scheduler_address, versions, check, silent),
    ):
        pass


def test_a_scheduler_without_workers_is_refused(tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None, silence_logs=50) as empty,
        pytest.raises(InputError, match="has no workers; start some with `dask worker inproc://"),
    ):
        choose_executor(dask=empty.scheduler_address, say=silent)


SITE = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

config = Config(
    executors=[
        HighThroughputExecutor(
            label="here", address="127.0.0.1", max_workers_per_node=2, cores_per_worker=0.1, encrypted=False,
            heartbeat_period=2, heartbeat_threshold=10,
            provider=LocalProvider(
                init_blocks=1, max_blocks=1, worker_init="export OMP_NUM_THREADS=1 PYTHONPATH={path}"
            ),
        )
    ],
    run_dir={runs!r},
    usage_tracking=0,
)
"""


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def parsl_worker_of(pid):
    """A process that works: the last child of the pool that descends from this process."""
    found, todo = [], [pid]
    while todo:
        todo += (more := children_of(todo.pop(0)))
        found += more
    pools = [one for one in found if b"process_worker_pool" in Path(f"/proc/{one}/cmdline").read_bytes()]
    return [child for pool in pools for child in children_of(pool)][-1:]


@pytest.mark.slow
def test_parsl_that_loses_a_worker_gives_the_same_bytes(longer, tmp_path):
    pytest.importorskip("parsl")
    site = tmp_path / "site.py"
    site.write_text(SITE.format(path=os.getcwd(), runs=str(tmp_path / "runinfo")))
    arguments = ["attack", "--model", longer / "net.pt", "--n", 16, "--budget", 300, "--group", 1]
    arguments += ["--search", "random", "--search", "de", "--device", "cpu"]
    arguments += ["--parsl", site, "--out", tmp_path / "run"]
    process = subprocess.Popen([sys.executable, "-m", "robustkit", *map(str, arguments)])
    killer = kill_when(tmp_path / "run", 2, lambda: parsl_worker_of(process.pid))
    assert process.wait() == 0
    killer.join()
    assert units(tmp_path / "run") == list(range(16))
    assert same(tmp_path / "run", longer / "whole")
