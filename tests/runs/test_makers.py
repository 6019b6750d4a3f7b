"""What must be equal for the same bytes is kept with each group, and held against what continues with them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from robustkit.auditing.merge import merge_runs
from robustkit.cli import main
from robustkit.errors import InputError
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRecord
from robustkit.runs import Parts
from robustkit.runs.makers import Makers, this_maker
from tests.attacks import ARGUMENTS, SMALL, same, silent
from tests.newer import NEWER, Runs

KINDS = {"attack": AttackRecord}


@pytest.fixture
def threads():
    """Sets the number of threads, and puts it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def made_by(folder, unit, **other):
    """Lets a group say that something else made it."""
    parts = Parts(folder)
    note = parts.note(unit)
    parts.keep(unit, parts.load(unit, KINDS), {**note, "maker": {**note["maker"], **other}})


def unfinished(attacks, folder):
    shutil.copytree(attacks / "whole", folder)
    Parts(folder).path(4).unlink()
    return folder


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"torch": "1.0"}, r"torch was '1.0' and is '2\."),
        ({"robustkit": "0.0.1"}, "robustkit was '0.0.1' and is"),
        ({"threads": 64}, "threads was 64 and is"),
        ({"device": "cuda (NVIDIA H200)"}, r"device was 'cuda \(NVIDIA H200\)' and is 'cpu"),
    ],
)
def test_a_run_that_goes_on_otherwise_is_refused_unless_it_may_mix(attacks, tmp_path, capsys, other, words):
    run = unfinished(attacks, tmp_path / "run")
    for unit in range(4):
        made_by(run, unit, **other)
    with pytest.raises(InputError, match=f"group 0 was made otherwise than group 4: {words}.*--mix"):
        run_attack(attacks / "net.pt", SMALL, out=run, resume=True, say=silent)
    assert 4 not in Parts(run)
    with pytest.raises(SystemExit) as done:
        main(["attack", "--model", str(attacks / "net.pt"), *ARGUMENTS, "--out", str(run), "--resume", "--mix"])
    assert done.value.code == 0
    assert "made in 2 ways, as --mix allows" in capsys.readouterr().out
    summary = json.loads((run / "summary.json").read_text())
    assert [one["groups"] for one in summary["made_by"]] == ["0-3", "4"]
    assert summary["made_by"][0] | other == summary["made_by"][0]
    assert same(run, attacks / "whole")


def test_other_threads_and_other_groups_are_refused(attacks, tmp_path, threads):
    run = unfinished(attacks, tmp_path / "run")
    with pytest.raises(InputError, match="group was 2 and is 5"):
        run_attack(attacks / "net.pt", replace(SMALL, group=5), out=run, resume=True, say=silent)
    threads(torch.get_num_threads() + 1)
    with pytest.raises(InputError, match="threads was"):
        run_attack(attacks / "net.pt", SMALL, out=run, resume=True, say=silent)


def test_shards_made_otherwise_are_merged_only_where_they_may_mix(attacks, tmp_path, threads):
    first = torch.get_num_threads()
    for k in (1, 2):
        threads(first + k)
        run_attack(attacks / "net.pt", SMALL, out=tmp_path / f"{k}", shard=f"{k}/2", say=silent)
    folders = [tmp_path / "1", tmp_path / "2"]
    with pytest.raises(InputError, match="threads was"):
        merge_runs(folders, out=tmp_path / "all", say=silent)
    assert not (tmp_path / "all").exists()
    merged = merge_runs(folders, out=tmp_path / "all", mix=True, say=silent).folder
    summary = json.loads((merged / "summary.json").read_text())
    assert [(one["threads"], one["groups"]) for one in summary["made_by"]] == [
        (first + 1, "0, 2, 4"),
        (first + 2, "1, 3"),
    ]


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """A finished run of each of the newer commands."""
    folder = tmp_path_factory.mktemp("newer")
    runs = Runs.build(folder)
    for name in NEWER:
        runs.run(name, folder / name)
    return folder, runs


OTHERS = ({"torch": "1.0"}, {"robustkit": "0.0.1"}, {"threads": 64}, {"device": "cuda (NVIDIA H200)"})


@pytest.mark.parametrize("number", range(len(NEWER)))
def test_every_command_refuses_to_go_on_otherwise_and_says_what_it_may_mix(newer, tmp_path, number):
    folder, runs = newer
    name, other = NEWER[number], OTHERS[number % len(OTHERS)]
    whole = shutil.copytree(folder / name, tmp_path / "run")
    Parts(whole).path(1).unlink()
    (whole / "summary.json").unlink()
    path = Parts(whole).path(0)
    with np.load(path) as archive:
        content = {key: archive[key] for key in archive.files}
    header = json.loads(str(content["__records__"]))
    header["note"]["maker"] |= other
    np.savez(path, **{**content, "__records__": np.array(json.dumps(header))})
    with pytest.raises(InputError, match=f"{next(iter(other))} was .* and is .*--mix"):
        runs.run(name, whole, resume=True)
    assert 1 not in Parts(whole)
    runs.run(name, whole, resume=True, mix=True)
    made = json.loads((whole / "summary.json").read_text())["made_by"]
    assert [one["groups"] for one in made] == ["0", "1"]
    assert made[0] | other == made[0]


def test_a_group_that_does_not_say_what_made_it_is_refused():
    makers = Makers()
    good = {"maker": this_maker("cpu"), "sizes": [2]}
    makers.admit(0, good)
    for note in (None, [], "x", {}, *({**good, "maker": other} for other in (None, [], "cpu")),
                 *({**good, "sizes": other} for other in (None, 1, "2", [None], [[2]]))):  # fmt: skip
        with pytest.raises(InputError, match="group 1 does not say what made it"):
            makers.admit(1, note)


@pytest.mark.parametrize(
    "change",
    [{"image": np.full(2, 2**62)}, {"queries": np.zeros(0, int)}, {"row": np.full((2, 1), "x")}, {"ids": np.zeros(9)}],
)
def test_groups_that_fit_their_kind_and_not_each_other_are_refused_in_words(attacks, tmp_path, change):
    shutil.copytree(attacks / "whole", tmp_path / "run")
    parts = Parts(tmp_path / "run")
    record = parts.load(1, KINDS)["attack"]
    parts.keep(1, {"attack": replace(record, **change)}, parts.note(1))
    with pytest.raises(InputError, match=r"do not fit this run or each other|does not fit itself"):
        run_attack(attacks / "net.pt", SMALL, out=tmp_path / "run", resume=True, say=silent)
