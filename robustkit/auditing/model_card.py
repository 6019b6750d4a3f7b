"""A model card for Hugging Face: what the audit found is filled in, and what only people know is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robustkit import __version__
from robustkit.report.section import Answer, Check
from robustkit.stats import Estimate
from robustkit.words import brief

CARD = "model-card.md"
# What an audit cannot know. A card without it is not finished, and says so.
_OPEN = {
    "Intended use": "who should use this model, on which images, and for which decisions",
    "Training": "on which images it was trained, how they were labelled, and by which code",
    "Licence and contact": "under which licence it may be used, and whom to ask",
}


def model_card(
    index: str, about: Mapping[str, Any], answer: Answer, checks: Sequence[Check], numbers: Mapping[str, Estimate]
) -> str:
    """The card in Markdown, after the `model-index` block in YAML.

    Args:
        index: The block, with its lines of hyphens.
        about: What was audited.
        answer: What the page says first.
        checks: The verdict.
        numbers: The numbers of the model.
    """
    front = index.rstrip().removesuffix("---").rstrip()
    lines = [front, "pipeline_tag: image-classification", "tags:", "- robustness", "---", ""]
    classes = ", ".join(plain_text(name) for name in about.get("class_names", []))
    lines += [
        f"# {plain_text(about['model'])}",
        "",
        f"An image classifier ({plain_text(about['network'])}) of {classes}.",
        "",
    ]
    for title, what in _OPEN.items():
        lines += [f"## {title}", "", f"*To be written by a person: {what}.*", ""]
    lines += ["## Robustness", "", f"**{plain_text(answer.word)}** {plain_text(answer.counts)}", ""]
    lines += [f"- {plain_text(sentence)}" for sentence in answer.sentences]
    lines += ["", "## Limits", ""]
    failed = [check for check in checks if check.status == "fail"]
    open_ = [check for check in checks if check.status == "warn"]
    lines += [
        f"- {plain_text(check.claim)}: **no** ({plain_text(check.measured)}). {plain_text(check.advice)}"
        for check in failed
    ]
    lines += [f"- {plain_text(check.claim)}: not shown ({plain_text(check.measured)})." for check in open_]
    if not failed and not open_:
        lines += ["- Every claim that was tested holds; others were not tested."]
    lines += ["- What was measured holds for images like those below, and for this checkpoint alone.", ""]
    lines += [
        "## Evaluation",
        "",
        f"{len(about['ids'])} images of {plain_text(about['data'])}, part {plain_text(about['part'])}.",
        "",
    ]
    lines += ["| number | value | low | high | n |", "| --- | --- | --- | --- | --- |"]
    for name, one in numbers.items():
        value, low, high = (f"{float(end):.4g}" for end in (one.value, one.low, one.high))
        lines += [f"| {plain_text(name)} | {value} | {low} | {high} | {int(one.n)} |"]
    lines += [
        "",
        f"Audited with robustkit {__version__}; `audit.json` holds every number, `report.html` the evidence.",
        "",
    ]
    return "\n".join(lines)


def plain_text(value: object) -> str:
    """Text that Markdown shows as it is; names of files and classes can hold anything."""
    kept = brief(" ".join(str(value).split()), 400)
    for letter in "\\`*[]<>|":
        kept = kept.replace(letter, f"&#{ord(letter)};")
    return kept
