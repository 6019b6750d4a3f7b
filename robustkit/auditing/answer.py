"""The first screen of a page: the answer in a word, by a rule that is printed, and the sentences behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robustkit.auditing.sentences import WORD_RULE, WORDS, answer_status, tally
from robustkit.findings.hazard.record import CHANGES, depth_word
from robustkit.findings.sweep.threshold import Threshold
from robustkit.report.section import Answer, Check
from robustkit.stats import Estimate, as_percent, as_points, holm
from robustkit.words import signed

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
    accident = " ".join(filter(None, (_accidents(numbers), _faults(numbers, faults))))
    accident = f"By accident: {accident[:1].lower()}{accident[1:]}"
    sentences = [_quality(labels[0], numbers, domains or {}), accident, _adversary(numbers)]
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
    one = numbers.get(CHANGES)
    if one is None:
        return ""
    family = f"{CHANGES}."
    of_each = {name.removeprefix(family): found for name, found in numbers.items() if name.startswith(family)}
    many = " and ".join(f"{_objects(found)} in {depth_word(name)}" for name, found in of_each.items())
    return (
        f"of a million objects about {many or _objects(one)} change class through faults whose rate is known, if no "
        "affected pixel is masked."
    )


def _objects(one: Estimate) -> str:
    """Objects of a million with their interval, in two significant digits: more than such intervals deserve."""
    value, low, high = (f"{float(f'{float(end):.2g}'):,.0f}" for end in (one.value, one.low, one.high))
    return f"{value} ({low} to {high})"


def _faults(numbers: Mapping[str, Estimate], faults: Sequence[Threshold]) -> str:
    """What breaks it by accident, where that lies, and what the survey has."""
    losses = {name.partition(".")[2]: one for name, one in numbers.items() if name.startswith("loss.")}
    if not losses:
        return "Simulated faults were not run."
    many = "1 simulated fault" if len(losses) == 1 else f"{len(losses)} simulated faults"
    count = f"Of {many} at moderate strength (s3),"
    shown = sorted((-float(one.value), name) for name, one in losses.items() if float(one.low) > 0)
    if not shown:
        return f"{count} none is shown to reduce accuracy (95%, each by itself)."
    at = {one.name: one for one in faults}
    named = [f"{name} by {as_points(losses[name])}{_where(at.get(name))}" for _, name in shown[:_MOST]]
    more = [f"and {len(shown) - _MOST} more"] if len(shown) > _MOST else []
    reduce = "reduces" if len(shown) == 1 else "reduce"
    return f"{count} {len(shown)} {reduce} accuracy (95%, each by itself): {'; '.join([*named, *more])}."


def _where(one: Threshold | None) -> str:
    """The level that costs 5 points beside what the survey has."""
    if one is None or not one.at:
        return ""
    return f", where 5 points are lost at {one.at}{_beside(one)}"


def _beside(one: Threshold) -> str:
    if not one.poor:
        return ""
    if one.at in (one.typical, one.poor):
        return ", which is typical of a survey" if one.at == one.typical else ", the poorest that a survey releases"
    if one.met == "typical":
        return f", milder than what a survey typically has ({one.typical})"
    if one.met == "poor":
        return f", worse than typical ({one.typical}) but milder than the poorest that is released ({one.poor})"
    return f", worse than the poorest that a survey releases ({one.poor})"


def _adversary(numbers: Mapping[str, Estimate]) -> str:
    flips = numbers.get("flip_rate")
    if flips is None:
        return ""
    text = f"On purpose: one pixel flips {as_percent(flips)} of the images that it classifies correctly"
    safe, hit = numbers.get("certified_rate"), numbers.get("random_extreme")
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
            sides[(change > 0) == row["better"]].append(f"{row['name']} ({signed(100 * change, '.0f')} points)")
    gained = f"gained {_listed(sides[True])}" if sides[True] else "no gain is shown"
    lost = f"lost {_listed(sides[False])}" if sides[False] else "no loss is shown"
    asked = "1 paired question" if len(rows) == 1 else f"{len(rows)} paired questions, Holm"
    return f"Against {base}: {gained}; {lost} ({asked})."


def _listed(named: Sequence[str]) -> str:
    more = f" and {len(named) - _MOST} more" if len(named) > _MOST else ""
    return f"{', '.join(named[:_MOST])}{more}"
