"""What a build is told: the number that broke a gate, in whatever form the build reads."""

import json
import re
from pathlib import Path

import pytest

from robustkit.auditing.ci import github, gitlab, markdown, tell_build
from robustkit.auditing.machine import check_gates
from robustkit.auditing.report import Report
from robustkit.auditing.request import read_gate
from robustkit.report.section import Check
from robustkit.stats import Estimate

NUMBERS = {"flip_rate": Estimate(0.724, 0.639, 0.795, 123), "accuracy": Estimate(0.8, 0.7, 0.9, 150)}


@pytest.fixture
def report(tmp_path):
    """Makes a report whose gates are given, with lines of a verdict made of hostile names."""

    def make(*gates):
        checks = [
            Check("calm", "It holds up", "0.9", "at least 0.5", "pass", "clean"),
            Check("none", "Never run", "not measured", "", "not run", "sweeps"),
            Check("flips", "Few | flip\n::error::x", "<b>0.7</b> `a`", "at most 0.1", "fail", "one-pixel"),
        ]
        return Report(tmp_path / "report.html", checks, check_gates([read_gate(g) for g in gates], NUMBERS), NUMBERS)

    return make


def test_github_is_told_the_number_that_broke_the_gate(report):
    first, last = github(report("flip_rate<=0.1", "accuracy>0.5")).splitlines()
    assert first == (
        "::error title=Gate failed%3A flip_rate<=0.1::flip_rate is 0.724 [0.639, 0.795], n = 123; the gate wants <= 0.1"
    )
    assert last.startswith("::notice title=Verdict of robustkit::Not yet: of 3 claims 1 failed")


def test_the_end_of_an_interval_that_a_gate_names_is_said(report):
    (line, _) = github(report("accuracy.low>0.75")).splitlines()
    assert "accuracy is 0.80 [0.70, 0.90], n = 150, whose low end counts; the gate wants > 0.75" in line


def test_a_number_that_was_not_measured_is_said(report):
    assert "mpc was not measured, and the gate wants mpc>0.5" in github(report("mpc>0.5"))


def test_what_holds_is_no_error(report):
    assert "::error" not in github(report("flip_rate<=0.9"))
    assert "FAILED" not in gitlab(report("flip_rate<=0.9"))


def test_no_name_becomes_a_workflow_command_or_markup(report):
    made = report("flip_rate<=0.1")
    assert [line[:8] for line in github(made).splitlines()] == ["::error ", "::notice"]
    table = markdown(made)
    assert "<b>" not in table
    assert "| not run | Never run | not measured |  |" in table
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {
        4,
        5,
    }


def test_the_summary_begins_with_the_answer_and_has_failures_first(report):
    text = markdown(report("flip_rate<=0.1"))
    assert text.startswith("## robustkit: Not yet: of 3 claims 1 failed")
    assert "**FAILED**" in text
    assert text.index("Few") < text.index("It holds up")


@pytest.mark.parametrize("form", ["github", "gitlab", "json"])
def test_the_files_that_a_build_picks_up_are_there(report, tmp_path, form):
    said, step = [], tmp_path / "step.md"
    step.write_text("before\n")
    tell_build(report("flip_rate<=0.1"), form, step_summary=str(step), write=said.append)
    assert (tmp_path / "summary.md").read_text().startswith("## robustkit")
    assert step.read_text().startswith("before\n## robustkit" if form == "github" else "before\n")
    if form == "json":
        (found,) = map(json.loads, said)
        assert (found["passed"], found["gates"][0]["value"]) == (False, 0.724)
        assert found["checks"][2]["status"] == "fail"
    else:
        (one,) = json.loads((tmp_path / "code-quality.json").read_text())
        assert "0.724" in one["description"]
        assert "0.724" in said[0]


def test_the_ready_jobs_are_made_of_commands_that_there_are():
    yaml = pytest.importorskip("yaml")
    from tests.docs.shell import parse

    folder = Path(__file__).parents[2] / "examples" / "06_ci_gate"
    action = yaml.safe_load((folder / "action" / "action.yml").read_text())
    job = yaml.safe_load((folder / "github-workflow.yml").read_text())["jobs"]["audit"]
    assert set(job["steps"][-1]["with"]) <= set(action["inputs"])
    scripts = "\n".join(step.get("run", "") for step in action["runs"]["steps"])
    assert "${{" not in scripts  # inputs in a script would be run
    (line,) = [line for line in scripts.splitlines() if "robustkit audit" in line]
    parse(re.sub(r'"\$\{\w+\[@\]\}"', "", line).split()[1:])
    lab = yaml.safe_load((folder / "gitlab-ci.yml").read_text())["robustness"]["script"][-1]
    parse([word.strip('"') for word in lab.split()][1:])
    assert "pip install robustkit\n" not in (folder / "gitlab-ci.yml").read_text()
