"""What is read is bounded: no file, however small, takes all time or all memory, or ends in a traceback."""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from robustkit.errors import InputError, RobustkitError
from robustkit.files import check_plain, read_json, read_object, read_toml
from robustkit.models import ConvNet, ModelOptions, open_model
from robustkit.models.foreign.options import parse_classes, read_card
from robustkit.records import load_note
from tests.audits import make_audit
from tests.security.bombs import BOMBS

GIB = 1 << 30


def limited():
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    resource.setrlimit(resource.RLIMIT_AS, (6 * GIB, 6 * GIB))


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_inspect_ends_soon_within_a_gigabyte_whatever_is_in_the_file(tmp_path, name):
    """Ten seconds and a gibibyte on a machine of its own; here others work too, so processor time is counted."""
    path = BOMBS[name](tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 1.2e6
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "robustkit", "inspect", "--model", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=limited, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 14
    assert after.ru_maxrss < GIB // 1024  # of the largest child so far, in KiB
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (2, 3), done.stdout + done.stderr
    assert done.stderr.startswith("robustkit: ")
    assert done.stderr.count("\n") == 1


def test_a_record_unpacks_to_no_more_than_it_holds(tmp_path):
    header = json.dumps({"records": {}, "note": {}})
    np.savez_compressed(tmp_path / "bomb.npz", __records__=np.array(header), zeros=np.zeros(1 << 22))
    with pytest.raises(InputError, match="is compressed, and robustkit compresses none"):
        load_note(tmp_path / "bomb.npz")
    np.savez(tmp_path / "lie.npz", __records__=np.array(header), zeros=np.zeros(8))
    data = (tmp_path / "lie.npz").read_bytes().replace(b"'shape': (8,), ", b"'shape': (9,), ")
    (tmp_path / "lie.npz").write_bytes(data)
    with pytest.raises(InputError, match=r"claims other values|CRC"):
        load_note(tmp_path / "lie.npz")
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(InputError, match="it is a pipe"):
        load_note(tmp_path / "pipe.npz")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class_count = 1000000000", "between 1 and 100,000"),
        ("classes = 1000000000000000000000000000000", "between 1 and 100,000"),
        ("classes = -1", "between 1 and 100,000"),
        ("bounds = [-inf, inf]", "--bounds"),
        ("a" + ".a" * 200_000 + " = 1", "nests tables deeper"),
        ("key = " + "[" * 100_000, "not readable"),
        ("key = '" + "x" * (1 << 20) + "'", "more than the 1,048,576"),
    ],
)
def test_a_card_is_bounded(tmp_path, text, words):
    (tmp_path / "best.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_card(tmp_path / "best.toml", named=True)


def test_pipes_and_devices_are_refused_where_files_are_expected(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    save_file(ConvNet(size=(8, 8)).state_dict(), tmp_path / "w.safetensors")
    for path, what in ((tmp_path / "pipe", "a pipe"), (tmp_path / "zero", "a device"), (tmp_path, "a folder")):
        for read in (read_json, lambda one: read_toml(one, "a card"), lambda one: check_plain(one, "a card"),
                     lambda one: read_card(one, named=True)):  # fmt: skip
            with pytest.raises(InputError, match=f"it is {what}"):
                read(path)
        if path is not tmp_path:
            with pytest.raises(InputError):
                open_model(path)
        with pytest.raises(InputError):
            open_model(tmp_path / "w.safetensors", ModelOptions(card=str(path)))


def test_json_is_bounded(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="not readable JSON"):
        read_json(path)
    path.write_text("[0" + ",0" * 1000 + "]")
    with pytest.raises(InputError, match="more than the 100 of"):
        read_json(path, most=100)
    for text, words in (("[]", "no JSON object"), ('{"a": true}', "has True as 'a'"), ("{}", "has nothing as 'a'")):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            read_object(path, "a note", a=int)


def test_a_number_of_classes_is_bounded_before_anything_is_made():
    for text in ("1000000000", "9" * 5000):
        with pytest.raises(InputError, match="between 1 and 100,000"):
            ModelOptions(**parse_classes(text))


CLAIMS = [
    {"input_shape": [3, 1 << 20, 1 << 20]}, {"class_names": ["a"] * 200_000}, {"bands": 3}, {"data": 7},
    {"input_range": [[0, 1]]}, {"input_shape": [3, 0, 8]}, {"stretch": {"name": "evil"}},
    {"input_shape": [10**30, 8, 8]}, {"network": ["convnet"]},
]  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_card_inside_a_checkpoint_is_held_against_its_weights(tmp_path, claim):
    model, _ = make_audit(tmp_path)
    content = torch.load(model, weights_only=True)
    content["card"] = json.dumps(json.loads(content["card"]) | claim)
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError):
        open_model(tmp_path / "x.pt")


def test_shared_objects_are_looked_at_once(tmp_path):
    shared = {"weight": torch.zeros(2, 2)}
    for _ in range(8):
        shared = [shared] * 300
    torch.save({"state_dict": {"a": torch.zeros(2)}, "more": shared}, tmp_path / "x.pt")
    assert tmp_path.joinpath("x.pt").stat().st_size < 20_000
    with pytest.raises(RobustkitError):
        open_model(tmp_path / "x.pt")


def test_checksums_of_parts_are_verified(tmp_path):
    np.savez(tmp_path / "p.npz", __records__=np.array(json.dumps({"records": {}, "note": {}})), a=np.arange(100.0))
    data = bytearray((tmp_path / "p.npz").read_bytes())
    data[data.index(np.float64(57).tobytes()) + 6] ^= 1
    (tmp_path / "p.npz").write_bytes(data)
    from robustkit.records import load_records

    with pytest.raises(InputError, match="CRC"):
        load_records(tmp_path / "p.npz", {})
