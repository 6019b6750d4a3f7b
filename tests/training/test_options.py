import contextlib
import sqlite3
import subprocess
import sys
import types
from functools import partial

import pytest
import torch
from torch import nn

from robustkit.errors import InputError, MissingExtra
from robustkit.models import ConvNet
from robustkit.training import Settings, train
from robustkit.training.network import Trainee
from robustkit.training.search import search, suggest
from tests.training.worlds import QUICK, noisier, squares

MMD = Settings(method="mmd", **QUICK)


def losses(trained):
    return [row[name] for row in trained.history for name in ("task", "penalty")]


def test_bf16_sees_images_that_vary_little_around_a_level():
    torch.manual_seed(0)
    network = Trainee(ConvNet(1, 3, (32, 32)).train())
    images = 0.5 + 1e-3 * torch.randn(8, 1, 32, 32)  # steps of bf16 at 0.5 are 4e-3
    first = network.module.features[0]
    seen = []
    first.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    with torch.no_grad():
        network(images)
        with torch.autocast("cpu", torch.bfloat16):
            network(images)
    torch.testing.assert_close(*seen, rtol=0, atol=1e-6)
    forward = network.release().features[0].forward
    assert forward.__func__ is nn.Conv2d.forward


def test_bf16_is_close_to_float32(tmp_path):
    source, target = squares(), noisier(squares())
    exact = train(source, target, out=tmp_path / "a.pt", settings=MMD)
    rough = train(source, target, out=tmp_path / "b.pt", settings=Settings(method="mmd", precision="bf16", **QUICK))
    assert losses(rough) == pytest.approx(losses(exact), abs=0.02)
    assert losses(rough) != losses(exact)
    assert all(p.dtype == torch.float32 for p in rough.network.parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_learns_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    source, target = squares(), noisier(squares())
    plain = train(source, target, out=tmp_path / "a.pt", settings=MMD)
    compiled = train(source, target, out=tmp_path / "b.pt", settings=Settings(method="mmd", compiled=True, **QUICK))
    assert losses(compiled) == pytest.approx(losses(plain), abs=1e-4)


def test_tensorboard_gets_every_number_where_it_is_installed(tmp_path, monkeypatch):
    written = {}

    class Writer:
        def __init__(self, folder):
            written["folder"] = folder

        def add_scalar(self, name, value, epoch):
            written[name, epoch] = value

        def close(self):
            written["closed"] = True

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    trained = train(squares(), out=tmp_path / "a.pt", settings=Settings(**QUICK))
    assert written["folder"] == str(tmp_path / "a.tensorboard")
    assert written["closed"]
    assert [written["task", epoch] for epoch in (1, 2, 3)] == [row["task"] for row in trained.history]
    written.clear()
    with pytest.raises(InputError, match="already exists"):
        train(squares(), out=tmp_path / "a.pt", settings=Settings(**QUICK))
    with pytest.raises(InputError, match="other settings"):
        train(squares(), out=tmp_path / "a.pt", settings=Settings(**QUICK | {"seed": 5}), resume=True)
    train(squares(), out=tmp_path / "a.pt", settings=Settings(**QUICK), resume=True)
    assert not written, "a run that is refused or complete already opened a log"


def test_a_search_without_optuna_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"robustkit-audit\[search\]"):
        search(squares(), noisier(squares()), out=tmp_path, settings=MMD)


def test_a_search_finds_settings_without_target_labels_and_goes_on(tmp_path):
    pytest.importorskip("optuna")
    source = squares()
    target = noisier(source)
    object.__setattr__(target, "labels", None)
    first = search(source, target, out=tmp_path, settings=MMD, trials=2)
    assert {path.name for path in tmp_path.glob("*.pt")} == {"base.pt", "trial-000.pt", "trial-001.pt"}
    again = search(source, target, out=tmp_path, settings=MMD, trials=3)
    assert (tmp_path / "trial-002.pt").is_file()
    assert not (tmp_path / "trial-003.pt").exists()
    score = [each.card.training["figures"]["score"] for each in (first, again)]
    assert score[1] >= score[0]


@pytest.mark.parametrize(
    ("params", "sql", "words"),
    [
        ({"method": "evil:Net"}, "", "search.db tried method = 'evil:Net', which no search does"),
        ({"weight": "x"}, "", "tried weight = 'x'"),
        ({"weight": 1.0}, "CREATE VIEW v AS SELECT 1", "holds more than tables, a view that runs"),
    ],
)
def test_the_study_of_a_stranger_chooses_numbers_alone(tmp_path, monkeypatch, params, sql, words):
    optuna = pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('marker', 'w').close()\nclass Net: pass\n")
    study = optuna.create_study(
        study_name="robustkit", direction="maximize", storage=f"sqlite:///{tmp_path / 'o'}-search.db"
    )
    kinds = {name: optuna.distributions.CategoricalDistribution([value]) for name, value in params.items()}
    study.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=1e9))
    (tmp_path / "o").mkdir()
    (tmp_path / "o-search.db").rename(tmp_path / "o" / "search.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "o" / "search.db")) as base:
        base.executescript(sql)
    with pytest.raises(InputError, match=words):
        search(squares(), out="o", settings=Settings(**QUICK), trials=1)
    assert not (tmp_path / "marker").exists()


def test_only_what_a_method_has_is_searched():
    class Trial:
        def suggest_float(self, name, low, high, log=False):
            return low

        def suggest_int(self, name, low, high):
            return low

    assert set(suggest(Trial(), Settings())) == {"learning_rate", "weight_decay"}
    assert set(suggest(Trial(), MMD)) == {"learning_rate", "weight_decay", "weight", "warm_up"}


def test_kept_memory_is_asked_for_in_a_process_of_its_own():
    code = "from robustkit.allocation import keep_freed_memory as k; import sys; print(k())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(sys.platform.startswith("linux"))
