from pathlib import Path
from types import SimpleNamespace

import pytest

from robustkit.auditing.audit import _in_time
from robustkit.auditing.forecast import Pace, budget_in_time
from robustkit.auditing.request import (
    FILE,
    AttackPart,
    AuditRequest,
    CertifyPart,
    SweepPart,
    command_of,
    of_effort,
    read_gate,
    read_request,
    request_of,
    save_request,
)
from robustkit.errors import InputError
from robustkit.findings.remedy.record import RemedyPart

NASTY = '</script><img src=x onerror=alert(1)> $\\frac{$ "quoted" ü\n\t\x7f'


def test_a_request_survives_its_file(tmp_path):
    asked = AuditRequest(
        str(tmp_path / "a.pt"),
        base=str(tmp_path / "b.pt"),
        part=NASTY,
        n=7,
        take_all=True,
        fail_under=("flip_rate<=0.9", "accuracy.low>0.5"),
        attack=AttackPart(searches=("de", "random"), budget=40),
        sweep=SweepPart(perturbations=("gaussian",)),
        certify=CertifyPart(0.5),
    )
    save_request(asked, tmp_path / "audit.toml")
    assert read_request(tmp_path / "audit.toml") == asked


def test_paths_in_a_file_start_beside_it(tmp_path):
    (tmp_path / "audit.toml").write_text('model = "models/a.pt"\nn = 9\n[certify]\nseconds = 4\n')
    asked = read_request(tmp_path / "audit.toml")
    assert asked.model == str(tmp_path / "models" / "a.pt")
    assert (asked.n, asked.base, asked.certify.seconds) == (9, "", 4.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('model = "a.pt"\nmodle = 1', r"unknown key 'modle'; did you mean 'model'\? Known are model, base"),
        (
            'model = "a.pt"\n[attack]\nbugdet = 1',
            r"attack: unknown key 'bugdet'; did you mean 'budget'\? Known are",
        ),
        ('model = "a.pt"\nn = "many"', "n should be int, got 'many'"),
        ('model = "a.pt"\nn = true', "n should be int, got True"),
        ('model = "a.pt"\n[attack]\nsearches = "de"', "searches should be a list of texts, got 'de'"),
        ('model = "a.pt"\nn = 0', "expected at least 1 image, got n = 0"),
        ('model = "a.pt"\neffort = "some"', "unknown effort 'some'; known are quick, standard, full"),
        ('model = "a.pt"\nfail_under = ["flips"]', "expected a gate such as"),
        ('model = "a.pt"\n[sweep]\nsuite = "all"', "unknown suite 'all'; known are auto, quick, lsst, plain"),
        ("n = 3", "names no model"),
        ("n = ", "is not readable as an audit file in TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_words(tmp_path, text, words):
    (tmp_path / "audit.toml").write_text(text)
    with pytest.raises(InputError, match="(?s)" + words.replace("(", r"\(")):
        read_request(tmp_path / "audit.toml")


def test_options_change_what_a_file_says(tmp_path):
    (tmp_path / "audit.toml").write_text('model = "a.pt"\nn = 9\nseed = 4\n')
    asked = request_of(tmp_path / "audit.toml", {"n": 3})
    assert (asked.n, asked.seed) == (3, 4)
    with pytest.raises(InputError, match="name a checkpoint with --model"):
        request_of(None, {"n": 3})


def test_an_effort_changes_only_what_nobody_asked_for():
    quick = of_effort(AuditRequest("a.pt", effort="quick", certify=CertifyPart(5.0)))
    assert (quick.sweep.suite, quick.certify.seconds) == ("quick", 5.0)
    assert quick.attack.budget > 0
    assert of_effort(AuditRequest("a.pt", effort="full")).certify.seconds == 0
    assert of_effort(quick) == quick


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("flip_rate<=0.9", 0.9, True),
        ("flip_rate < 0.9", 0.9, False),
        ("accuracy.low >= .5", 0.4, False),
        ("loss.exposure>1e-2", 0.02, True),
        ("flip_rate<=0.9", float("nan"), False),
    ],
)
def test_a_gate_holds_or_not(text, value, holds):
    assert read_gate(text).holds(value) is holds


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("flip_rate.spiral<=0.5", ("flip_rate.spiral", "value", "<=", 0.5)),
        ("loss.psf.high < 0.2", ("loss.psf", "high", "<", 0.2)),
        ("loss.bad-column>=0", ("loss.bad-column", "value", ">=", 0.0)),
    ],
)
def test_a_gate_is_read_part_by_part(text, parts):
    gate = read_gate(text)
    assert (gate.metric, gate.end, gate.sign, gate.limit) == parts


@pytest.mark.parametrize("text", ["flip_rate", "flip_rate=0.9", "flip_rate<=much", "<=0.9", "flip_rate<=nan", ""])
def test_what_is_no_gate_is_refused(text):
    with pytest.raises(InputError, match="expected a gate such as"):
        read_gate(text)


@pytest.mark.parametrize(
    ("rates", "budget"),
    [((300_000,), 4000), ((3_000,), 2000), ((3_000, 3_000), 1000), ((500,), 250), ((5,), 250), ((), 4000)],
)
def test_a_quick_attack_gets_the_queries_that_five_minutes_allow(rates, budget, tmp_path):
    request = of_effort(AuditRequest("a.pt", effort="quick"))
    names = ("model", "base")[: len(rates)]
    subjects = {name: SimpleNamespace(sample=range(150)) for name in names}
    paces = {name: Pace(0.01, rate) for name, rate in zip(names, rates, strict=True)}
    assert budget_in_time(subjects, request, paces) == budget
    said = []
    bounded = _in_time(request, tmp_path, budget, said.append)
    assert (bounded.attack.budget, len(said)) == (budget, int(budget < 4000))
    save_request(bounded, tmp_path / FILE)
    assert _in_time(request, tmp_path, 500, said.append) == bounded  # the machine is slower when the audit goes on


def test_the_command_of_a_page_says_what_would_help_was_tried():
    request = AuditRequest("m.pt", effort="quick", remedy=RemedyPart(tried=True, models=("r.pt",)))
    assert command_of(request, Path.cwd()) == "robustkit audit --model m.pt --quick --remedy --remedy-model r.pt"
    assert "--remedy" not in command_of(AuditRequest("m.pt"), Path.cwd())
