"""From records to the first chapter of the page: what was audited, and how many images are left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.finding import ModelRecords
from robustkit.findings.pictures.record import THUMBNAIL_RULE
from robustkit.report.section import Chapter
from robustkit.report.sections.facts import Facts


def provenance(models: Sequence[ModelRecords]) -> Chapter:
    """What was audited, and what every rate is a rate of."""
    rows = []
    for label, value in _facts(models[0]).items():
        rows.append([label, value, *(_facts(one)[label] for one in models[1:])])
    flow = _flow(models)
    first, labels = models[0], [one.label for one in models]
    counts = np.bincount(first.about["true"], minlength=len(first.class_names))
    classes = ", ".join(f"{name} {n}" for name, n in zip(first.class_names, counts, strict=True))
    steps = [
        (one.label, name, f"{step['seconds']:.1f}", step.get("refused") or "done")
        for one in models
        for name, step in one.steps.items()
    ]
    notes = [note for one in models[:1] for note in one.about["notes"]]
    return Chapter(
        "provenance",
        "What was audited",
        (f"Classes among the images drawn: {classes}.{_thumbnails(first)}", *notes),
        (
            Facts("flow", "Denominators", "What every rate is a rate of.", ("images", *labels, "note"), flow),
            Facts("about", "Models and images", "Hashes are SHA-256.", ("what", *labels), rows),
            Facts(
                "steps", "Steps", "How long each took when it was made.", ("model", "step", "seconds", "state"), steps
            ),
        ),
        folded=("flow", "about", "steps"),
    )


def _flow(models: Sequence[ModelRecords]) -> list[list[object]]:
    """How many images are left after each step, a column for each model."""
    attacks = [one.attack for one in models]
    certificates = [one.certificate for one in models]

    def row(name: str, counts: Sequence[int | None], note: str) -> list[object]:
        return [name, *("" if count is None else count for count in counts), note]

    def of_attack(count: Callable[[AttackRecord], Any]) -> list[int | None]:
        return [None if record is None else int(count(record)) for record in attacks]

    complete, certified, too_near, broken = (
        [None if record is None else int((getattr(record, name) > 0).sum()) for record in certificates]
        for name in ("complete", "certified", "too_near", "not_finite")
    )
    return [
        row("objects in the part", [one.about["available"] for one in models], "each gives one image"),
        row("classified as they are", [_looked_at(one) for one in models], "accuracy and calibration"),
        row("drawn", [len(one.about["ids"]) for one in models], "by the seed and the ids alone; all that follows"),
        row("output not finite", of_attack(lambda r: (r.clean_class < 0).sum()), "not attacked"),
        row("classified correctly", of_attack(lambda r: r.correct.sum()), "these are attacked"),
        row("flipped by one pixel", of_attack(lambda r: r.flipped_images().sum()), "each proved alone, plain network"),
        row("candidates that failed the proof", of_attack(lambda r: r.unproved.sum()), "counted and not kept"),
        row(
            "candidates whose output is not finite", of_attack(lambda r: r.not_finite.sum()),
            "neither flips nor the old class",
        ),
        row("every cell tried", complete, "complete search"),
        row("with cells whose output is not finite", broken, "not certified"),
        row("too near the boundary", too_near, "no cell flips them, but rounding could; not certified"),
        row("certified", certified, "no cell flips them"),
    ]  # fmt: skip


def _facts(one: ModelRecords) -> dict[str, str]:
    about = one.about
    data = ", ".join(f"{name} {digest[:16]}…" for name, digest in sorted(about["data_sha256"].items()))
    return {
        "model": about["model"],
        "SHA-256 of the model": about["model_sha256"],
        "form": about.get("form", ""),
        "network": f"{about['network']}, latent {about['latent'] or 'none'}",
        "training": f"{about['method'] or 'unknown'}, seed {about['training_seed']}",
        "images": about["data"],
        "SHA-256 of the images": data,
        "part": f"{about['part']} (split {str(about['split_sha256'])[:16]}…)",
        "seed": str(about["seed"]),
        "bands": ", ".join(about["bands"]),
        "shape": " x ".join(map(str, about["input_shape"])),
        "units": about["units"],
        "stretch": ", ".join(f"{key} {_short(value)}" for key, value in about["stretch"].items()),
        "versions": ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
        "device": about["device"],
    }


def _looked_at(one: ModelRecords) -> int | None:
    """How many images were classified without anything done to them."""
    return len(next(iter(one.clean.values())).labels) if one.clean else None


def _thumbnails(one: ModelRecords) -> str:
    """Which images have a picture under the pointer, where not all have."""
    if one.pictures is None or len(one.pictures.small) == len(one.pictures.ids):
        return ""
    return f" {THUMBNAIL_RULE[0].upper()}{THUMBNAIL_RULE[1:]}."


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_short(item) for item in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
