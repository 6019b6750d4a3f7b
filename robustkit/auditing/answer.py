"""The first screen of a page: the answer in a word, by a rule that is printed, and the sentences behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robustkit.report.section import Answer, Check
from robustkit.stats import Estimate, holm

# When a difference between two models is called one, over all paired questions of a page.
ALPHA = 0.05
_MOST = 3  # faults and differences that are named in a sentence
_RULE = (
    "The word is made of the lines below: Not yet if any fails, Cannot be said if none fails and any is undecided, "
    "Yes if all that ran passed."
)


def answer_of(
    labels: Sequence[str],
    checks: Sequence[Check],
    numbers: Mapping[str, Estimate],
    rows: Sequence[Mapping[str, Any]] = (),
) -> Answer:
    """What a page says first.

    Args:
        labels: The audited model, and the one that it is compared with.
        checks: The verdict.
        numbers: The numbers of the audited model, by name.
        rows: The paired questions of two models, as `audit.json` holds them.
    """
    counts = {status: sum(check.status == status for check in checks) for status in ("fail", "warn", "pass", "not run")}
    word, status = (
        ("Not yet", "fail") if counts["fail"]
        else ("Cannot be said", "warn") if counts["warn"] or not counts["pass"]
        else ("Yes", "pass")
    )  # fmt: skip
    said = {"fail": "failed", "warn": "undecided", "pass": "passed", "not run": "not run"}
    tally = ", ".join(f"{count} {said[name]}" for name, count in counts.items() if count)
    sentences = [_quality(labels[0], numbers), _faults(numbers), _adversary(numbers)]
    if len(labels) > 1:
        sentences.append(_against(labels[1], rows))
    return Answer(status, f"{word}.", f"{len(checks)} claims: {tally}.", tuple(filter(None, sentences)), _RULE)


def _quality(label: str, numbers: Mapping[str, Estimate]) -> str:
    domains = {name.partition(".")[2]: one for name, one in numbers.items() if name.startswith("accuracy.")}
    if len(domains) > 1:
        rates = " and ".join(f"{_percent(one)} of the {name} images" for name, one in domains.items())
        return f"{label} classifies {rates} correctly."
    one = numbers.get("accuracy")
    return "" if one is None else f"{label} classifies {_percent(one)} of {int(one.n)} images correctly."


def _faults(numbers: Mapping[str, Estimate]) -> str:
    losses = {name.partition(".")[2]: one for name, one in numbers.items() if name.startswith("loss.")}
    if not losses:
        return "Simulated faults were not run."
    shown = sorted((-float(one.value), name) for name, one in losses.items() if float(one.low) > 0)
    if not shown:
        return f"None of {len(losses)} simulated faults is shown to cost accuracy at its third level."
    named = ", ".join(f"{name} ({_points(losses[name])})" for _, name in shown[:_MOST])
    more = f", and {len(shown) - _MOST} more" if len(shown) > _MOST else ""
    return f"What breaks it, of {len(losses)} simulated faults at their third level: {named}{more}."


def _adversary(numbers: Mapping[str, Estimate]) -> str:
    flips = numbers.get("flip_rate")
    if flips is None:
        return ""
    text = f"One pixel, set on purpose, flips {_percent(flips)} of the images that it classifies correctly"
    safe, hit = numbers.get("certified_rate"), numbers.get("random_hit")
    if safe is not None:
        text += f"; for {_percent(safe)} it is proved that no such pixel exists"
    if hit is not None:
        text += f"; at an extreme value and a random place it flips one with a chance of {_percent(hit)}"
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
    said = [
        f"{word} in {', '.join(named[:_MOST])}{f' and {len(named) - _MOST} more' if len(named) > _MOST else ''}"
        for word, named in (("better", sides[True]), ("worse", sides[False]))
        if named
    ]
    if not said:
        return f"Against {base}: none of {len(rows)} paired differences is shown."
    return f"Against {base}, of {len(rows)} paired questions (Holm): {'; '.join(said)}."


def _percent(one: Estimate) -> str:
    value, low, high = (100 * float(end) for end in (one.value, one.low, one.high))
    return f"{value:.0f} % ({low:.0f} to {high:.0f} %)"


def _points(one: Estimate) -> str:
    value, low, high = (100 * float(end) for end in (one.value, one.low, one.high))
    return f"{value:.0f} points, {low:.0f} to {high:.0f}"
