"""A file never chooses code: every field of every file that is read back is made to name some."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from robustkit.auditing.audit import run_audit
from robustkit.auditing.inspect import inspect_model
from robustkit.auditing.merge import merge_runs
from robustkit.auditing.report import write_report
from robustkit.auditing.request import AttackPart, AuditRequest, SweepPart, read_request, request_of
from robustkit.cli import main
from robustkit.code_gate import LIBRARIES, import_code, place_of, read_code, refuse_code, word_of_file
from robustkit.errors import InputError, SecurityError
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.sweep.measure import run_sweep
from robustkit.findings.sweep.record import SweepRequest
from robustkit.models import ConvNet, ModelOptions, open_model
from tests.attacks import SMALL, silent
from tests.audits import make_audit
from tests.security.naming import NAMES, changed, each_field, leaves, quietly


@pytest.mark.parametrize("name", NAMES)
def test_a_card_beside_a_checkpoint_chooses_no_code(stranger, name, capsys):
    _, marker = stranger
    save_file(ConvNet(size=(8, 8)).state_dict(), "best.safetensors")
    Path("best.toml").write_text(f"arch = {json.dumps(name)}\ninput_size = [8, 8]\n")
    for call in (lambda: open_model("best.safetensors"), lambda: inspect_model("best.safetensors", say=silent)):
        error = quietly(call)
        assert isinstance(error, SecurityError)
        assert error.exit_code == 3
        assert "--arch" in str(error)
    assert not marker.exists()
    assert "running" not in capsys.readouterr().err


def test_every_field_of_a_card_may_say_what_it_likes(stranger):
    _, marker = stranger
    save_file(ConvNet(size=(8, 8)).state_dict(), "best.safetensors")
    for number, field in enumerate(ModelOptions.__dataclass_fields__):
        for name in NAMES[number % 4 :: 4]:
            for text in (json.dumps(name), json.dumps([name, name]), f"{{name = {json.dumps(name)}}}"):
                Path("best.toml").write_text(f"{field} = {text}\n")
                quietly(open_model, "best.safetensors")
                quietly(open_model, "best.safetensors", ModelOptions(arch="robustkit:ConvNet", input_size=(8, 8)))
    assert not marker.exists()


def test_what_a_person_names_runs_and_is_said_first(stranger, capfd):
    folder, marker = stranger
    Path("mine.py").write_text(f"import os\nassert not os.path.exists({str(marker)!r})\nclass Net: pass\n")
    import_code(read_code("mine.py:Net", "--arch"), "--arch")
    import_code(read_code("pkg.evil:Net", "--perturb"), "--perturb")
    assert marker.exists()
    said = capfd.readouterr().err.splitlines()
    assert said[0] == f"robustkit: running Net of {(folder / 'mine.py')}, as --arch says"
    assert said[1] == f"robustkit: running pkg.evil:Net from {folder / 'pkg' / '__init__.py'}, as --perturb says"
    assert str(folder) not in sys.path


def test_the_gate_reads_from_the_first_character_to_the_last():
    for library in LIBRARIES:
        assert read_code(f"{library}:a.b_1", "--arch").kind == "library"
        for wrong in (f"{library}:net.py:Net", f"{library}:", f"{library}:a/b", f"{library}:a\n", f"{library}:ａ"):
            with pytest.raises(InputError):
                read_code(wrong, "--arch")
            with pytest.raises(SecurityError, match="with --arch"):
                refuse_code(wrong, file="a card", option="--arch")
    for wrong in (None, 3, ["timm:x"], {}, "", ":", "a:b:c", "net.py", "net.py:", "a b:c", "net.py:1x"):
        with pytest.raises(SecurityError):
            refuse_code(wrong, file="a card", option="--arch")
        if isinstance(wrong, str):
            with pytest.raises(InputError, match="expected --arch as"):
                read_code(wrong, "--arch")


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """A shard of a sweep, and of an attack, with the checkpoint of both."""
    folder = tmp_path_factory.mktemp("sweeps")
    model, _ = make_audit(folder)
    request = SweepRequest(perturbations=("gaussian",), levels=(0.1,), n=4, group=4)
    run_sweep(model, request, out=folder / "sweep", shard="1/1", device="cpu", say=silent)
    run_attack(model, SMALL, out=folder / "attack", device="cpu", say=silent)
    run_attack(model, SMALL, out=folder / "shard", shard="1/1", device="cpu", say=silent)
    return folder


@pytest.mark.parametrize("command", ["sweep", "shard"])
def test_a_manifest_chooses_no_code(sweeps, stranger, command):
    folder, marker = stranger
    shutil.copytree(sweeps / command, folder / "s")
    document = json.loads((folder / "s" / "manifest.json").read_text())
    for number, (_, made) in enumerate(list(each_field(document))[::3]):
        (folder / "s" / "manifest.json").write_text(json.dumps(made))
        quietly(merge_runs, [folder / "s"], out=folder / f"m{number}", say=silent)
    for name in NAMES:
        made = changed(document, ("request", "perturbations"), [name])
        (folder / "s" / "manifest.json").write_text(json.dumps(made))
        error = quietly(merge_runs, [folder / "s"], out=folder / "m", say=silent)
        assert isinstance(error, InputError)
        made["inputs"]["model_options"] = {"arch": name}
        (folder / "s" / "manifest.json").write_text(json.dumps(made))
        quietly(merge_runs, [folder / "s"], out=folder / "m", say=silent)
    assert not marker.exists()


def test_own_perturbations_of_a_shard_are_named_again(sweeps, stranger):
    folder, marker = stranger
    shutil.copytree(sweeps / "sweep", folder / "s")
    document = json.loads((folder / "s" / "manifest.json").read_text())
    document["request"]["perturbations"] = ["evil:X,a=1"]
    (folder / "s" / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(SecurityError, match="--perturb evil:X"):
        merge_runs([folder / "s"], out=folder / "m", perturbations=["evil:Y"], say=silent)
    assert not marker.exists()
    with pytest.raises(InputError, match="evil has no X; name a class of it with --perturb"):
        merge_runs([folder / "s"], out=folder / "m", perturbations=["evil:X"], say=silent)
    assert marker.exists()  # a person named it


def test_an_audit_toml_chooses_no_code(stranger):
    _, marker = stranger
    plain = AuditRequest("net.pt")
    fields = list(AuditRequest.__dataclass_fields__)
    for name in NAMES:
        for line in [f"{one} = {json.dumps(name)}" for one in fields] + [
            f"{one} = [{json.dumps(name)}]" for one in fields
        ]:
            Path("audit.toml").write_text(f'model = "net.pt"\n{line}\n' if not line.startswith("model") else line)
            quietly(read_request, "audit.toml")
        for table, key in (
            ("sweep", "perturbations"),
            ("sweep", "suite"),
            ("attack", "searches"),
            ("attack", "values"),
        ):
            for text in (json.dumps(name), f"[{json.dumps(name)}]"):
                Path("audit.toml").write_text(f'model = "net.pt"\n[{table}]\n{key} = {text}\n')
                error = quietly(read_request, "audit.toml")
                if (key, text[0]) == ("perturbations", "["):
                    # A word alone is taken for a misspelt name.
                    assert isinstance(error, SecurityError if ":" in name else (SecurityError, InputError))
                    assert "--perturb" in str(error) or ":" not in name
                    assert request_of(Path("audit.toml"), {"perturbations": ("psf",)}).sweep.perturbations == ("psf",)
    assert not marker.exists()
    assert request_of(None, {"model": "net.pt", "perturbations": ("evil:X",)}).sweep.perturbations == ("evil:X",)
    assert plain.sweep == SweepPart()


def test_the_summary_of_an_attack_chooses_no_code(sweeps, stranger):
    from robustkit.findings.latents.attacked import open_attacked

    folder, marker = stranger
    shutil.copytree(sweeps / "attack", folder / "a")
    document = json.loads((folder / "a" / "summary.json").read_text())
    document["inputs"]["model_options"] = {"arch": "robustkit:ConvNet"}
    for _, made in each_field({key: document[key] for key in ("inputs", "data", "model", "versions")}):
        (folder / "a" / "summary.json").write_text(json.dumps(made))
        quietly(open_attacked, sweeps / "net.pt", folder / "a")
    for name in NAMES:
        document["inputs"]["model_options"] = {"arch": name}
        (folder / "a" / "summary.json").write_text(json.dumps(document))
        with pytest.raises(SecurityError, match="with --arch"):
            open_attacked(sweeps / "net.pt", folder / "a")
    assert not marker.exists()


def test_the_configuration_of_a_hugging_face_folder_chooses_no_code(stranger):
    folder, marker = stranger
    (folder / "hf").mkdir()
    save_file(ConvNet(size=(8, 8)).state_dict(), folder / "hf" / "model.safetensors")
    document = {"architecture": "resnet18", "model_type": "vit", "num_classes": 3, "auto_map": {"AutoConfig": "evil.C"},
                "id2label": {"0": "a"}, "_attn_implementation": "evil/kernel", "architectures": ["ViT"]}  # fmt: skip
    for _, made in each_field(document):
        (folder / "hf" / "config.json").write_text(json.dumps(made))
        (folder / "hf" / "preprocessor_config.json").write_text(json.dumps(made))
        quietly(open_model, folder / "hf")
    for key in ("_attn_implementation", "architecture", "backbone"):
        (folder / "hf" / "config.json").write_text(json.dumps({"model_type": "vit", "deep": [{key: "evil/kernel:x"}]}))
        with pytest.raises(SecurityError, match="names code to run"):
            open_model(folder / "hf")
    assert not marker.exists()


def test_metadata_of_a_checkpoint_choose_no_code(stranger):
    folder, marker = stranger
    model, _ = make_audit(folder / "own")
    content = torch.load(model, weights_only=True)
    for _, made in each_field(json.loads(content["card"])):
        torch.save(content | {"card": json.dumps(made)}, folder / "x.pt")
        quietly(open_model, folder / "x.pt")
    for name in NAMES:
        save_file(ConvNet(size=(8, 8)).state_dict(), "m.safetensors", metadata={"format": name, "arch": name})
        quietly(open_model, "m.safetensors")
    assert not marker.exists()


def test_the_records_of_an_audit_choose_no_code(sweeps, stranger, monkeypatch):
    folder, marker = stranger
    monkeypatch.setattr("robustkit.auditing.report.write_page", lambda page, folder, **how: folder)  # drawing is slow
    parts = {"attack": AttackPart(searches=("random",), budget=8), "sweep": SweepPart(perturbations=("gaussian",))}
    request = AuditRequest(str(sweeps / "net.pt"), n=8, effort="quick", **parts)
    run_audit(request, out=folder / "audit", device="cpu", say=silent)
    for file in sorted((folder / "audit").rglob("*.json")):
        whole = file.read_text()
        document = json.loads(whole)
        places = list(leaves(document))
        for path in places[:: max(1, len(places) // 3)]:
            file.write_text(json.dumps(changed(document, path, "evil:Net")))
            quietly(write_report, folder / "audit")
        file.write_text(whole)
    assert not marker.exists()


def test_python_m_does_not_look_for_packages_in_the_folder_one_stands_in(stranger):
    folder, marker = stranger
    for name in ("click", "numpy", "torch", "onnx"):
        (folder / f"{name}.py").write_text((folder / "evil.py").read_text())
    done = subprocess.run([sys.executable, "-m", "robustkit", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not marker.exists()


def test_worker_processes_look_for_nothing_in_the_folder_one_stands_in(stranger, sweeps):
    folder, marker = stranger
    for name in ("multiprocessing", "json", "pickle", "signal", "linecache", "threading"):
        (folder / f"{name}.py").write_text((folder / "evil.py").read_text())
    script = folder.parent / "script.py"  # as the one that pip installs
    script.write_text("from robustkit.cli import main\nif __name__ == '__main__':\n    main()\n")
    command = [sys.executable, str(script), "attack", "--model", str(sweeps / "net.pt")]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command += ["--n", "2", "--budget", "4", "--search", "random", "--workers", "2", "--device", "cpu", "--out", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert not marker.exists()


SETTINGS = """
import os
import robustkit.cli
import matplotlib, numba
from numba.core import config
config.reload_config()
print(os.getcwd(), matplotlib.rcParams["figure.dpi"], repr(config.CACHE_DIR))
"""


def test_settings_of_libraries_are_not_read_in_the_folder_one_stands_in(stranger):
    pytest.importorskip("numba")
    pytest.importorskip("yaml")
    folder, _ = stranger
    (folder / "matplotlibrc").write_text("figure.dpi: 7\n")
    (folder / ".numba_config.yaml").write_text("cache_dir: evil\n")
    done = subprocess.run([sys.executable, "-P", "-c", SETTINGS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(folder), "100.0", "''"]


def test_while_a_file_speaks_code_is_imported_only_where_a_person_named_it_too(stranger, capfd):
    folder, marker = stranger
    Path("mine.py").write_text("class Net: pass\n")
    named = ["./mine.py:Net,level=1", "clip+pkg:Front"]
    with word_of_file("a manifest", named):
        for name in ("evil:Net", "evil.py:Net", "mine:Net", "mine.py:Other", "pkg.evil:Net"):
            for say in (import_code, place_of):
                with pytest.raises(SecurityError, match=r"a manifest names code to run, .* with --arch"):
                    say(read_code(name, "--arch"), "--arch")
        assert not marker.exists()
        for name in ("mine.py:Net", str(folder / "mine.py") + ":Net"):
            import_code(read_code(name, "--arch"), "--arch")
        import_code(read_code("pkg:Front", "--front"), "--front")
        assert marker.exists()
    marker.unlink()
    import_code(read_code("evil:Net", "--arch"), "--arch")  # a person alone speaks again
    assert marker.exists()


@pytest.mark.parametrize("part", ["attack", "sweep", "certify", "hazard", "remedy"])
def test_no_field_of_any_part_of_a_request_chooses_code(stranger, sweeps, part, monkeypatch, capsys):
    _, marker = stranger
    model = json.dumps(str(sweeps / "net.pt"))

    def far(*arguments, **more):
        raise InputError("nothing is measured here")

    monkeypatch.setattr("robustkit.auditing.audit.open_subject", far)
    for field in fields(getattr(AuditRequest("x"), part)):
        for value in ('"evil:Net"', '["evil:Net"]', '["evil:Net,a=1"]', '"evil:Net:s1"'):
            Path("audit.toml").write_text(f"model = {model}\n[{part}]\n{field.name} = {value}\n")
            with pytest.raises(SystemExit):
                main(["audit", "audit.toml", "--out", "o"])
    assert not marker.exists()
