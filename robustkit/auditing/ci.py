"""What a build is told about an audit: annotations, a Markdown summary, a report of code quality, one JSON object.

Only gates are failures. The verdict is said beside them, because nobody asked the build to depend on it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from robustkit.auditing.machine import GateResult, check_json
from robustkit.auditing.report import Report
from robustkit.auditing.sentences import headline
from robustkit.files import write_text
from robustkit.report.section import Check
from robustkit.stats import Estimate
from robustkit.words import brief, shown

SUMMARY, QUALITY = "summary.md", "code-quality.json"


def gate_words(one: GateResult, numbers: dict[str, Estimate]) -> str:
    """What a gate asked for and what was measured, with its interval and its n.

    Args:
        one: The gate.
        numbers: The numbers of the audit.
    """
    found = numbers.get(one.gate.metric)
    if math.isnan(one.value):
        return f"{one.gate.metric} was not measured, and the gate wants {one.gate.text}"
    if found is None:  # against an earlier audit: the text says it all
        return f"{one.gate.text} (now {one.value:.4g})"
    end = "" if one.gate.end == "value" else f", whose {one.gate.end} end counts"
    return f"{one.gate.metric} is {found}{end}; the gate wants {one.gate.sign} {one.gate.limit:g}"


def github(report: Report) -> str:
    """Workflow commands: an error for each gate that does not hold, and one notice with the verdict."""
    lines = [
        f"::error title={_property(f'Gate failed: {one.gate.text}')}::{_data(gate_words(one, report.numbers))}"
        for one in report.gates
        if not one.passed
    ]
    return "\n".join([*lines, f"::notice title=Verdict of robustkit::{_data(headline(report.checks))}"])


def gitlab(report: Report) -> str:
    """Lines for the log of a job: every gate in its colour, as GitLab shows it."""
    lines = []
    for one in report.gates:
        colour, word = ("\x1b[32m", "passed") if one.passed else ("\x1b[31;1m", "FAILED")
        lines.append(f"{colour}{word}\x1b[0m {shown(one.gate.text)}: {shown(gate_words(one, report.numbers))}")
    return "\n".join([*lines, shown(headline(report.checks))])


def code_quality(report: Report) -> str:
    """The gates that do not hold as a code quality report, which GitLab shows in the merge request."""
    found = [
        {
            "description": gate_words(one, report.numbers),
            "check_name": f"robustkit: {one.gate.text}",
            "fingerprint": hashlib.sha256(one.gate.text.encode()).hexdigest(),
            "severity": "critical",
            "location": {"path": "audit.toml", "lines": {"begin": 1}},
        }
        for one in report.gates
        if not one.passed
    ]
    return json.dumps(found, indent=2) + "\n"


def as_object(report: Report) -> dict[str, Any]:
    """Gates, verdict and where the page is, as JSON values; every number is in audit.json beside the page."""
    return {
        "passed": report.passed,
        "verdict": headline(report.checks),
        "gates": [
            {
                "gate": one.gate.text,
                "passed": one.passed,
                "value": None if math.isnan(one.value) else one.value,
                "said": gate_words(one, report.numbers),
            }
            for one in report.gates
        ],
        "checks": [check_json(check) for check in report.checks],
        "page": str(report.page),
    }


def markdown(report: Report) -> str:
    """A summary: the gates, then the verdict line by line, failures first."""
    lines = [f"## robustkit: {_cell(headline(report.checks))}", ""]
    if report.gates:
        lines += ["| gate | measured | |", "| --- | --- | --- |"]
        lines += [
            f"| `{_code(one.gate.text)}` | {_cell(gate_words(one, report.numbers))} | "
            f"{'passed' if one.passed else '**FAILED**'} |"
            for one in report.gates
        ]
    else:
        lines += ["No gate was given, so the build does not depend on this audit; `--require` makes one."]
    lines += ["", "| verdict | claim | measured | threshold |", "| --- | --- | --- | --- |"]
    order = {"fail": 0, "warn": 1, "pass": 2, "not run": 3}
    lines += [
        f"| {_cell(_word(check))} | {_cell(check.claim)} | {_cell(check.measured)} | {_cell(check.threshold)} |"
        for check in sorted(report.checks, key=lambda check: order[check.status])
    ]
    return "\n".join([*lines, "", f"The page is `{_code(str(report.page))}`.", ""])


def tell_build(report: Report, form: str, *, step_summary: str = "", write: Callable[[str], object]) -> None:
    """Tells a build, and leaves the files that it picks up beside the page.

    Args:
        report: The finished report.
        form: `github`, `gitlab` or `json`.
        step_summary: The file to which GitHub wants Markdown appended; empty for none.
        write: Receives the text for the log; what it holds was made harmless here, but for GitLab's colours.
    """
    folder = report.page.parent
    text = markdown(report)
    write_text(folder / SUMMARY, text)
    if form == "json":
        write(json.dumps(as_object(report), indent=2, sort_keys=True, allow_nan=False))
        return
    write_text(folder / QUALITY, code_quality(report))
    if form == "github" and step_summary:
        with Path(step_summary).open("a", encoding="utf-8") as file:
            file.write(text)
    write(github(report) if form == "github" else gitlab(report))


def gates_said(gates: Sequence[GateResult]) -> str:
    """One line on all gates: how many failed, or that no gate was given."""
    failed = sum(not one.passed for one in gates)
    if not gates:
        return "no gate was given, so the exit status is 0; --require 'flip_rate<=0.9' makes one"
    many = "1 gate" if len(gates) == 1 else f"{len(gates)} gates"
    if not failed:
        return f"{many}, passed" if len(gates) == 1 else f"{many}, all passed"
    return f"{many}, failed" if len(gates) == 1 else f"{many}, {failed} failed"


def _word(check: Check) -> str:
    return check.word or check.status


def _data(text: str) -> str:
    """Text of a workflow command: one line, with the characters that end it escaped."""
    return shown(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _cell(text: str) -> str:
    """Text of a cell of a table in Markdown; names that others chose can hold anything."""
    kept = brief(text.replace("\n", " "), 400)
    for letter in "\\`*_[]<>|":
        kept = kept.replace(letter, f"&#{ord(letter)};")
    return kept


def _code(text: str) -> str:
    return brief(text.replace("`", "'").replace("|", "/"), 200)
