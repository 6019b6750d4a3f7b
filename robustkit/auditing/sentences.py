"""The words of the verdict: numbers come in as fields, and a sentence is made of them here, last, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from robustkit.report.section import Check, Status
from robustkit.stats import Decision, Estimate, as_percent, as_points
from robustkit.stats.claims import whole

# How often a page may hold any false pass at most, and how often any false fail: `benchmarks/verdicts.py` simulates it.
RULE = (
    "Each line is a claim whose threshold was written into audit.toml before any image was scored. It passes where the "
    "images show that it holds, and fails where they show that it does not; the lines are decided together (Holm's "
    "procedure), so that a page holds any false pass at most one time in twenty, and any false fail as seldom, which "
    "simulated audits confirm. Otherwise it is undecided, and the line says which way it leans and how many images "
    "would settle it. An interval reaches as far as this needs, which is further than 95% for one line by itself. The "
    "thresholds are settings of the audit, not laws of nature."
)
# The answer of a page, and the rule by which it is made of the lines.
WORDS = {"fail": "Not yet", "warn": "Cannot be said", "pass": "Yes"}
WORD_RULE = (
    "The answer follows from the lines below: Not yet if any fails, Cannot be said if none fails and any is undecided "
    "or none ran, Yes if all that ran passed."
)
_SHOWN: dict[str, Status] = {"pass": "pass", "fail": "fail", "undecided": "warn"}


@dataclass(frozen=True)
class Line:
    """A claim in words.

    Attributes:
        name: That of the claim.
        claim: What is claimed.
        what: What was measured.
        evidence: The section that shows it.
        advice: What to do where it fails.
        side: How the threshold is said, instead of `at most` and `at least`.
        rate: Whether it is a rate, in percent; otherwise it is a difference or an error, in points.
    """

    name: str
    claim: str
    what: str
    evidence: str
    advice: str
    side: str = ""
    rate: bool = False

    def number(self, one: Estimate) -> str:
        """The number and its interval as they are read."""
        return as_percent(one) if self.rate else as_points(one)

    def margin(self, value: float) -> str:
        """What the number is held against."""
        return f"{100 * value:.3g} {'%' if self.rate else 'points'}"


def check_of(
    line: Line,
    decision: Decision,
    *,
    drawn: int,
    available: int,
    lost: Sequence[str] = (),
    gained: Sequence[str] = (),
    said: str = "",
) -> Check:
    """A decided claim as a line of the page.

    Args:
        line: Its words.
        decision: Its numbers.
        drawn: How many images the audit drew, of which the claim may rest on some.
        available: How many images there are.
        lost: Perturbations whose interval lies above 0.
        gained: Perturbations whose interval lies below 0.
        said: What stands behind the number.
    """
    worst = f", the worst of them {decision.worst}" if decision.worst else ""
    number = line.number(Estimate(decision.value, decision.low, decision.high, decision.n, decision.level))
    side = line.side or ("at most" if decision.most else "at least")
    named = [f"{how} {', '.join(names)}" for how, names in (("lost under", lost), ("gained under", gained)) if names]
    measured = "; ".join([f"{line.what}{worst}: {number}{said}, n = {decision.n}", *named])
    check = Check(
        line.name, line.claim, measured, f"{side} {line.margin(decision.margin)}", _SHOWN[decision.status],
        line.evidence, decision=decision, available=available, lost=tuple(lost), gained=tuple(gained), number=number,
    )  # fmt: skip
    if decision.status == "pass":
        return check
    if decision.status == "fail":
        return replace(check, advice=line.advice)
    if decision.needed is None:
        return replace(check, word="undecided", advice=f"It lies so near {line.margin(decision.margin)} that no number "
                       "of images is sure to settle it.")  # fmt: skip
    needed = max(whole(decision.needed * drawn / max(decision.n, 1)) or 0, drawn + 1)
    lean = "pass" if decision.leans == "pass" else "fail"
    there = (
        f"of {available:,} that are there"
        if needed <= available
        else f"and there are no more than {available:,} in this part, so this image set cannot settle it"
    )
    return replace(
        check, word=f"undecided, leans to {lean}",
        advice=f"It leans to a {lean}, and chance may explain that. About {needed:,} images would settle it four times "
        f"in five, {there}.",
    )  # fmt: skip


def not_run(line: Line, why: str) -> Check:
    """A claim of which nothing is known, and why."""
    return Check(line.name, line.claim, "not measured", "", "not run", line.evidence, why)


def answer_status(checks: Sequence[Check]) -> Status:
    """The status of a whole page, by `WORD_RULE`."""
    statuses = {check.status for check in checks}
    return "fail" if "fail" in statuses else "warn" if "warn" in statuses or "pass" not in statuses else "pass"


def tally(checks: Sequence[Check]) -> str:
    """How many lines passed, failed or stayed open."""
    said = {"fail": "failed", "warn": "undecided", "pass": "passed", "not run": "not run"}
    counts = {words: sum(check.status == status for check in checks) for status, words in said.items()}
    return ", ".join(f"{count} {words}" for words, count in counts.items() if count)


def headline(checks: Sequence[Check]) -> str:
    """The answer and its counts in one sentence."""
    return f"{WORDS[answer_status(checks)]}: of {len(checks)} claims {tally(checks)}."
