"""What was looked at before any number was made, as a chapter."""

from __future__ import annotations

from collections.abc import Sequence

from robustkit.findings.finding import ModelRecords
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.facts import Facts


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """What was looked at before any number was made."""
    missing = tuple(one.why_missing("preflight") for one in models if not one.preflight)
    rows = [
        (one.label, found["name"], found["verdict"], found["text"], found["advice"])
        for one in models
        for found in one.preflight
    ]
    said = "Checked first, because a failure here would make every later number meaningless. A refusal stops an audit."
    columns = ("model", "finding", "verdict", "what was seen", "what to do")
    sections: tuple[Section, ...] = (Facts("findings", "Findings", said, columns, rows),) if rows else ()
    bad = [row for row in rows if row[2] != "ok"]
    text = (
        (f"All {len(rows)} checks passed.",)
        if rows and not bad
        else tuple(f"{label}: {verdict}: {what} {advice}".strip() for label, _, verdict, what, advice in bad)
    )
    return Chapter("preflight", "Preflight", text, sections, missing, ("findings",))
