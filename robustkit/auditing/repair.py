"""What `robustkit repair` does: puts a front end before a trained network, for good, and says what that changes."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustkit.errors import InputError, RobustkitError
from robustkit.files import MOST_TOML, clear_beside, read_text, real_path, unfinished_file, write_text
from robustkit.findings.remedy.measure import correct
from robustkit.findings.remedy.summary import ALLOWED
from robustkit.models import Checkpoint, ModelOptions, open_model, save_checkpoint
from robustkit.models.foreign.drafting import full_options
from robustkit.models.foreign.options import card_text
from robustkit.models.fronts import FrontEnd, make_front
from robustkit.models.fronts.base import without_class
from robustkit.models.fronts.registry import fitted_constants, needs_noise, split_names
from robustkit.models.fronts.splitting import put_before
from robustkit.perturb.decision import decide
from robustkit.runs.opening import open_sample
from robustkit.runs.sample import Sample
from robustkit.runs.selection import Selection
from robustkit.stats import mcnemar

_BATCH = 128
_ALPHA = 0.05
# Taken in this order where nobody names one.
CHOICES = ("across", "across:3", "joint:5")


def repair_model(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: ModelOptions | None = None,
    *,
    draw: Selection | None = None,
    say: Callable[[str], None] = print,
) -> Checkpoint:
    """Writes a model with a front end before its network, which every command then audits as one.

    A robustkit checkpoint becomes another one with the same weights. The file of any other model is copied, with a card
    beside it that names the front end.

    Args:
        model: The trained model.
        out: The file to write, which must not exist.
        options: What the user says about the model; `front` is the front end; without it, the first of `CHOICES` that
            keeps the accuracy of the images is taken.
        draw: Images to measure it on; those of the checkpoint where it says where they are.
        say: Receives progress messages.

    Returns:
        The repaired model, opened from what was written.

    Raises:
        InputError: If the front end is not known, needs what the images do not say, or the file exists.
    """
    model, out, options = Path(model), Path(out), options or ModelOptions()
    if out.exists():
        raise InputError(f"{out} exists and nothing is overwritten; name another with --out")
    asked = options.front
    checkpoint, sample = _open(model, replace(options, front=None), draw, say)
    name = (
        asked if isinstance(asked, str) else _chosen(checkpoint, sample, say) if asked is None else str(asked["name"])
    )
    old, card = checkpoint.card.front, checkpoint.card
    constants = _constants(name, checkpoint, sample)
    if old:
        say(f"{model} has the front end {old['name']} already; {name} is put before it")
        name, constants = f"{name}+{old['name']}", old["constants"] | constants
    front = make_front(name, constants)
    front.check(card.input_shape)
    said = {"name": name, "constants": constants}
    out.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.origin.own:
        save_checkpoint(out, checkpoint.classifier.module, replace(card, front=said, data=_moved(card.data, out)))
        repaired = open_model(out, ModelOptions(front=name, arch=options.arch))
        how = f"robustkit audit --model {out}"
    else:
        written = _copied(model, out, checkpoint, said)
        repaired = open_model(out, replace(options, front=name, card=str(written)), images=_images(sample))
        how = f"robustkit audit --model {out} --card {written}"
    say(f"{out}: {name} before {card.network}, {_fitted(constants)}")
    if sample is not None:
        for line in measured(checkpoint, repaired, front, sample):
            say(line)
    where = f" --data {shlex.quote(str(draw.data))}" if draw is not None and draw.data is not None else ""
    say(f"audit it with `{how}{where}`")
    return repaired


def _chosen(checkpoint: Checkpoint, sample: Sample | None, say: Callable[[str], None]) -> str:
    """The first of `CHOICES` that costs no more accuracy than the rule of an audit allows."""
    if sample is None:
        return CHOICES[0]
    plain, tried = correct(checkpoint.classifier, sample).mean(), list[str]()
    for name in CHOICES:
        try:
            front = make_front(name, _constants(name, checkpoint, sample))
        except InputError:  # the noise of the images is not declared
            continue
        lost = float(plain - correct(put_before(front, checkpoint.classifier), sample).mean())
        tried.append(f"{name} loses {lost:.3f}" if lost > 0 else f"{name} loses none")
        if lost <= ALLOWED + 1e-9:
            say(f"no --front was named; of the accuracy {plain:.3f} {', '.join(tried)}: {name} is taken")
            return name
    say(
        f"no --front was named, and each costs more than {ALLOWED:g} of the accuracy {plain:.3f} ({', '.join(tried)}): "
        f"{CHOICES[0]} is taken"
    )
    return CHOICES[0]


def measured(before: Checkpoint, after: Checkpoint, front: FrontEnd, sample: Sample) -> list[str]:
    """What a front end changes in clean images and in what is decided, one sentence each; and proves that it runs.

    Args:
        before: The model as it was.
        after: The repaired model.
        front: What was put before it.
        sample: Clean images.

    Raises:
        RobustkitError: If the repaired model does not answer as its two parts do.
    """
    changed, most, flagged, old, new = 0.0, 0.0, 0, list[Tensor](), list[Tensor]()
    inputs, device = sample.inputs, before.classifier.device
    with torch.inference_mode():
        for start in range(0, len(inputs), _BATCH):
            images = inputs[slice(start, start + _BATCH)].to(device)
            repaired = front(images)
            changed += float((repaired != images).cpu().double().mean((1, 2, 3)).sum())
            most = max(most, float((repaired - images).abs().max()))
            flags = front.seen(images).flatten(1).any(1)
            flagged += int(flags.sum())
            old.append(before.classifier(images))
            new.append(after.classifier(images))
            parts = new[-1] if before.card.front else without_class(before.classifier(repaired), flags)
            room = 1e-4 * float(parts.nan_to_num().abs().max())
            if not torch.allclose(parts, new[-1], rtol=1e-4, atol=room, equal_nan=True):
                raise RobustkitError("the repaired model does not answer as its front end and its network do")
    labels, n = sample.labels.numpy(), len(sample)
    right = [decide(torch.cat(logits)).cpu().numpy() == labels for logits in (old, new)]
    gained, lost = int((~right[0] & right[1]).sum()), int((right[0] & ~right[1]).sum())
    where = f"{n} clean images, part {sample.part} of {sample.path}"
    does = f"it changes {changed / n:.2%} of the pixel values of {where}, by {most:.3g} at most"
    if front.flags:
        what = "changes nothing" if not changed else does
        does = f"it {what.removeprefix('it ')} and flags {flagged} of {where}: these get no class and count as wrong"
    return [
        does,
        f"accuracy {right[0].mean():.3f} before, {right[1].mean():.3f} after: {gained} gained, {lost} lost; "
        f"{mcnemar(gained, lost)}",
        *_warned(front, sample.model, gained, lost),
    ]


def _warned(front: FrontEnd, model: Path, gained: int, lost: int) -> list[str]:
    """What to do where a front end costs accuracy, as one sentence; nothing where it is not shown to cost any."""
    if gained >= lost or float(mcnemar(gained, lost).p) >= _ALPHA:
        return []
    if front.flags:
        return ["WARNING: it loses more images than it gains; name a front end with a higher threshold after detect:"]
    return [
        "WARNING: it loses more images than it gains, as where the network relies on the noise that it smooths; tune "
        f"the network behind it with `robustkit train --init {model} --front {front.name}`, or see which front end "
        f"costs less with `robustkit audit --model {model} --remedy`"
    ]


def _open(
    model: Path, options: ModelOptions, draw: Selection | None, say: Callable[[str], None]
) -> tuple[Checkpoint, Sample | None]:
    try:
        sample = open_sample(model, replace(draw or Selection(take_all=True), options=options), say=lambda line: None)
    except InputError as error:
        if draw is not None and draw.data is not None:
            raise
        checkpoint = open_model(model, options)  # which says it if it is not the images
        say(f"nothing is measured: {error}")
        return checkpoint, None
    return sample.checkpoint, sample


def _constants(name: str, checkpoint: Checkpoint, sample: Sample | None) -> dict[str, Any]:
    """What the front ends of a name need to know of the images."""
    split_names(name)
    if sample is None:
        if needs_noise(name):
            raise InputError("joint needs the noise of the images; name images with --data, or use --front across")
        return {}
    constants = fitted_constants(name, checkpoint.stretch, sample.whole, checkpoint.card.input_range)
    if "noise" in constants:
        constants["noise"]["data"] = str(sample.path)
    return constants


def _fitted(constants: dict[str, Any]) -> str:
    noise = constants.get("noise")
    if noise is None:
        return "no constants" if not constants else "with the value of an empty sky where nothing is known"
    sky = ", ".join(f"{band} {value:.4g}" for band, value in noise["noise_sigma"].items())
    return f"with the noise of {noise.get('data', 'the images')}: {sky}"


def _moved(data: dict[str, Any], out: Path) -> dict[str, Any]:
    """What a card says of its data, as seen from another folder."""
    moved = dict(data)
    if data.get("path"):
        moved["relative"] = os.path.relpath(data["path"], real_path(out).parent)
    if isinstance(data.get("target"), dict):
        moved["target"] = _moved(data["target"], out)
    if isinstance(data.get("more_targets"), list):
        moved["more_targets"] = [_moved(one, out) for one in data["more_targets"] if isinstance(one, dict)]
    return moved


def _images(sample: Sample | None) -> Any:
    return None if sample is None else sample.whole


def _copied(model: Path, out: Path, checkpoint: Checkpoint, front: dict[str, Any]) -> Path:
    """The file of a model of others under another name, and a card beside it that names the front end."""
    if not model.is_file():
        raise InputError(f"{model} is a folder; copy it, and put front = {front['name']!r} into its card")
    card = out.with_suffix(".toml")
    text = card_text(replace(full_options(card, checkpoint), front=front), checkpoint.origin.notes)
    ours = card.exists() and read_text(card, "a model card", most=MOST_TOML) == text  # of a repair that was killed
    if card == out or (card.exists() and not ours):
        raise InputError(f"the card would be written to {card}; name another file with --out")
    write_text(card, text)  # first: the weights alone would pass for a repaired model
    clear_beside(out)
    with unfinished_file(out) as (_, temporary):
        shutil.copyfile(model, temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, out)
    return card
