"""The remedies in numbers, and which one is recommended by a rule."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from robustkit.findings.remedy.record import RemedyRecord
from robustkit.stats import Estimate, McNemar, mcnemar, wilson
from robustkit.words import signed

# Of accuracy that a remedy may cost on any domain.
ALLOWED = 0.02
RULE = (
    f"Recommended is, of the remedies that lose no more than {ALLOWED:g} of accuracy on any domain, the one with the "
    "most images certified; of equals the one that changes fewest pixel values, then the one that is searched fastest."
)


def flip_rate(record: RemedyRecord, k: int) -> Estimate:
    """Share of the images that remedy k classifies correctly that some declared pixel flips."""
    return wilson(int(record.flipped[k].sum()), int(record.right[k].sum()))


def certified_rate(record: RemedyRecord, k: int) -> Estimate:
    """Share of the images that remedy k classifies correctly that no declared pixel flips, for certain."""
    return wilson(int(record.certified[k].sum()), int(record.right[k].sum()))


def accuracy(record: RemedyRecord, k: int, domain: int) -> Estimate:
    """Accuracy of remedy k on a domain."""
    some = record.domain_right[k, record.domain_of == domain]
    return wilson(int(some.sum()), len(some))


def against_none(record: RemedyRecord, k: int, domain: int) -> McNemar:
    """Images that remedy k gains against the model as it is, and those that it loses, tested."""
    here = record.domain_of == domain
    before, after = record.domain_right[0, here], record.domain_right[k, here]
    return mcnemar(int((after & ~before).sum()), int((before & ~after).sum()))


def lost(record: RemedyRecord, k: int) -> float:
    """The most accuracy that remedy k loses on any domain; negative where it gains on all."""
    here = [record.domain_of == domain for domain in range(len(record.domains))]
    return max(float(record.domain_right[0, one].mean() - record.domain_right[k, one].mean()) for one in here)


def recommended(record: RemedyRecord) -> int | None:
    """Which remedy the rule recommends; `None` where no remedy beats doing nothing."""
    allowed = [k for k in range(len(record.remedies)) if lost(record, k) <= ALLOWED + 1e-9]
    best = max(
        allowed, key=lambda k: (record.certified[k].sum(), -record.changed[k], -record.search_seconds[k]), default=0
    )
    return best if record.certified[best].sum() > record.certified[0].sum() else None


def advice(record: RemedyRecord) -> list[str]:
    """What to do, a sentence each."""
    k, m = recommended(record), len(record.ids)
    if k is None:
        said = f"None of the remedies tried certifies more of the {m} images than the model as it is, within the rule."
        return [RULE, said]
    before, after = flip_rate(record, 0), flip_rate(record, k)
    said = (
        f"{record.remedies[k]}: flipped {before} before, {after} after; accuracy changes by {signed(-lost(record, k))}"
    )
    where = " on the domain where it loses most" if len(record.domains) > 1 else ""
    sentences = [RULE, f"{said}{where}."]
    others = [i for i in range(1, len(record.remedies)) if i != k and lost(record, i) <= ALLOWED + 1e-9]
    rivals = [record.remedies[i] for i in others if float(_apart(record.certified[k], record.certified[i]).p) > 0.05]
    if rivals:
        sentences.append(f"With {m} images it cannot be told apart from {', '.join(rivals)}.")
    return [*sentences, f"Made by: {record.commands[k]}"]


def _apart(one: np.ndarray, other: np.ndarray) -> McNemar:
    """The test that as many images are certified by one remedy as by another."""
    return mcnemar(int((one & ~other).sum()), int((other & ~one).sum()))


def row(record: RemedyRecord, k: int) -> dict[str, Any]:
    """The numbers of a remedy as JSON values."""
    domains: dict[str, Any] = {}
    for d, name in enumerate(record.domains):
        test = against_none(record, k, d)
        paired = {"gained": int(test.first_only), "lost": int(test.second_only), "p": float(test.p)}
        domains[name] = asdict(accuracy(record, k, d)) | paired
    hazard = dict(zip(("value", "low", "high"), record.hazard[k].tolist(), strict=True))
    return {
        "right": int(record.right[k].sum()), "values": record.values[k], "flipped": asdict(flip_rate(record, k)),
        "certified": asdict(certified_rate(record, k)), "accuracy": domains,
        "every_amplitude": None if record.every[k, 0] < 0 else dict(
            zip(("complete", "certified", "flipped"), record.every[k].tolist(), strict=True)
        ),
        "changes_per_million": None if np.isnan(record.hazard[k]).any() else hazard,
        "changed": float(record.changed[k]), "search_seconds": float(record.search_seconds[k]),
        "forward_seconds": float(record.forward_seconds[k]), "command": record.commands[k],
    }  # fmt: skip


def summary(record: RemedyRecord) -> dict[str, Any]:
    """All remedies as JSON values, and which one is recommended."""
    k = recommended(record)
    return {
        "images": len(record.ids), "rule": RULE, "recommended": None if k is None else record.remedies[k],
        "advice": advice(record), "notes": record.notes,
        "remedies": {name: row(record, i) for i, name in enumerate(record.remedies)},
    }  # fmt: skip
