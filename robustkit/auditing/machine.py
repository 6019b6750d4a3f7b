"""The same answers for machines: audit.json, tables by image, JUnit for gates, and a model index."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np

from robustkit import __version__
from robustkit.auditing.request import Gate
from robustkit.errors import InputError
from robustkit.extras import home_page
from robustkit.files import atomic_write
from robustkit.findings.finding import Finding, ModelRecords
from robustkit.report.section import Check
from robustkit.stats import Estimate
from robustkit.tables import Writer
from robustkit.words import brief, no_such

# Raised when a key changes its meaning or goes; new keys do not raise it.
SCHEMA = "robustkit-audit-2"


@dataclass(frozen=True)
class GateResult:
    """The result of a gate.

    Attributes:
        gate: The gate.
        value: The number that it asked for; nan where it was not measured.
        passed: Whether it holds; a number that was not measured fails.
        number: The number with its interval; `None` where it was not measured, and of a gate against an earlier audit.
    """

    gate: Gate
    value: float
    passed: bool
    number: Estimate | None = None

    def __str__(self) -> str:
        value = f"{self.value:.4g}" if self.number is None else str(self.number)
        found = "not measured" if math.isnan(self.value) else value
        return f"{'passed' if self.passed else 'FAILED'}: {self.gate.text} ({found})"


def check_gates(gates: Sequence[Gate], numbers: dict[str, Estimate]) -> list[GateResult]:
    """Holds numbers against gates.

    Raises:
        InputError: If a gate names a number that no audit has.
    """
    results = []
    for gate in gates:
        one = numbers.get(gate.metric)
        value = float("nan") if one is None else float(getattr(one, gate.end))
        results.append(GateResult(gate, value, gate.holds(value), one))
    return results


def check_names(gates: Sequence[Gate], kinds: Sequence[Finding]) -> None:
    """Refuses a gate whose number no finding has: a gate that never holds must not be a spelling mistake.

    Raises:
        InputError: If a name is not known.
    """
    known = [name for kind in kinds for name in kind.meaning]
    whole = {name for name in known if "." not in name}
    families = {name.partition(".")[0] for name in known if "." in name}
    for gate in gates:
        family, dot, _ = gate.metric.partition(".")
        if gate.metric not in whole and not (dot and family in families):
            raise InputError(no_such("number", gate.metric, known, where=f" in the gate {gate.text!r}"))


def audit_json(
    models: Sequence[ModelRecords],
    kinds: Sequence[Finding],
    numbers: Sequence[dict[str, Estimate]],
    checks: Sequence[Check],
    gates: Sequence[GateResult],
    comparison: Sequence[dict[str, Any]],
    fixed: dict[str, Any],
) -> dict[str, Any]:
    """Everything on the page that is a number, as JSON values; the schema is in docs/reference/audit-json.md.

    Args:
        models: What was found on each model, the audited one first.
        kinds: The findings of the audit.
        numbers: The numbers of each that gates may name.
        checks: The verdict.
        gates: The results of the gates.
        comparison: The lines that compare two models; empty for one.
        fixed: What is known of when the thresholds were chosen.
    """
    return {
        "schema": SCHEMA,
        "robustkit": __version__,
        "models": [
            {
                "label": one.label,
                "model": one.about["model"],
                "model_sha256": one.about["model_sha256"],
                "network": one.about["network"],
                "data": one.about["data"],
                "data_sha256": one.about["data_sha256"],
                "part": one.about["part"],
                "seed": one.about["seed"],
                "n": len(one.about["ids"]),
                "class_names": one.class_names,
                "steps": {
                    name: {"seconds": step["seconds"], "refused": step.get("refused", "")}
                    for name, step in one.steps.items()
                    if step.get("finished") or step.get("refused")
                },
                "metrics": {name: estimate_json(value) for name, value in found.items()},
                "outcomes": outcomes_of(one, kinds),
            }
            for one, found in zip(models, numbers, strict=True)
        ],
        "checks": [check_json(check) for check in checks],
        "gates": [
            {"gate": one.gate.text, "value": None if math.isnan(one.value) else one.value, "passed": one.passed}
            for one in gates
        ],
        "comparison": list(comparison),
        "thresholds": fixed,
    }


def outcomes_of(found: ModelRecords, kinds: Sequence[Finding]) -> dict[str, Any]:
    """What went wrong with each image, by measure, as JSON values: 0 for well, 1 for badly, shares between.

    Args:
        found: What was found out about a model.
        kinds: The findings of the audit.

    Returns:
        `ids`, and under `bad` a list for each measure; `null` for images without an answer.
    """
    bad: dict[str, list[float | None]] = {}
    for kind in kinds:
        for name, values in kind.outcomes(found).items():
            bad.setdefault(name, values)
    return {"ids": list(found.about["ids"]), "bad": bad}


def estimate_json(one: Estimate) -> dict[str, Any]:
    """An estimate as JSON values; what is not finite is `None`."""
    numbers = {name: float(getattr(one, name)) for name in ("value", "low", "high")}
    finite = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
    return finite | {"n": int(one.n), "level": one.level, "method": one.method}


def check_json(check: Check) -> dict[str, Any]:
    """A line of the verdict as JSON values: numbers as fields, and the sentence that the page shows."""
    one = check.decision
    status = "undecided" if check.status == "warn" else check.status
    numbers = {} if one is None else {
        "value": one.value, "low": one.low, "high": one.high, "n": one.n, "level": one.level, "threshold": one.margin,
        "direction": "at most" if one.most else "at least", "worst": one.worst or None, "p_adjusted": one.p,
        "family": one.family, "leans": one.leans, "images_needed": one.needed, "images_available": check.available,
        "lost": list(check.lost), "gained": list(check.gained),
    }  # fmt: skip
    return {
        "name": check.name, "claim": check.claim, "status": status, "said": check.measured,
        "held_against": check.threshold, "evidence": check.evidence, "advice": check.advice, **numbers,
    }  # fmt: skip


def as_json(everything: dict[str, Any]) -> str:
    """The text of `audit.json`: the same for the same numbers."""
    return json.dumps(everything, indent=2, sort_keys=True, allow_nan=False) + "\n"


def image_table(models: Sequence[ModelRecords], kinds: Sequence[Finding]) -> tuple[list[str], list[list[Any]]]:
    """One line per image and model: what each finding has to say of the image.

    Returns:
        The headings, and the lines.
    """
    columns, lines = ["id", "model", "true"], []
    for one in models:
        cells: dict[str, list[Any]] = {}
        for kind in kinds:
            cells |= kind.columns(one)
        columns = [*columns[:3], *cells]
        for i, image_id in enumerate(one.about["ids"]):
            true = one.class_names[one.about["true"][i]]
            lines.append([image_id, one.label, true, *(values[i] for values in cells.values())])
    return columns, lines


def write_object_table(
    folder: Path,
    name: str,
    columns: Sequence[str],
    lines: Sequence[Sequence[Any]],
    say: Callable[[str], None] = print,
) -> list[Path]:
    r"""Writes a table as CSV, and as FITS and Parquet where astropy and pyarrow are installed.

    FITS knows ASCII alone, so other letters are written there as in Python, `fusionn\xe9e`. A table that a library
    cannot write is left out and said, because the page does not depend on it.

    Args:
        folder: Where.
        name: Of its files, such as `images`.
        columns: Headings.
        lines: Cells, a line for each object.
        say: Called with why a table is left out.

    Returns:
        The files written.
    """
    with atomic_write(folder / f"{name}.csv") as file:
        file.write(csv_text(columns, lines).encode())
    written = [folder / f"{name}.csv"]
    arrays = {heading: _column([line[i] for line in lines]) for i, heading in enumerate(columns)}
    for path, write in ((folder / f"{name}.fits", _write_fits), (folder / f"{name}.parquet", _write_parquet)):
        try:
            with atomic_write(path) as file:
                write(arrays, file)
        except ImportError:
            continue
        except OSError:
            raise
        except Exception as error:
            say(f"{path.name} is not written: {brief(error)}")
            continue
        written.append(path)
    return written


def _write_fits(arrays: Mapping[str, np.ndarray], file: BinaryIO) -> None:
    from astropy.table import Table

    named = zip(_ascii(np.array(list(arrays))).tolist(), arrays.values(), strict=True)
    Table({name.decode(): _ascii(values) for name, values in named}).write(file, format="fits")


def _ascii(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "U":
        return values
    return np.array([text.encode("ascii", "backslashreplace") for text in values.tolist()])


def _write_parquet(arrays: Mapping[str, np.ndarray], file: BinaryIO) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({name: pyarrow.array(values.tolist()) for name, values in arrays.items()})
    pyarrow.parquet.write_table(table, file)


def csv_text(columns: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """Lines as CSV."""
    text = io.StringIO()
    writer = Writer(text)
    writer.writerow(columns)
    writer.writerows(lines)
    return text.getvalue()


def junit_xml(checks: Sequence[Check], gates: Sequence[GateResult]) -> str:
    """Gates and verdict as JUnit XML: only a gate that does not hold is a failure, because only gates were asked for.

    The lines of the verdict are there to be read: what was not run is skipped, and the rest passes with its text.
    """
    root = ElementTree.Element("testsuites", name="robustkit")
    for name, cases in (("robustkit.gates", [_gate_case(one) for one in gates]),
                        ("robustkit.verdict", [_check_case(one) for one in checks])):  # fmt: skip
        failures = sum(case.find("failure") is not None for case in cases)
        skipped = sum(case.find("skipped") is not None for case in cases)
        counts = {"tests": str(len(cases)), "failures": str(failures), "skipped": str(skipped), "errors": "0"}
        suite = ElementTree.SubElement(root, "testsuite", {"name": name, **counts})
        suite.extend(cases)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _gate_case(one: GateResult) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname="robustkit.gates", name=_xml(one.gate.text), time="0")
    if not one.passed:
        ElementTree.SubElement(case, "failure", message=_xml(str(one)))
    return case


def _check_case(one: Check) -> ElementTree.Element:
    """A line of the verdict: its numbers as properties, its sentence as output."""
    case = ElementTree.Element("testcase", classname="robustkit.verdict", name=_xml(one.name), time="0")
    fields = {key: value for key, value in check_json(one).items() if isinstance(value, int | float | str)}
    properties = ElementTree.SubElement(case, "properties")
    for key in ("status", "value", "low", "high", "n", "threshold", "leans", "images_needed"):
        if key in fields:
            ElementTree.SubElement(properties, "property", name=key, value=_xml(str(fields[key])))
    said = _xml(f"{one.claim}: {one.measured} ({one.threshold}){f'. {one.advice}' if one.advice else ''}")
    if one.status == "not run":
        ElementTree.SubElement(case, "skipped", message=said)
    else:
        ElementTree.SubElement(case, "system-out").text = f"{fields['status']}: {said}"
    return case


def _xml(text: str) -> str:
    """Text that XML can hold: no control characters."""
    return "".join(letter if letter >= " " else "?" for letter in text)


def model_index(one: ModelRecords, numbers: dict[str, Estimate]) -> str:
    """A `model-index` block for the card of a model on Hugging Face, in YAML."""
    shown = {"accuracy": "accuracy", "flip_rate": "one-pixel flip rate", "certified_rate": "one-pixel certified rate",
             "calibration_error": "expected calibration error", "mpc": "mean accuracy under perturbations"}  # fmt: skip
    lines = [
        "model-index:",
        f"- name: {_yaml(one.label)}",
        "  results:",
        "  - task:",
        "      type: image-classification",
    ]
    lines += ["    dataset:", f"      name: {_yaml(one.about['data'])}", "      type: custom", "    metrics:"]
    for name, said in shown.items():
        if name in numbers and np.isfinite(numbers[name].value):
            lines += [
                f"    - type: {name}",
                f"      name: {_yaml(said)}",
                f"      value: {float(numbers[name].value):.6g}",
            ]
            lines += [f"      args: {_yaml(str(numbers[name]))}"]
    if home := home_page():
        lines += ["    source:", f"      name: {_yaml(f'robustkit {__version__}')}", f"      url: {_yaml(home)}"]
    return "---\n" + "\n".join(lines) + "\n---\n"


def _yaml(text: str) -> str:
    return json.dumps(text)  # a JSON string is a YAML string


def _column(values: list[Any]) -> np.ndarray:
    """A column of one kind: numbers where all are, with nan for what is empty, otherwise text."""
    try:
        return np.array([np.nan if value == "" else float(value) for value in values])
    except ValueError:
        return np.array([str(value) for value in values])
