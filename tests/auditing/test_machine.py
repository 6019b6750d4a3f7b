from pathlib import Path
from xml.etree import ElementTree

import pytest

from robustkit.auditing.machine import check_gates, junit_xml, model_index
from robustkit.auditing.request import read_gate
from robustkit.findings.finding import ModelRecords
from robustkit.report.section import Check
from robustkit.stats import wilson
from tests.report.test_page import MATHS, NASTY

NUMBERS = {"accuracy": wilson(8, 10), "flip_rate": wilson(6, 8)}


def _check(status):
    return Check(status, f"It is {NASTY}", "0.5\x00", "at most 0.1", status, "clean", "Do so.")


def test_junit_shows_what_fails_what_was_not_run_and_what_to_do():
    gates = check_gates([read_gate("flip_rate<=0.7"), read_gate("accuracy.low>0.4"), read_gate("mpc>0")], NUMBERS)
    assert [gate.passed for gate in gates] == [False, True, False]
    root = ElementTree.fromstring(junit_xml([_check(s) for s in ("pass", "warn", "fail", "not run")], gates))
    first, second = root.findall("testsuite")
    assert (first.get("tests"), first.get("failures")) == ("3", "2")
    assert [second.get(name) for name in ("tests", "failures", "skipped")] == ["4", "0", "1"]  # nobody asked for one
    assert second.findall("testcase")[2].find("system-out").text == f"fail: It is {NASTY}: 0.5? (at most 0.1). Do so."
    assert "mpc>0 (not measured)" in first.findall("testcase")[2].find("failure").get("message")


def test_the_model_index_is_yaml_that_a_card_can_begin_with():
    yaml = pytest.importorskip("yaml")
    found = ModelRecords(NASTY, Path(), {"data": MATHS, "class_names": []}, {})
    before, block, after = model_index(found, NUMBERS).split("---\n")
    assert (before, after) == ("", "")
    (model,) = yaml.safe_load(block)["model-index"]
    (result,) = model["results"]
    assert model["name"] == NASTY
    assert (result["task"]["type"], result["dataset"]["name"]) == ("image-classification", MATHS)
    assert "source" not in result  # the project has no address yet
    assert [(one["type"], one["value"]) for one in result["metrics"]] == [("accuracy", 0.8), ("flip_rate", 0.75)]
