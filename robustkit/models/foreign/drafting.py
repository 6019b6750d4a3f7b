"""All that is known of a model that others trained, as the options of a model card."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from robustkit.models.checkpoint import Checkpoint
from robustkit.models.foreign.options import ModelOptions


def full_options(path: Path, checkpoint: Checkpoint) -> ModelOptions:
    """What was said of a model and what was found, for a card.

    Args:
        path: Where the card will be; code is named from there.
        checkpoint: The model.
    """
    said = ModelOptions.from_json(checkpoint.origin.options)
    classifier, card = checkpoint.classifier, checkpoint.card
    part = classifier.output.part
    return replace(
        said,
        # What a Keras layer takes has no name that could be given; it is found again.
        latent=said.latent if "Keras" in checkpoint.origin.form else classifier.latent_name,
        classes=classifier.class_names if classifier.output.decision is None else said.classes,
        class_count=None,
        bands=card.bands,
        stretch=card.stretch,
        mean=None,
        std=None,
        input_size=classifier.input_shape[1:],
        output_index=part if isinstance(part, int) else None,
        output_key=part if isinstance(part, str) else None,
        output_kind=classifier.output.kind,
        front=card.front or None,
        trust=None,
        card=None,
        arch=_arch_from(path, said.arch),
    )


def _arch_from(card: Path, arch: str | None) -> str | None:
    """The architecture as it is named from the card's folder."""
    source, colon, name = (arch or "").rpartition(":")
    if not source.endswith(".py"):
        return arch
    return f"{os.path.relpath(Path(source).resolve(), card.parent.resolve())}{colon}{name}"
