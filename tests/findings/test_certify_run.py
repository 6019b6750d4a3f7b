import csv
import json

import numpy as np
import pytest
import torch

from robustkit.cli import main
from robustkit.errors import InputError
from robustkit.files import read_json
from robustkit.findings.certify.measure import certify, run_certify
from robustkit.findings.certify.record import CertificateRecord, CertifyRequest
from tests.audits import make_audit


def silent(line):
    """Says nothing."""


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    return make_audit(tmp_path_factory.mktemp("audit"))


def test_a_run_leaves_everything_and_says_its_denominators(audit, tmp_path, capsys):
    model, _ = audit
    with pytest.raises(SystemExit) as ended:
        main(["certify", "--model", str(model), "--n", "5", "--all", "--out", str(tmp_path / "run")])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    numbers = json.loads((tmp_path / "run" / "summary.json").read_text())
    lines = list(csv.DictReader((tmp_path / "run" / "certificates.csv").read_text().splitlines()))
    record = CertificateRecord.load(tmp_path / "run" / "certificates.npz")
    assert numbers["drawn"] == len(lines) == len(record.ids)
    assert numbers["certified"] == sum(int(line["certified"]) for line in lines)
    assert numbers["certified"] + numbers["flippable"] == numbers["correct"] == numbers["complete"]
    assert f"certified  {numbers['certified']} of {numbers['correct']}" in said
    assert (tmp_path / "run" / "vulnerability.png").stat().st_size > 1000


def test_a_run_goes_on_with_the_parts_that_it_has(audit, tmp_path):
    model, _ = audit
    request = CertifyRequest(n=5, take_all=True, group=2)
    whole = run_certify(model, request, out=tmp_path / "whole", say=silent).record
    (tmp_path / "whole" / "parts" / "0000001.npz").unlink()
    kept = (tmp_path / "whole" / "parts" / "0000000.npz").stat().st_mtime_ns
    again = run_certify(model, request, out=tmp_path / "whole", resume=True, say=silent).record
    assert (tmp_path / "whole" / "parts" / "0000000.npz").stat().st_mtime_ns == kept
    np.testing.assert_array_equal(again.flips_map, whole.flips_map)


def test_a_small_budget_gives_a_bound_and_no_certificate(audit, tmp_path):
    model, _ = audit
    said = []
    request = CertifyRequest(n=5, take_all=True, budget=50)
    record = run_certify(model, request, out=tmp_path / "run", say=said.append).record
    assert not record.certified.any()
    assert "cells flip the median image" in said[-2]


def test_refusals_leave_nothing_behind(audit, tmp_path):
    model, _ = audit
    for wrong in ({"n": 10_000}, {"budget": 0}, {"values": "nothing"}, {"group": 0}):
        with pytest.raises(InputError):
            run_certify(model, CertifyRequest(**wrong), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_groups_are_halved_where_memory_runs_out_and_an_image_alone_is_marked(audit, tmp_path, monkeypatch):
    model, _ = audit
    request = CertifyRequest(n=6, group=6, budget=40)
    whole = run_certify(model, request, out=tmp_path / "whole", say=silent).record
    most, never = 4, "none"

    def hungry(classifier, images, labels, *, ids, **options):
        if len(images) > most or never in ids:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return certify(classifier, images, labels, ids=ids, **options)

    monkeypatch.setattr("robustkit.findings.certify.measure.certify", hungry)
    halved = run_certify(model, request, out=tmp_path / "halved", say=silent).record
    assert read_json(tmp_path / "halved" / "summary.json")["plan"] == {"group": 6, "halved": {"0": [3, 3]}}
    np.testing.assert_array_equal(halved.flips_map, whole.flips_map)
    place = int(np.flatnonzero(whole.correct)[0])
    never, said = str(whole.ids[place]), []
    marked = run_certify(model, request, out=tmp_path / "marked", say=said.append).record
    assert np.flatnonzero(marked.out_of_memory).tolist() == [place]
    assert not (marked.correct | marked.certified | marked.flippable)[place]
    assert marked.correct.sum() == whole.correct.sum() - 1
    assert "memory ran out for 1 images" in "\n".join(said)
    assert 0 in read_json(tmp_path / "marked" / "summary.json")["plan"]["halved"]["0"]
    lines = list(csv.DictReader((tmp_path / "marked" / "certificates.csv").read_text().splitlines()))
    assert [int(line["out_of_memory"]) for line in lines] == [int(i == place) for i in range(6)]
    again = run_certify(model, request, out=tmp_path / "marked", resume=True, say=silent).record
    np.testing.assert_array_equal(again.out_of_memory, marked.out_of_memory)
