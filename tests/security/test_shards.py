"""The manifest of a shard chooses no code, whichever command made it and whichever of its fields names some."""

import json
import shutil

import pytest

from robustkit.auditing.merge import merge_runs
from robustkit.errors import RobustkitError, SecurityError
from robustkit.findings.latents.attacked import open_attacked
from robustkit.models import ModelOptions
from tests.attacks import silent
from tests.newer import NEWER, Runs
from tests.security.naming import NAMES, changed, leaves, quietly

OWN = "evil:Net"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A shard of every command but the sweep, with the checkpoint of all."""
    folder = tmp_path_factory.mktemp("shards")
    runs = Runs.build(folder)
    for name in runs.kinds:
        runs.run(name, folder / name, shard="1/1")
    # Every value of a line takes seconds, and what names code is looked at before the parts are.
    shutil.copytree(folder / "conformal", folder / "certify-lines")
    path = folder / "certify-lines" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["request"] |= {"values": "line", "conformal": None}
    path.write_text(json.dumps(manifest | {"command": "certify-lines"}))
    return folder


KINDS = ("attack", *NEWER, "certify-lines")


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
