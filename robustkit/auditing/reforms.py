"""The REFORMS checklist of a study: what the audit knows is filled in, and what only people know is named.

Source: Kapoor et al. 2024, Science Advances 10, eadk3452, doi:10.1126/sciadv.adk3452; items in our words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robustkit import __version__
from robustkit.auditing.model_card import plain_text
from robustkit.report.section import Answer, Check
from robustkit.stats import Estimate

REFORMS = "reforms.md"
_PERSON = "*To be written by a person.*"
_ITEMS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("Goals of the study", (
        ("1a", "the population that the claim is about"), ("1b", "why this population"), ("1c", "why machine learning"),
    )),
    ("Reproducibility", (
        ("2a", "the data, with something that identifies them"), ("2b", "the code and its version"),
        ("2c", "the machine"), ("2d", "instructions"), ("2e", "a script that makes the results again"),
    )),
    ("Quality of the data", (
        ("3a", "where and when they were taken, and who labelled them"), ("3b", "what they were drawn from"),
        ("3c", "why they fit the task"), ("3d", "the outcome, and how often each class occurs"),
        ("3e", "the number of images"), ("3f", "what is missing"), ("3g", "why they stand for the population"),
    )),
    ("Preparation of the data", (
        ("4a", "what was left out, and why"), ("4b", "impossible or damaged images"),
        ("4c", "transformations"),
    )),
    ("Model", (
        ("5a", "the model, its input and output"), ("5b", "why this kind of model"), ("5c", "how it was evaluated"),
        ("5d", "how it was selected"), ("5e", "how its settings were chosen"), ("5f", "baselines"),
    )),
    ("Leakage", (
        ("6a", "training and test images apart"), ("6b", "duplicates and dependent images"),
        ("6c", "why the input may be used"),
    )),
    ("Metrics and uncertainty", (
        ("7a", "metrics"), ("7b", "uncertainty"), ("7c", "statistical tests"),
    )),
    ("Generality", (
        ("8a", "evidence that it holds elsewhere"), ("8b", "where it is not claimed to hold"),
    )),
)  # fmt: skip


def reforms(
    about: Mapping[str, Any],
    answer: Answer,
    checks: Sequence[Check],
    numbers: Mapping[str, Estimate],
    preflight: Sequence[Mapping[str, str]],
    command: str,
) -> str:
    """The checklist in Markdown.

    Args:
        about: What was audited.
        answer: What the page says first.
        checks: The verdict.
        numbers: The numbers of the model.
        preflight: What was looked at first.
        command: What makes the audit again.
    """
    known = _known(about, answer, checks, numbers, preflight, command)
    every = [item for _, items in _ITEMS for item, _ in items]
    filled = f"{len(known)} of {len(every)} items are filled in by the audit, for its evaluation"
    lines = ["# REFORMS", "", f"{filled}; a person writes the others and what concerns the training.", ""]
    lines += ["The checklist: doi:10.1126/sciadv.adk3452", ""]
    for module, items in _ITEMS:
        lines += [f"## {module}", ""]
        lines += [f"- **{item}** {what}: {known.get(item, _PERSON)}" for item, what in items]
        lines.append("")
    return "\n".join(lines)


def _known(
    about: Mapping[str, Any],
    answer: Answer,
    checks: Sequence[Check],
    numbers: Mapping[str, Estimate],
    preflight: Sequence[Mapping[str, str]],
    command: str,
) -> dict[str, str]:
    """What an audit can say, by item."""
    classes, text = list(about["class_names"]), plain_text
    counts = [f"{text(name)} {list(about['true']).count(k)}" for k, name in enumerate(classes)]
    hashes = ", ".join(f"{text(name)} {str(digest)[:12]}" for name, digest in sorted(about["data_sha256"].items()))
    versions = ", ".join(f"{text(name)} {text(number)}" for name, number in sorted(about["versions"].items()))
    looked = [f"{text(one['name'])} ({text(one['text'])})" for one in preflight if one["verdict"] != "ok"]
    tests = sum(check.decision is not None for check in checks)
    weak = [text(check.claim) for check in checks if check.status == "fail"]
    found = {
        "2a": f"evaluation: {text(about['data'])}, SHA-256 {hashes}",
        "2b": f"evaluation: robustkit {__version__}; the model has SHA-256 {str(about['model_sha256'])[:12]}",
        "2c": f"evaluation: {text(about['device'])}, {versions}",
        "2d": "report.html beside this file",
        "2e": f"`{text(command)}`",
        "3d": f"one of {len(classes)} classes; of the images drawn: {', '.join(counts)}",
        "3e": f"{len(about['ids'])} images drawn of {about['available']} in the part {text(about['part'])}",
        "4b": f"looked at before anything was measured: {'; '.join(looked) if looked else 'nothing was found'}",
        "4c": f"stretch {text((about.get('stretch') or {}).get('name', 'none'))}, units {text(about['units'])}",
        "5a": f"{text(about['network'])}, input {text('x'.join(map(str, about['input_shape'])))} in "
        f"{text(', '.join(about['bands']))}",
        "5c": f"on the part {text(about['part'])}, seed {about['seed']}",
        "7a": ", ".join(text(name) for name in list(numbers)[:12]),
        "7b": "intervals of 95 % beside the numbers; their methods stand in the tables",
        "7c": f"{tests} claims, decided together (Holm) against thresholds written before any image was scored",
        "8b": "; ".join(weak) + " (failed)" if weak else text(answer.counts),
    }  # fmt: skip
    if about.get("split_sha256"):
        found["6a"] = f"a split by object, SHA-256 {str(about['split_sha256'])[:12]}"
    if not about.get("repeats", 1):
        found["6b"] = "no object is drawn twice"
    if "domain_gap" in numbers:
        found["8a"] = f"accuracy on the source minus that on the target: {numbers['domain_gap']}"
    return found
