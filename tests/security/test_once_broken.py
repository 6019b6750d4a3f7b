"""What once went wrong in whole commands, given again: one sentence, soon, in little memory, and nothing obeyed."""

import json
import os
import re
import shutil
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from robustkit.models import ConvNet
from robustkit.runs.dask_workers import is_private
from tests.security.strangers import ONE, Attack, World, tried


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World.build(tmp_path_factory.mktemp("world") / "w")


def weights(folder, card="", **more):
    """A checkpoint of others, and a card beside it."""
    torch.save(ConvNet(size=(24, 24)).state_dict() | more, folder / "best.pth")
    (folder / "best.toml").write_text(card)
    return ["inspect", "--model", "best.pth"]


def named(folder, card):
    return weights(folder, f"arch = {json.dumps(card)}\n")


def bytes_of(folder, data):
    (folder / "m.pt").write_bytes(data)
    return ["inspect", "--model", "m.pt"]


def shared(folder, empty, fill):
    inner = empty
    for _ in range(8):
        inner = fill(inner)
    torch.save({"state_dict": ConvNet(size=(24, 24)).state_dict(), "x": inner}, folder / "m.pt")
    return ["inspect", "--model", "m.pt"]


def nested(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls them a prototype
        return weights(folder, n=torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]))


def hole(folder):
    command = weights(folder)
    with open(folder / "best.toml", "wb") as file:
        file.truncate(3 << 30)
    return command


def pipe(folder):
    os.mkfifo(folder / "c.toml")
    return [*weights(folder), "--card", "c.toml"]


def pictures(folder):
    from PIL import Image

    for name in "abc":
        (folder / "set" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(folder / "set" / name / "1.png")
    os.rename(folder / "set" / "a" / "1.png", os.fsencode(folder / "set" / "a") + b"/caf\xe9.png")
    return [*weights(folder, 'arch = "robustkit:ConvNet"\n'), "--data", "set"]


def few_labels(folder):
    np.save(folder / "i.npy", np.zeros((12, 3, 24, 24), np.float32))
    np.save(folder / "l.npy", np.zeros(5, int))
    return [*weights(folder, 'arch = "robustkit:ConvNet"\n'), "--data", "i.npy", "--labels", "l.npy"]


HIDDEN = b"\x80\x02cos\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85R."
OF_STRANGERS = {
    "1 keras": (lambda at: named(at, "keras:Net"), "names code to run, keras:Net"),
    "1 timm": (lambda at: named(at, "timm:net.py:Net"), "names code to run, timm:net.py:Net"),
    "6 lists": (lambda at: shared(at, [0.0], lambda one: [one] * 300), "--arch"),
    "6 dicts": (lambda at: shared(at, {}, lambda one: {str(k): one for k in range(300)}), "--arch"),
    "6 brackets": (lambda at: bytes_of(at, b"\x80\x02" + b"]" * 4_000_000 + b"."), "a Python pickle"),
    "6 marks": (lambda at: bytes_of(at, b"\x80\x02" + b"(" * 4_000_000 + b"."), "a Python pickle"),
    "8 classes": (lambda at: weights(at, "classes = 1000000000\n"), "between 1 and 100,000"),
    "8 count": (lambda at: weights(at, "class_count = 1000000000\n"), "between 1 and 100,000"),
    "8 a long card": (hole, "bytes, more than the 1,048,576"),
    "8 a pipe": (pipe, "it is a pipe"),
    "11 a tensor": (lambda at: weights(at, **{"\x1b]0;PWNED\x07\x1b[2J": torch.zeros(1)}), r"\\x1b\]0;PWNED\\x07"),
    "11 direction": (lambda at: weights(at, **{"a\x9b2J\u202e": torch.zeros(1)}), r"\\x9b2J\\u202e"),
    "14 one byte": (lambda at: bytes_of(at, b"\x08"), "is of no kind that robustkit opens"),
    "14 nested": (nested, "expected plain ones"),
    "14 a name": (pictures, "next: robustkit audit"),
    "15 labels": (few_labels, "5 labels|12 images"),
    "15 bounds": (lambda at: [*weights(at), "--bounds", "-inf", "inf"], "--bounds"),
    "15 hidden": (lambda at: bytes_of(at, HIDDEN), "a Python pickle"),
}


def outcome(make, folder):
    found = tried(Attack("", "", make), folder)
    assert found.word in ("refused", "ran"), found
    assert found.seconds < 20
    assert found.memory < 1 << 30
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found.said), found.said
    return found.said


@pytest.mark.parametrize("name", OF_STRANGERS)
def test_a_file_of_a_stranger_is_refused_in_words(tmp_path, name):
    make, words = OF_STRANGERS[name]
    assert re.search(words, outcome(make, tmp_path)), words


def resumed(world, folder, change):
    """The command that goes on with a copy of a run in which something was changed."""
    shutil.copytree(world.folder / "run", folder / "run")
    change(folder / "run")
    how = ["--n", str(ONE.n), "--budget", str(ONE.budget), "--group", str(ONE.group), "--search", "random"]
    return ["attack", "--model", world.model, *how, "--device", "cpu", "--resume", "--out", "run"]


def flipped(run):
    path = run / "parts" / "0000000.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


FAR = {"host": socket.gethostname(), "pid": 2**70}
RESUMED = {
    "10 a link": (lambda run: (shutil.rmtree(run / "parts"), (run / "parts").symlink_to(run.parent)), "is a link"),
    "13 a bit": (flipped, "Bad CRC-32|not a readable robustkit record"),
    "14 deep": (lambda run: (run / "manifest.json").write_text("[" * 100_000), "not readable JSON"),
    "14 a lock": (lambda run: (run / "lock").write_text(json.dumps(FAR)), "does not say which process writes"),
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_that_was_changed_is_refused_in_words(world, tmp_path, name):
    change, words = RESUMED[name]
    assert re.search(words, outcome(lambda at: resumed(world, at, change), tmp_path)), words


MERGED = {
    "2 code": (lambda of: of["request"].update(searches=["evil:X"]), "with --search evil:X"),
    "14 no command": (lambda of: of.pop("command"), "has nothing as 'command'"),
    "14 no inputs": (lambda of: of.pop("inputs"), "has nothing as 'inputs'"),
    "14 another command": (lambda of: of.update(command="audit"), "holds no run that is merged"),
    "14 a field": (
        lambda of: of["request"].update(evil=1),
        "manifest in .* asks for evil 1, which no run of this vers",
    ),
    "14 many shards": (lambda of: of["inputs"].update(shard="1/1000000000"), "expected a shard"),
    "14 many units": (lambda of: of["inputs"].update(units=10**12), "how many units there are"),
}


@pytest.mark.parametrize("name", MERGED)
def test_a_shard_that_was_changed_is_refused_in_words(world, tmp_path, name):
    change, words = MERGED[name]

    def make(folder):
        shutil.copytree(world.folder / "shard", folder / "s")
        manifest = json.loads((folder / "s" / "manifest.json").read_text())
        change(manifest)
        (folder / "s" / "manifest.json").write_text(json.dumps(manifest))
        return ["merge", "s", "--out", "m"]

    assert re.search(words, outcome(make, tmp_path)), words


def test_the_record_of_a_stranger_unpacks_to_no_more_than_it_holds(world, tmp_path):
    def make(folder):
        shutil.copytree(world.folder / "run", folder / "run")
        with np.load(folder / "run" / "attack.npz") as archive:
            content = {name: archive[name] for name in archive.files}
        np.savez_compressed(folder / "run" / "attack.npz", **content, zeros=np.zeros(1 << 28, np.uint8))
        return ["distances", "--model", world.model, "--run", "run", "--out", "o"]

    assert "is compressed, and robustkit compresses none" in outcome(make, tmp_path)


def test_a_scheduler_that_strangers_reach_is_warned_of():
    recipe = (Path(__file__).parents[2] / "docs" / "howto" / "run-on-a-cluster.md").read_text()
    started = re.findall(r"^(?:\S+=\S+ )?dask (?:scheduler|worker).*$", recipe, re.MULTILINE)
    assert len(started) >= 2
    assert all("--host" in line or "--tls-cert" in line or "tls" in line for line in started), started
    for address in ("tcp://0.0.0.0:8786", "tcp://node7:8786", "tcp://10.0.0.3:8786", "ucx://node7:1", "nonsense"):
        assert not is_private(address)
    for address in ("tcp://127.0.0.1:8786", "tcp://[::1]:8786", "tls://node7:8786"):
        assert is_private(address)
