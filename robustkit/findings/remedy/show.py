"""The chapter on what would help: flips, accuracy, and all that decides, remedy by remedy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustkit.findings.finding import ModelRecords, section_name
from robustkit.findings.remedy.record import RemedyRecord
from robustkit.findings.remedy.summary import (
    RULE,
    accuracy,
    advice,
    against_none,
    certified_rate,
    flip_rate,
    recommended,
)
from robustkit.report.palette import Meaning
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.facts import Facts
from robustkit.report.sections.forest import Forest

NAME, TITLE = "remedy", "What would help"


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """What each remedy saves and costs, and which one to take."""
    have = [(one, one.records[NAME]) for one in models if NAME in one.records]
    missing = tuple(_missing(one) for one in models if NAME not in one.records)
    sections: list[Section] = []
    text = [RULE] if have else []
    for one, record in have:
        said = (line for line in (*advice(record), *record.notes) if line != RULE)
        text += [f"{one.label}: {line}" if len(models) > 1 else line for line in said]
        sections += [
            _flips(one, record, models), _accuracies(one, record, models), _table(one, record, models),
        ]  # fmt: skip
    return Chapter(NAME, TITLE, tuple(text), tuple(sections), missing)


def _missing(one: ModelRecords) -> str:
    if one.steps.get(NAME, {}).get("refused"):
        return one.why_missing(NAME)
    return (
        f"{one.label}: no remedy was tried. `robustkit audit --model {one.about['model']} --remedy` tries front ends "
        "that need no training, on the same images, and recommends one."
    )


def _flips(one: ModelRecords, record: RemedyRecord, models: Sequence[ModelRecords]) -> Forest:
    rows = [(name, one.label, flip_rate(record, k)) for k, name in enumerate(record.remedies)]
    said = (
        f"Share of the images classified correctly that some declared pixel flips, by the complete search through the "
        f"front end, of the same {len(record.ids)} images"
    )
    edges = [record.remedies[k] for k, values in enumerate(record.values) if values.endswith("+edge")]
    if edges:
        said += f"; for {', '.join(edges)} also over values just inside the threshold"
    name = section_name("remedy-flips", one, models)
    return Forest(name, f"Flips with each remedy, {one.label}", "flipped", rows, said=f"{said}.")


def _accuracies(one: ModelRecords, record: RemedyRecord, models: Sequence[ModelRecords]) -> Forest:
    rows = [
        (remedy, domain, accuracy(record, k, d))
        for k, remedy in enumerate(record.remedies)
        for d, domain in enumerate(record.domains)
    ]
    means = {domain: Meaning(domain=domain) for domain in record.domains}
    name = section_name("remedy-accuracy", one, models)
    said = "Accuracy on all images of the part, which a remedy must not cost."
    return Forest(
        name, f"Accuracy with each remedy, {one.label}", "accuracy", rows, said=said, span=None, series_name="domain",
        means=means,
    )  # fmt: skip


def _table(one: ModelRecords, record: RemedyRecord, models: Sequence[ModelRecords]) -> Facts:
    best = recommended(record)
    columns = [
        "remedy", "right", "flipped", "certified", "certified for every amplitude",
        *(f"accuracy, {name} (gained, lost, p)" for name in record.domains),
        "changes per million by accidents", "pixel values changed", "search, s per image", "prediction, ms", "values",
        "command",
    ]  # fmt: skip
    rows: list[list[object]] = []
    for k, name in enumerate(record.remedies):
        tests = [against_none(record, k, d) for d in range(len(record.domains))]
        accuracies = [
            f"{_ends(accuracy(record, k, d))}"
            + ("" if k == 0 else f" ({test.first_only}, {test.second_only}, {float(test.p):.2g})")
            for d, test in enumerate(tests)
        ]
        hazard = record.hazard[k]
        rows.append([
            f"{name} (recommended)" if k == best else name, int(record.right[k].sum()), _ends(flip_rate(record, k)),
            _ends(certified_rate(record, k)), _every(record, k), *accuracies,
            "unknown" if np.isnan(hazard).any() else f"{hazard[0]:,.0f} [{hazard[1]:,.0f}, {hazard[2]:,.0f}]",
            f"{record.changed[k]:.2%}", f"{record.search_seconds[k]:.2g}", f"{1000 * record.forward_seconds[k]:.2g}",
            record.values[k], record.commands[k],
        ])  # fmt: skip
    said = (
        "What each remedy saves and what it costs. Intervals are 95%; gained and lost are images against the model as "
        "it is, with McNemar's exact test. Seconds are processor time on this machine."
    )
    return Facts(section_name("remedy-table", one, models), f"Remedies, {one.label}", said, columns, rows)


def _every(record: RemedyRecord, k: int) -> str:
    tried, certified, _ = record.every[k].tolist()
    return "not followed" if tried < 0 else f"{certified} of {tried}"


def _ends(one: object) -> str:
    return str(one).partition(", n =")[0]
