"""The first screen of a page: the answer in a word, by a rule that is printed, and the sentences behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robustkit.auditing.sentences import WORD_RULE, WORDS, answer_status, tally
from robustkit.findings.sweep.threshold import Threshold
from robustkit.report.section import Answer, Check
from robustkit.stats import Estimate, as_percent, as_points, holm

# When a difference between two models is called one, over all paired questions of a page.
ALPHA = 0.05
_MOST = 3  # faults and differences that are named in a sentence


def answer_of(
    labels: Sequence[str],
    checks: Sequence[Check],
    numbers: Mapping[str, Estimate],
    rows: Sequence[Mapping[str, Any]] = (),
    faults: Sequence[Threshold] = (),
    domains: Mapping[str, str] | None = None,
) -> Answer:
    """What a page says first.

    Args:
        labels: The audited model, and the one that it is compared with.
        checks: The verdict.
        numbers: The numbers of the audited model, by name.
        rows: The paired questions of two models, as `audit.json` holds them.
        faults: The level of each perturbation that costs 5 points of accuracy.
        domains: What each domain is called, where not by its own name.
    """
    status = answer_status(checks)
    by_accident = f"{_accidents(numbers)}{_faults(numbers, faults)}"
    sentences = [_quality(labels[0], numbers, domains or {}), f"By accident: {by_accident}", _adversary(numbers)]
    if len(labels) > 1:
        sentences.append(_against(labels[1], rows))
    counts = f"{len(checks)} claims: {tally(checks)}."
    return Answer(status, f"{WORDS[status]}.", counts, tuple(filter(None, sentences)), WORD_RULE)


def _quality(label: str, numbers: Mapping[str, Estimate], names: Mapping[str, str]) -> str:
    found = {name.partition(".")[2]: one for name, one in numbers.items() if name.startswith("accuracy.")}
    if len(found) > 1:
        rates = " and ".join(f"{as_percent(one)} of the {names.get(name, name)} images" for name, one in found.items())
        return f"How good: {label} classifies {rates} correctly."
    one = numbers.get("accuracy")
    return "" if one is None else f"How good: {label} classifies {as_percent(one)} of {int(one.n)} images correctly."


def _accidents(numbers: Mapping[str, Estimate]) -> str:
    """How many of a million objects the detector gives another class."""
    one = numbers.get("changes_per_million")
    if one is None:
        return ""
    ends = f"{float(one.value):,.0f} [{float(one.low):,.0f}, {float(one.high):,.0f}]"
    return f"of a million objects {ends} change class by faults of known rate, before any is masked; "


def _faults(numbers: Mapping[str, Estimate], faults: Sequence[Threshold]) -> str:
    """What breaks it by accident, where that lies, and what the survey has."""
    losses = {name.partition(".")[2]: one for name, one in numbers.items() if name.startswith("loss.")}
    if not losses:
        return "simulated faults were not run."
    count = f"of {len(losses)} simulated faults at moderate strength (s3)"
    shown = sorted((-float(one.value), name) for name, one in losses.items() if float(one.low) > 0)
    if not shown:
        return f"{count} none is shown to cost accuracy (95%, each by itself)."
    at = {one.name: one for one in faults}
    named = "; ".join(f"{name}, {as_points(losses[name])}{_where(at.get(name))}" for _, name in shown[:_MOST])
    more = f"; and {len(shown) - _MOST} more" if len(shown) > _MOST else ""
    costs = "costs" if len(shown) == 1 else "cost"
    return f"{count} {len(shown)} {costs} accuracy (95%, each by itself): {named}{more}."


def _where(one: Threshold | None) -> str:
    """The level that costs 5 points beside what the survey has."""
    if one is None or not one.at:
        return ""
    text = f"; 5 points are lost at {one.at}"
    if one.met == "typical":
        return f"{text}, milder than what a survey typically has ({one.typical})"
    if one.met == "poor":
        return f"{text}, worse than typical ({one.typical}) and milder than the poorest that is released ({one.poor})"
    return f"{text}, worse than the poorest that a survey releases ({one.poor})" if one.poor else text


def _adversary(numbers: Mapping[str, Estimate]) -> str:
    flips = numbers.get("flip_rate")
    if flips is None:
        return ""
    text = f"On purpose: one pixel flips {as_percent(flips)} of the images that it classifies correctly"
    safe, hit = numbers.get("certified_rate"), numbers.get("random_hit")
    if safe is not None:
        text += f"; for {as_percent(safe)} no such pixel exists, which is proved"
    if hit is not None:
        text += f". The same extreme value at a random place flips {as_percent(hit)}"
    return f"{text}."


def _against(base: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """What was gained and what was lost against the base, with p-values adjusted over all questions (Holm)."""
    rows = [row for row in rows if 0 <= row["p"] <= 1]  # nan where there was nothing to compare
    if not rows:
        return ""
    adjusted = holm([float(row["p"]) for row in rows])
    sides: dict[bool, list[str]] = {True: [], False: []}
    for row, p in zip(rows, adjusted, strict=True):
        change = row["difference"]["value"]
        if p <= ALPHA and change:
            sides[(change > 0) == row["better"]].append(f"{row['name']} ({100 * change:+.0f} points)")
    gained, lost = (_listed(sides[side]) or "nothing that is shown" for side in (True, False))
    return f"Against {base}: gained {gained}; lost {lost} ({len(rows)} paired questions, Holm)."


def _listed(named: Sequence[str]) -> str:
    more = f" and {len(named) - _MOST} more" if len(named) > _MOST else ""
    return f"{', '.join(named[:_MOST])}{more}"
