from dataclasses import replace

import numpy as np
import pytest
import torch

from robustkit.errors import InputError, RunInterrupted
from robustkit.files import read_json, sha256_file
from robustkit.findings.attack.measure import Attack, AttackJob, run_attack
from robustkit.findings.attack.record import AttackRecord, AttackRequest
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.findings.sweep.measure import run_sweep
from robustkit.findings.sweep.record import SweepRequest
from robustkit.models import open_checkpoint
from robustkit.runs import Parts
from robustkit.runs.draw import draw_sample
from tests.audits import make_audit


@pytest.fixture
def audit(tmp_path):
    return make_audit(tmp_path)


def silent(line):
    """Says nothing."""


def settings_of(model, **request):
    return Attack(draw_sample(open_checkpoint(model), model, n=3, seed=0), AttackRequest(**request)).plan


def test_a_run_leaves_everything_that_was_asked_for(audit, tmp_path):
    model, data = audit
    said = []
    done = run_attack(model, AttackRequest(n=16, budget=150), out=tmp_path / "run", say=said.append)
    assert done.record.correct.sum() + (done.record.true != done.record.clean_class).sum() == 16
    assert done.record.searches == ["de", "auto", "random"]
    assert done.record.flipped.any()
    assert done.record.queries.max() <= 150
    summary = read_json(done.folder / "summary.json")
    assert summary["drawn"] == 16
    assert summary["inputs"]["model_sha256"] == sha256_file(model)
    assert summary["inputs"]["data_sha256"]["images.npy"] == sha256_file(data / "images.npy")
    assert summary["settings"]["budget"] == 150
    assert summary["settings"]["bands"] == ["g", "r", "i"]
    assert summary["engine"]["name"].endswith("Evaluator")
    assert {"robustkit", "torch", "numpy", "python"} <= set(summary["versions"])
    assert AttackRecord.load(done.folder / "attack.npz").flipped.tolist() == done.record.flipped.tolist()
    text = "\n".join(said)
    assert "16 of 20 images, part test" in text
    assert "corners: 8 options a pixel" in text
    assert "in electron g" in text
    assert text.index("clean accuracy") < text.index("flips")
    assert str(done.folder / "summary.json") in text
    csv = (done.folder / "attacks.csv").read_text()
    assert "r_after_electron" in csv.splitlines()[0]


def test_values_stay_in_the_range_of_the_training_data(audit, tmp_path):
    model, _ = audit
    record = run_attack(model, AttackRequest(n=8, budget=60), out=tmp_path / "run", say=silent).record
    low, high = np.array(open_checkpoint(model).card.input_range).T
    after = record.after[record.flipped]
    assert len(after)
    assert (after >= low - 1e-6).all()
    assert (after <= high + 1e-6).all()


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(audit, tmp_path, monkeypatch):
    model, _ = audit
    request = AttackRequest(n=8, budget=60, group=3)
    whole = run_attack(model, request, out=tmp_path / "whole", say=silent)
    real = Attack.make

    def stopping(self, unit, bar=None):
        if unit == 2:
            raise RunInterrupted("stopped")
        return real(self, unit, bar)

    monkeypatch.setattr(Attack, "make", stopping)
    with pytest.raises(RunInterrupted):
        run_attack(model, request, out=tmp_path / "run", say=silent)
    assert not (tmp_path / "run" / "summary.json").exists()
    monkeypatch.undo()
    with pytest.raises(InputError, match="already holds files"):
        run_attack(model, request, out=tmp_path / "run", say=silent)
    for other, words in (({"budget": 70}, "budget was 60 and is 70"), ({"group": 4}, "group was 3 and is 4")):
        with pytest.raises(InputError, match=words):
            run_attack(model, replace(request, **other), out=tmp_path / "run", resume=True, say=silent)
    run_attack(model, request, out=tmp_path / "run", resume=True, say=silent)
    for name in ("attack.npz", "attacks.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (whole.folder / name).read_bytes()
    assert read_json(tmp_path / "run" / "summary.json")["resumed_after"] == 2
    assert list(Parts(tmp_path / "run")) == [0, 1, 2]


def test_groups_are_halved_where_memory_runs_out_and_an_image_alone_is_marked(audit, tmp_path, monkeypatch):
    model, _ = audit
    request = AttackRequest(n=8, budget=60, group=8, searches=("random",))
    whole = run_attack(model, request, out=tmp_path / "whole", say=silent).record
    real, most, never = AttackJob.attempts, 4, set()

    def hungry(self, bar=None):
        for attempt in real(self, bar):
            if len(self.images) > most or never & set(self.ids):
                raise torch.OutOfMemoryError("CUDA out of memory.")
            yield attempt

    monkeypatch.setattr(AttackJob, "attempts", hungry)
    halved = run_attack(model, request, out=tmp_path / "halved", say=silent)
    assert read_json(halved.folder / "summary.json")["plan"] == {"group": 8, "halved": {"0": [4, 4]}}
    assert (halved.folder / "attacks.csv").read_bytes() == (tmp_path / "whole" / "attacks.csv").read_bytes()
    heavy = int(np.flatnonzero(whole.correct)[0])
    never.add(str(whole.ids[heavy]))
    said = []
    marked = run_attack(model, request, out=tmp_path / "marked", say=said.append)
    assert marked.record.clean_class[heavy] == -2
    assert marked.record.correct.sum() == whole.correct.sum() - 1
    assert marked.numbers.out_of_memory == 1
    assert "memory ran out for 1 images" in "\n".join(said)
    assert "out of memory" in (marked.folder / "attacks.csv").read_text()
    assert 0 in read_json(marked.folder / "summary.json")["plan"]["halved"]["0"]


@pytest.mark.parametrize("n", [1, 6])
def test_one_image_and_one_class_go_through_every_command(tmp_path, n):
    model, _ = make_audit(tmp_path, one_class=1)
    attacked = run_attack(
        model, AttackRequest(n=n, budget=30, searches=("random",)), out=tmp_path / "attack", say=silent
    )
    swept = run_sweep(
        model, SweepRequest(perturbations=("gaussian",), n=n), out=tmp_path / "sweep", codecs=0, say=silent
    )
    certified = run_certify(model, CertifyRequest(n=n, budget=50), out=tmp_path / "certify", say=silent)
    for labels in (attacked.record.true, swept.record.true, certified.record.labels):
        assert labels.tolist() == [1] * n
    for name in ("attack", "sweep", "certify"):
        assert read_json(tmp_path / name / "summary.json")


def test_default_folder_names_model_size_and_seed(audit, tmp_path, monkeypatch):
    model, _ = audit
    monkeypatch.chdir(tmp_path)
    done = run_attack(model, AttackRequest(n=2, budget=10, seed=3), say=silent)
    assert str(done.folder) == "runs/attack-net-2-3"


def test_the_paper_preset_is_the_published_search(audit):
    model, _ = audit
    settings = settings_of(model, preset="paper")
    (search,) = settings.searches
    assert search.to_json() == {
        "name": "de",
        "form": "published",
        "population": 400,
        "generations": 80,
        "fitness": "probability",
        "weight": 0.5,
        "crossover": search.crossover,
    }
    assert settings.targeted == "in-turn"
    assert settings.rule.probability == 0.5
    assert settings.report == "best"
    assert settings.values.name == "paper"
    assert settings.values.low.tolist() == [0.0] * 3
    assert settings.values.high.tolist() == [1.0] * 3
    assert settings.budget is None
    assert settings.pixels == 1


def test_what_was_asked_for_is_what_is_done(audit):
    model, _ = audit
    assert settings_of(model).targeted is None
    assert settings_of(model, targeted="in-turn").targeted == "in-turn"
    assert settings_of(model, targeted="each").targeted == "each"
    assert [search.name for search in settings_of(model, searches=("random", "de-best1bin")).searches] == [
        "random",
        "de-best1bin",
    ]
    hot = settings_of(model, values="hot")
    assert hot.values.level == 5000.0
    assert settings_of(model, value_range="paper").values.name == "paper"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"preset": "letter"}, "known are paper"),
        ({"preset": "paper", "budget": 5, "values": "corners"}, "fixes what --budget, --values would change"),
        ({"preset": "paper", "pixels": 2}, "--pixels"),
        ({"searches": ("best",)}, "unknown search 'best'; known are auto"),
        ({"values": "nothing"}, "unknown values"),
        ({"n": 21}, "has 20 images"),
        ({"budget": 0}, "at least 1 query"),
        ({"data": "nowhere"}, "nowhere"),
    ],
)
def test_refusals_write_nothing(audit, tmp_path, request_, words):
    model, _ = audit
    with pytest.raises(InputError, match=words):
        run_attack(model, AttackRequest(**{"n": 5, **request_}), out=tmp_path / "run", say=silent)
    assert not (tmp_path / "run").exists()


def test_devices(audit, tmp_path, monkeypatch):
    model, _ = audit
    with pytest.raises(InputError, match="unknown device 'abacus'"):
        run_attack(model, AttackRequest(n=2), device="abacus", out=tmp_path / "run", say=silent)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    with pytest.raises(InputError, match="finds no cuda device here; use --device cpu"):
        run_attack(model, AttackRequest(n=2), device="cuda", out=tmp_path / "run", say=silent)
    assert not (tmp_path / "run").exists()
