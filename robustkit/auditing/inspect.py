"""What `robustkit inspect` does: says what a checkpoint is and whether it can be audited, and drafts its model card."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from robustkit.errors import InputError, RobustkitError, SecurityError
from robustkit.findings.preflight.measure import check_file, preflight
from robustkit.models import Checkpoint, ModelOptions, open_model
from robustkit.models.foreign.drafting import full_options
from robustkit.models.foreign.options import write_card
from robustkit.models.preflight import Observation, Preflight
from robustkit.progress import quiet
from robustkit.runs.opening import open_sample
from robustkit.runs.selection import Selection


def inspect_model(
    model: str | os.PathLike[str],
    options: ModelOptions | None = None,
    *,
    draw: Selection | None = None,
    card: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = print,
) -> Preflight:
    """Looks at a checkpoint from its bytes to its accuracy, as far as what is given allows.

    Args:
        model: The checkpoint.
        options: What the user says about it.
        draw: Labelled images to look at it with, or `None`.
        card: Where to draft a model card.
        say: Receives progress messages.

    Returns:
        The findings.

    Raises:
        InputError: If there is a refusal among them, after all were said.
        SecurityError: If it is that opening the file could run code.
    """
    options = options or ModelOptions()
    trusted = options.trust is not None
    file = check_file(model, trusted=trusted)
    found = file.found
    for finding in found.findings:
        say(str(finding))
    if found.refusals and not trusted:
        kind = SecurityError if file.unsafe else InputError
        raise kind(_count(found))
    try:
        if draw is None:
            checkpoint, sample = open_model(model, options, content=file.content), None
        else:
            sample = open_sample(model, replace(draw, options=options), say=quiet, check=False, content=file.content)
            checkpoint = sample.checkpoint
    except RobustkitError as error:
        refused = Observation("network", "refusal", str(error))
        say(str(refused))
        error.printed = _count(Preflight((refused,)))
        raise
    if draw is None and options.about_images:
        said = "--data was not given, so what was said about images has no effect here"
        say(str(Observation("images", "warning", said)))
    more = preflight(checkpoint, sample, tell=lambda finding: say(str(finding)))
    if card is not None:
        _draft(Path(card), checkpoint, options)
        say(f"a model card is in {card}; look through it, and give it with --card")
    if more.refusals:
        raise InputError(_count(more))
    return found + more


def _count(found: Preflight) -> str:
    count = len(found.refusals)
    return f"{count} refusal{'s' if count > 1 else ''} above, so nothing can be measured with this model yet"


def _draft(path: Path, checkpoint: Checkpoint, options: ModelOptions) -> None:
    """A card with what was said and what was found."""
    if checkpoint.origin.own:
        raise InputError("a robustkit checkpoint holds its own card; omit --write")
    if path.exists():
        raise InputError(f"{path} exists and nothing is overwritten; name another with --write")
    write_card(path, full_options(path, checkpoint), checkpoint.origin.notes)
