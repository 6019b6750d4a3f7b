"""Paths that a person gives from the folder where it stands reach workers that stand elsewhere."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from safetensors.torch import save_file

from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from robustkit.findings.sweep.record import SweepRequest
from robustkit.models import ConvNet, ModelOptions, open_model
from robustkit.runs.executors import choose_executor
from tests.attacks import silent
from tests.audits import BANDS, CLASSES, SIZE, make_audit

CODE = "from robustkit.models import ConvNet\n\n\ndef net():\n    return ConvNet(size=(24, 24))\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with weights, their code, a card in a folder below it, and images; one stands in it."""
    make_audit(tmp_path / "world")
    folder = tmp_path / "mine"
    (folder / "cards").mkdir(parents=True)
    (tmp_path / "world" / "galaxies").rename(folder / "galaxies")
    save_file(ConvNet(size=(SIZE, SIZE)).state_dict(), folder / "w.safetensors")
    (folder / "net.py").write_text(CODE)
    (folder / "cards" / "net.py").write_text(CODE)
    classes, bands = (", ".join(f'"{one}"' for one in names) for names in (CLASSES, BANDS))
    (folder / "cards" / "best.toml").write_text(
        f'arch = "net.py:net"\nclasses = [{classes}]\nbands = [{bands}]\nmean = [0.0]\nstd = [1.0]\n'
    )
    monkeypatch.chdir(folder)
    return folder


def options():
    said = {"classes": CLASSES, "bands": BANDS, "mean": (0.0,), "std": (1.0,)}
    yield "arch", ModelOptions(arch="net.py:net", **said)
    yield "card", ModelOptions(card="cards/best.toml")


def attacked(name, said, executor):
    request = AttackRequest(n=2, budget=10, group=1, searches=("random",), data="galaxies", part="all", take_all=True)
    run_attack("w.safetensors", request, options=said, out=f"{name}-here", device="cpu", say=silent)
    run_attack("w.safetensors", request, options=said, out=f"{name}-away", device="cpu", executor=executor, say=silent)
    names = ("attack.npz", "attacks.csv")
    return all(Path(f"{name}-here", n).read_bytes() == Path(f"{name}-away", n).read_bytes() for n in names)


def test_searches_perturbations_and_members_are_told_from_the_root(here):
    from robustkit.runs.running import _from_root

    request = AttackRequest(
        searches=("centre.py:Centre,step=2", "de"), budget=3, options=ModelOptions(members=("b.pt",))
    )
    told = _from_root(request)
    assert told["searches"] == (f"{here}/centre.py:Centre,step=2", "de")
    assert told["options"].members == (str(here / "b.pt"),)
    assert "budget" not in told
    assert _from_root(SweepRequest(perturbations=("leaks.py:Dark", "gaussian")))["perturbations"] == (
        f"{here}/leaks.py:Dark",
        "gaussian",
    )


def test_what_a_worker_is_told_leads_to_the_same_files_from_anywhere(here, monkeypatch):
    told = {name: said.from_root() for name, said in options()}
    monkeypatch.chdir("/")
    for name, said in told.items():
        opened = open_model(here / "w.safetensors", said)
        assert opened.classifier.class_names == CLASSES, name
        assert opened.origin.code_sha256


@pytest.mark.slow
def test_relative_code_and_cards_are_found_by_worker_processes_elsewhere(here, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=os.chdir, initargs=("/",)) as executor:
        for name, said in options():
            assert attacked(name, said, executor), name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_relative_code_and_cards_are_found_by_dask_workers_elsewhere(here, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    monkeypatch.setenv("PYTHONPATH", root)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path), silence_logs=50
    ) as cluster:
        with distributed.Client(cluster) as client:
            client.run(os.chdir, "/")
        for name, said in options():
            _, start = choose_executor("cpu", dask=cluster.scheduler_address, say=silent)
            assert attacked(name, said, start), name
