# pyright: reportOptionalOperand=false, reportOptionalIterable=false, reportOptionalSubscript=false
import numpy as np
import pytest
import torch
from PIL import Image

from robustkit.files import read_json
from tests.audits import make_audit
from tests.cli.forms.table import regression
from tests.models.foreign.networks import CODE, settled
from tests.models.foreign.payloads import FORMS


@pytest.fixture(autouse=True)
def _work_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def foreign(tmp_path):
    """What a newcomer has: a state_dict, its class file, and a folder of JPEGs."""
    (tmp_path / "network.py").write_text(CODE)
    namespace = {}
    exec(CODE, namespace)
    network = settled(namespace["Galaxies"]())
    torch.save({"epoch": 3, "state_dict": {f"module.{n}": t for n, t in network.state_dict().items()}}, "best.pth")
    rng = np.random.default_rng(0)
    for k in range(24):
        folder = tmp_path / "galaxies" / ("elliptical", "merger", "spiral")[k % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{k}.jpg")
    return ["--model", "best.pth", "--arch", "network.py:Galaxies", "--data", "galaxies", "--stretch", "unit"]


def test_a_newcomer_inspects_attacks_certifies_and_sweeps(robustkit, foreign, tmp_path):
    code, said, wrong = robustkit("inspect", *foreign, "--write", "card.toml")
    runs = f"robustkit: running Galaxies of {tmp_path / 'network.py'}, as --arch says"
    assert (code, wrong.splitlines()) == (0, [runs])
    for words in (
        "ok       form: a PyTorch file", "11 tensors", "the prefix 'module.' taken off", "latent: relu", "accuracy:",
        "band order:", "batches of 1, 7 and 64 agree", "a model card is in card.toml",
    ):  # fmt: skip
        assert words in said
    given = ["--model", "best.pth", "--card", "card.toml", "--data", "galaxies", "--n", "6", "--device", "cpu"]
    code, said, wrong = robustkit("attack", *given, "--search", "random", "--budget", 50)
    assert (code, wrong) == (0, "")
    assert "best.pth: a PyTorch file" in said
    assert "part all: neither the model nor the images come with a split" in said
    summary = read_json(tmp_path / "runs" / "attack-best-6-0" / "summary.json")
    assert summary["inputs"]["model_options"]["latent"] == "relu"
    assert any("state_dict" in note for note in summary["model_notes"])
    run = ["--run", "runs/attack-best-6-0", "--noisy", "none", "--x", "gaussian:s3", "--y", "gaussian:s5"]
    code, said, wrong = robustkit("window", "--model", "best.pth", *run)
    assert (code, "name it yourself with --arch network.py:Galaxies" in wrong) == (3, True)
    code, said, wrong = robustkit("window", "--model", "best.pth", "--arch", "network.py:Galaxies", *run)
    assert (wrong, code) == ("", 0)
    run = ["--arch", "network.py:Galaxies", "--run", "runs/attack-best-6-0", "--noisy", "gaussian:s3"]
    code, said, wrong = robustkit("isomap", "--model", "best.pth", *run, "--neighbours", 3, "--frames", 0)
    assert (wrong, code) == ("", 0)
    code, said, wrong = robustkit("distances", "--model", "best.pth", *run, "--draws", 99)
    assert (wrong, code) == ("", 0)
    code, said, wrong = robustkit("certify", *given, "--budget", 200)
    assert (code, wrong) == (0, "")
    code, said, wrong = robustkit("sweep", *given, "--perturb", "gaussian", "--levels", "0.1")
    assert (code, wrong) == (0, "")


def test_without_an_architecture_it_says_what_is_there_and_what_to_give(robustkit, foreign):
    code, said, wrong = robustkit("inspect", "--model", "best.pth")
    assert code == 2
    assert "ok       keys: 11 tensors (float32, int64) in the key 'state_dict': module.conv.weight" in said
    assert "refusal  network: best.pth holds weights" in said
    assert wrong == "robustkit: 1 refusal above, so nothing can be measured with this model yet\n"
    assert "name the class or factory that they belong to with --arch path/to/file.py:Class" in said


@pytest.mark.parametrize("form", ["torch_zip", "raw_pickle", "scripted", "exported", "package", "deflated"])
def test_what_could_run_code_is_described_and_refused_with_its_own_exit_status(robustkit, tmp_path, form):
    FORMS[form](tmp_path / "evil.pt", tmp_path / "marker")
    code, said, wrong = robustkit("inspect", "--model", "evil.pt")
    assert code == 3
    assert "refusal" in said
    assert wrong.count("\n") == 1
    assert not (tmp_path / "marker").exists()


def test_an_own_checkpoint_is_inspected_too(robustkit, tmp_path):
    model, data = make_audit(tmp_path)
    code, said, wrong = robustkit("inspect", "--model", model, "--data", data)
    assert (code, wrong) == (0, "")
    assert "ok       latent: bottleneck, 256 numbers" in said
    code, said, wrong = robustkit("inspect", "--model", model, "--write", "card.toml")
    assert (code, "holds its own card" in wrong) == (2, True)


def test_a_network_that_depends_on_its_batch_is_attacked_by_no_command(robustkit, foreign, tmp_path):
    changed = CODE.replace("self.pool(torch.relu", "self.pool((x[:1].mean() if len(x) > 5 else 0) + torch.relu")
    (tmp_path / "network.py").write_text(changed)
    for command, *more in (("attack", "--budget", 20), ("certify", "--budget", 20), ("sweep", "--perturb", "gaussian")):
        code, _, wrong = robustkit(command, *foreign, "--n", 8, *more)
        assert (code, "depends on the others in its batch" in wrong) == (2, True)
    code, said, wrong = robustkit("inspect", *foreign)
    assert code == 2
    assert "refusal  batch:" in said


def test_images_of_another_size_are_brought_to_the_one_that_is_said(robustkit, foreign):
    code, said, _ = robustkit("inspect", *foreign, "--input-size", 24, 24)
    assert code == 0
    assert "3 bands of 24x24" in said


def test_what_a_constant_would_get_stands_beside_the_accuracy_of_a_regression(robustkit, tmp_path):
    model = ["--model", *regression("0.1"), "--data", "d.npz", "--device", "cpu"]
    values = np.load("d.npz")["labels"]
    share = max(float((np.abs(values - answer) <= 0.1 + 1e-12).mean()) for answer in values - 0.1)
    code, said, wrong = robustkit("inspect", *model[:-2])
    assert code == 0, wrong
    assert f"would give {share:.3f}" in said
    code, said, wrong = robustkit("attack", *model, "--n", 12, "--search", "random", "--budget", 4, "--out", "a")
    assert code == 0, wrong
    assert f"(a constant answer gets {share:.3g})" in said
    assert read_json("a/summary.json")["chance"] == pytest.approx(share)
