"""The manifest of a shard chooses no code, whichever command made it and whichever of its fields names some."""

import json
import shutil
from dataclasses import replace

import pytest

from robustkit.auditing.merge import merge_runs
from robustkit.catalogues.flag import run_flag
from robustkit.catalogues.flag_request import FlagRequest
from robustkit.catalogues.predict import PredictRequest, run_predict
from robustkit.data import ImageSet
from robustkit.data.survey import LSST, Depth
from robustkit.errors import RobustkitError, SecurityError
from robustkit.findings.amplitudes.measure import run_values
from robustkit.findings.attack.record import AttackRequest
from robustkit.findings.certify.record import CertifyRequest
from robustkit.findings.hazard.measure import run_hazard
from robustkit.findings.hazard.record import HazardRequest
from robustkit.findings.latents.attacked import open_attacked
from robustkit.findings.threats.measure import run_attack_or_threat
from robustkit.models import ModelOptions
from tests.attacks import silent
from tests.audits import make_audit
from tests.security.naming import NAMES, changed, leaves, quietly

OWN = "evil:Net"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A shard of every command that came after the attack and the sweep."""
    folder = tmp_path_factory.mktemp("shards")
    model, data = make_audit(folder, n=60)
    lsst = replace(ImageSet.load(data), meta=Depth(LSST, 10, 10).meta()).save(folder / "lsst")
    few = {"n": 2, "group": 2}
    hit = AttackRequest(**few, budget=8, threat="hot-pixel", searches=("random",), data=lsst)
    gaussian = FlagRequest(data=data, perturbations=("gaussian",), least_change=False)
    made = {
        "attack": (run_attack_or_threat, AttackRequest(**few, budget=8, searches=("random",))),
        "attack-threat": (run_attack_or_threat, hit),
        "hazard": (run_hazard, HazardRequest(**few, events=2, faults=("hot-pixel",), data=lsst)),
        "conformal": (run_values, CertifyRequest(n=6, group=6, conformal=0.5)),
        "predict": (run_predict, PredictRequest(data=data)),
        "flag": (run_flag, gaussian),
    }
    for name, (run, request) in made.items():
        run(model, request, out=folder / name, shard="1/1", device="cpu", say=silent)
    # Every value of a line takes seconds, and what names code is looked at before the parts are.
    shutil.copytree(folder / "conformal", folder / "certify-lines")
    path = folder / "certify-lines" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["request"] |= {"values": "line", "conformal": None}
    path.write_text(json.dumps(manifest | {"command": "certify-lines"}))
    return folder


KINDS = ("attack", "attack-threat", "hazard", "conformal", "certify-lines", "predict", "flag")


def copied(shards, kind, folder):
    """A shard where one stands, its manifest, and what writes another one and merges."""
    shutil.copytree(shards / kind, folder / "s")
    path = folder / "s" / "manifest.json"

    def merge(manifest, **said):
        path.write_text(json.dumps(manifest))
        shutil.rmtree(folder / "m", ignore_errors=True)
        return quietly(merge_runs, [folder / "s"], out=folder / "m", say=silent, **said)

    return json.loads(path.read_text()), merge


@pytest.mark.parametrize("kind", KINDS)
def test_no_field_of_any_manifest_chooses_code(shards, stranger, kind):
    folder, marker = stranger
    document, merge = copied(shards, kind, folder)
    places = [place for place in leaves({key: document[key] for key in ("request", "command", "model")}) if place]
    for number, place in enumerate(places):
        for new in (OWN, [NAMES[number % len(NAMES)]]):
            merge(changed(document, place, new))
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["attack", "flag"])
def test_no_option_of_a_model_in_a_manifest_chooses_code(shards, stranger, kind):
    folder, marker = stranger
    document, merge = copied(shards, kind, folder)
    for field in ModelOptions.__dataclass_fields__:
        for new in (OWN, [OWN, OWN], {"name": OWN, "constants": {}}):
            document["inputs"]["model_options"] = {field: new}
            merge(document)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("kind", "place", "said"),
    [
        ("attack-threat", ("request", "threat"), "--perturb"),
        ("flag", ("request", "perturbations"), "--perturb"),
        ("attack", ("request", "searches"), "--search"),
        ("attack", ("inputs", "model_options"), "--front"),
    ],
)
def test_code_of_your_own_is_named_again(shards, stranger, kind, place, said):
    folder, marker = stranger
    document, merge = copied(shards, kind, folder)
    new = {"request": OWN if place[1] == "threat" else [OWN], "inputs": {"front": OWN}}[place[0]]
    error = merge(changed(document, place, new))
    assert isinstance(error, SecurityError)
    assert f"with {said} {OWN}" in str(error)
    assert not marker.exists()
    again = {"--perturb": {"perturbations": [OWN]}, "--search": {"searches": [OWN]},
             "--front": {"options": ModelOptions(front=OWN)}}[said]  # fmt: skip
    assert isinstance(merge(changed(document, place, new), **again), RobustkitError)
    assert marker.exists()  # a person named it


def test_the_summary_of_an_attack_chooses_no_front_end(shards, stranger):
    folder, marker = stranger
    shutil.copytree(shards / "attack", folder / "a")
    merge_runs([folder / "a"], out=folder / "whole", say=silent)
    path = folder / "whole" / "summary.json"
    document = json.loads(path.read_text())
    for field in ModelOptions.__dataclass_fields__:
        for new in (OWN, [OWN, OWN], {"name": OWN, "constants": {}}):
            document["inputs"]["model_options"] = {field: new}
            path.write_text(json.dumps(document))
            quietly(open_attacked, shards / "net.pt", folder / "whole")
    assert not marker.exists()
