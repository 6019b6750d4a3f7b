import torch

from robustkit.findings import doctor
from robustkit.perturb.search.registry import SEARCHES


def test_every_search_and_certificate_gives_the_known_answer():
    findings = list(doctor.check_attack())
    assert not [finding for finding in findings if not finding.ok]
    assert {finding.name.partition(":")[0] for finding in findings} == {*SEARCHES, "certificate"}


def test_a_search_that_finds_nothing_is_found_out(monkeypatch):
    class Blind:
        name = "blind"

        def start(self, problem):
            return self

        def propose(self, active):
            return None

        def to_json(self):
            return {"name": self.name}

    monkeypatch.setattr(doctor, "SEARCHES", {"blind": Blind})
    monkeypatch.setattr(doctor, "make_search", lambda name: Blind())
    blind = next(iter(doctor.check_attack()))
    assert not blind.ok
    assert blind.detail == "0 of 6 images flipped"


def test_the_known_networks_are_what_they_are_said_to_be():
    images = torch.zeros(1, *doctor._SHAPE)
    images[0, 1, 4, 11] = 1
    assert doctor._Planted()(images).argmax() == 1
    images[0, 1, 4, 11] = 0.89
    assert doctor._Planted()(images).argmax() == 0
    images[:] = 1
    assert doctor._Mean()(images).argmax() == 1
