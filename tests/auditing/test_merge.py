import json
import shutil

import pytest

from robustkit.auditing.merge import merge_runs
from robustkit.cli import main
from robustkit.errors import InputError
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.runs import Parts, only_writer
from tests.attacks import SMALL, silent
from tests.audits import make_audit


@pytest.fixture(scope="module")
def shards(attacks, tmp_path_factory):
    """The attack `SMALL` in three shards, the third first."""
    folder = tmp_path_factory.mktemp("shards")
    for k in (1, 2, 3):
        run_attack(attacks / "net.pt", SMALL, out=folder / f"shard-{k}", shard=f"{k}/3", say=silent)
    return [folder / f"shard-{k}" for k in (3, 1, 2)]


def test_merged_shards_of_an_attack_are_the_run_in_one_piece(attacks, shards, tmp_path, capsys):
    with pytest.raises(SystemExit) as done:
        main(["merge", *map(str, shards), "--out", str(tmp_path / "merged")])
    assert done.value.code == 0
    assert "3 shards, 5 groups of 2 images" in capsys.readouterr().out
    for name in ("attack.npz", "attacks.csv", "flips-by-queries.png"):
        assert (tmp_path / "merged" / name).read_bytes() == (attacks / "whole" / name).read_bytes()
    one, other = (json.loads((path / "summary.json").read_text()) for path in (tmp_path / "merged", attacks / "whole"))
    assert one["inputs"] == other["inputs"]
    assert one["pictures"] == other["pictures"]
    assert one["costs"]["de"]["candidates"] == other["costs"]["de"]["candidates"]


def test_a_merged_run_is_a_run(attacks, shards, tmp_path):
    merge_runs(shards, out=tmp_path / "merged", say=silent)
    again = run_attack(attacks / "net.pt", SMALL, out=tmp_path / "merged", resume=True, say=silent)
    assert (again.folder / "attack.npz").read_bytes() == (attacks / "whole" / "attack.npz").read_bytes()


def test_merged_shards_of_certificates_are_the_run_in_one_piece(attacks, tmp_path):
    request, model = CertifyRequest(n=5, group=2), attacks / "net.pt"
    run_certify(model, request, out=tmp_path / "whole", say=silent)
    for k in (1, 2):
        run_certify(model, request, out=tmp_path / f"shard-{k}", shard=f"{k}/2", say=silent)
    merge_runs([tmp_path / "shard-1", tmp_path / "shard-2"], out=tmp_path / "merged", say=silent)
    for name in ("certificates.npz", "certificates.csv", "vulnerability.png"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    (tmp_path / "shard-2" / "parts" / "0000001.npz").unlink()
    with pytest.raises(InputError, match=r"shard 2/2 in .* is not finished, 0 of 1 groups are"):
        merge_runs([tmp_path / "shard-1", tmp_path / "shard-2"], out=tmp_path / "again", say=silent)


def test_what_another_process_still_writes_is_not_merged(shards, tmp_path):
    shutil.copytree(shards[0], tmp_path / "half")
    with only_writer(tmp_path / "half" / "lock"):
        Parts(tmp_path / "half").path(2).unlink()
        with pytest.raises(InputError, match="is not finished, 0 of 1 groups are"):
            merge_runs([tmp_path / "half", *shards[1:]], out=tmp_path / "merged", say=silent)
    assert not (tmp_path / "merged").exists()
    (tmp_path / "merged").mkdir()
    with only_writer(tmp_path / "merged" / "lock"):
        with pytest.raises(InputError, match="another process writes to"):
            merge_runs(shards, out=tmp_path / "merged", say=silent)
        assert [path.name for path in (tmp_path / "merged").iterdir()] == ["lock"]


def changed(folder, tmp_path, **inputs):
    """A copy of a shard whose manifest says something else."""
    shutil.copytree(folder, tmp_path / "changed")
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, value in inputs.items():
        part = manifest if name in manifest else manifest["inputs"]
        part[name] = value
    (tmp_path / "changed" / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path / "changed"


def refused(folders, tmp_path, words):
    with pytest.raises(InputError, match=words):
        merge_runs(folders, out=tmp_path / "merged", say=silent)
    assert not (tmp_path / "merged").exists()


def test_what_is_not_all_shards_of_one_run_is_refused(attacks, shards, tmp_path):
    third, first, second = shards
    refused([first], tmp_path, "2 of 3 shards are missing: 2/3, 3/3; run them")
    refused([first, second, third, first], tmp_path, "overlap: both are shard 1/3")
    refused([first, attacks / "whole"], tmp_path, "whole is not a shard of a larger run")
    refused([first, attacks / "galaxies"], tmp_path, "holds no run")
    refused([], tmp_path, "expected the folders")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"model_sha256": "0"}, "shards of different runs: model_sha256 was '.* and is '0'"),
        ({"group": 3}, "group was 2 and is 3"),
        ({"device": "cuda"}, "device was 'cpu' and is 'cuda'"),
        ({"shard": "2/4"}, "shards was '3' and is '4'"),
        ({"versions": {"robustkit": "0", "torch": "1"}}, "versions.torch"),
    ],
)
def test_shards_of_different_runs_are_refused_with_a_diff(shards, tmp_path, inputs, words):
    third, first, second = shards
    refused([first, changed(second, tmp_path, **inputs), third], tmp_path, words)


def test_an_unfinished_shard_is_refused(shards, tmp_path):
    third, first, second = shards
    copy = changed(first, tmp_path)
    Parts(copy).path(list(Parts(copy))[-1]).unlink()
    refused(
        [copy, second, third],
        tmp_path,
        r"shard 1/3 in .* is not finished, 1 of 2 groups are; finish it with --resume",
    )


def test_a_model_that_changed_is_refused(shards, tmp_path):
    other, _ = make_audit(tmp_path, n=36)
    with pytest.raises(InputError, match="model or images are not those of the shards"):
        merge_runs(shards, out=tmp_path / "merged", model=other, say=silent)


@pytest.mark.parametrize(
    ("shard", "words"),
    [
        ("0/3", "shard 0/3 does not exist; shards of 3 run from 1/3 to 3/3"),
        ("4/3", "does not exist"),
        ("three", "expected a shard as 3/64"),
        ("1/6", "5 groups of images, too few for 6 shards"),
    ],
)
def test_shards_that_do_not_exist_are_refused(attacks, tmp_path, shard, words):
    with pytest.raises(InputError, match=words):
        run_attack(attacks / "net.pt", SMALL, out=tmp_path / "run", shard=shard, say=silent)
    assert not (tmp_path / "run").exists()


def test_a_shard_goes_on_as_that_shard_only(attacks, shards, tmp_path):
    shutil.copytree(shards[1], tmp_path / "run")
    with pytest.raises(InputError, match="shard was '1/3' and is '2/3'"):
        run_attack(attacks / "net.pt", SMALL, out=tmp_path / "run", shard="2/3", resume=True, say=silent)
