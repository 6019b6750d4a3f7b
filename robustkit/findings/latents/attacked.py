"""The images of a finished attack: found again, proved to be the same, and painted with the pixels that flip them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustkit.code_gate import refuse_code, word_of_file
from robustkit.data import ImageSet
from robustkit.data.pixels import picked
from robustkit.engine import paint
from robustkit.errors import InputError, SecurityError
from robustkit.files import read_object, reading
from robustkit.findings.attack.record import RECORD, AttackRecord
from robustkit.models import Checkpoint, ModelOptions, open_model
from robustkit.models.foreign.arrange import arrange
from robustkit.runs.draw import check_pixels_fit
from robustkit.runs.folder import MANIFEST, SUMMARY, read_manifest
from robustkit.runs.opening import ImageSets
from robustkit.runs.sample import Sample, as_input
from robustkit.words import brief


@dataclass(frozen=True, eq=False)
class Attacked:
    """A model, its attack, and the images that were attacked.

    Attributes:
        sample: The model and the images, in the order of the record.
        record: What the attack found.
        folder: The attack's run folder; `None` if it has none.
    """

    sample: Sample
    record: AttackRecord
    folder: Path | None

    def clean(self, start: int, stop: int) -> Tensor:
        """Network input of the clean images from a start to a stop, shape (stop - start, C, H, W)."""
        return self.sample.inputs[slice(start, stop)]

    def painted(self, attempts: np.ndarray) -> Tensor:
        """Network input of images with the pixels of flips written into them.

        Args:
            attempts: Attempts that flipped, shape (B,).

        Returns:
            Shape (B, C, H, W).
        """
        record, whole = self.record, self.sample.whole
        rows = self.sample.rows[record.image[attempts]]
        clean = as_input(self.sample.checkpoint.stretch, whole, picked(whole.images, rows))
        row, column, after = (
            torch.from_numpy(np.asarray(values[attempts])) for values in (record.row, record.column, record.after)
        )
        return paint(clean, row, column, after)


def open_attacked(
    model: str | os.PathLike[str],
    run: str | os.PathLike[str],
    *,
    options: ModelOptions | None = None,
    data: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
) -> Attacked:
    """Opens a checkpoint, an attack on it and the images of that attack.

    Args:
        model: The checkpoint.
        run: The attack's run folder.
        options: What to say about a model that robustkit did not train; what is not said again is as in the attack,
            but for code.
        data: The images that were attacked; by default where the run, or the checkpoint, says they are.
        device: Where to compute.

    Raises:
        InputError: If the run is not finished, belongs to another model, or its images are gone or others.
        SecurityError: If the attack was made with code that is not named again.
    """
    model, folder = Path(model), Path(run)
    if not (folder / SUMMARY).is_file() or not (folder / RECORD).is_file():
        unfinished = (folder / MANIFEST).is_file() and not (folder / SUMMARY).is_file()
        what = (
            "is not finished; continue with `robustkit attack --resume`" if unfinished else "holds no finished attack"
        )
        raise InputError(f"{folder} {what}; expected a folder that `robustkit attack` wrote")
    summary = read_object(folder / SUMMARY, "the summary of an attack", inputs=dict, data=str)
    record = AttackRecord.load(folder / RECORD)
    summary["data"] = _where(folder, summary["data"])
    mine = options.code_named if options else ()
    options, sets = _with_labels(folder, same_options(summary, options, folder)), ImageSets()
    with word_of_file(f"the run in {folder}", [os.fspath(model), *mine]):
        checkpoint = open_model(
            model, options, images=lambda said: sets.open(data or summary["data"], said), device=device
        )
    digest = checkpoint.origin.sha256
    if checkpoint.classifier.latent_name is None:
        raise InputError(f"{model} has no latent: {checkpoint.classifier.why_no_latent}")
    attacked = summary.get("inputs", {}).get("model_sha256")
    if attacked != digest:
        raise InputError(
            f"the attack in {folder} was on another model ({summary.get('model')}, SHA-256 {str(attacked)[:12]}) than "
            f"{model} ({digest[:12]}); attack this one, or name that one with --model"
        )
    known = summary["inputs"].get("data_sha256") or {}
    if not isinstance(known, dict):
        raise InputError(f"the summary in {folder} does not say which images were attacked; attack them again")
    places = _places(checkpoint, model, summary["data"]) if data is None else [Path(data)]
    path, image_set = _find_images(sets, places, checkpoint, known)
    rows = image_set.positions(record.ids)
    sample = Sample(checkpoint, model, path, str(summary["inputs"].get("part")), len(rows), 0, image_set, rows)
    found = Attacked(sample, record, folder)
    _check_pixels(found)
    return found


def _where(folder: Path, data: str) -> str:
    """Where the images of a run are: as it was said, or from the root where one stands in another folder now."""
    if os.path.exists(data) or not (folder / MANIFEST).is_file():
        return data
    asked = read_manifest(folder, request=dict)["request"].get("data")
    return asked if isinstance(asked, str) and os.path.exists(asked) else data


def _labels(said: str | None, data: Path) -> str | None:
    """A file of labels, of which a run keeps the name alone: here, or beside its images, whose hashes tell it."""
    if said is None or not said.endswith(".npy") or os.path.exists(said):
        return said
    beside = data.parent / said
    return str(beside) if beside.is_file() else said


def _with_labels(folder: Path, options: ModelOptions | None) -> ModelOptions | None:
    """The file of labels of a run where it lies: a summary has its name alone, which depends on no folder."""
    labels = None if options is None else options.labels
    if options is None or labels is None or os.path.exists(labels) or not (folder / MANIFEST).is_file():
        return options
    said = read_manifest(folder, request=dict)["request"].get("options")
    asked = said.get("labels") if isinstance(said, dict) else None
    there = isinstance(asked, str) and os.path.basename(asked) == labels and os.path.exists(asked)
    return replace(options, labels=asked) if there else options


def options_of(checkpoint: Checkpoint) -> ModelOptions:
    """What was said about a model when it was opened."""
    return ModelOptions.from_json(checkpoint.origin.options)


def same_options(summary: dict[str, Any], options: ModelOptions | None, folder: object) -> ModelOptions | None:
    """What was said in the attack, where it is not said again. A file never chooses code, so that must be."""
    stored = summary.get("inputs", {}).get("model_options")
    if not stored:
        return options
    with reading(f"the run in {folder}", "what was said about a model"):
        said = replace(ModelOptions.from_json(stored), card=None)
    data = summary.get("data") or summary.get("request", {}).get("data")  # of a finished run, or of shards of one
    said = replace(said, labels=_labels(said.labels, Path(str(data))))
    options = options or ModelOptions()
    named = options.arch is not None or options.card is not None
    if said.arch is not None and not named:
        refuse_code(said.arch, file=f"the run in {folder}", option=f"--arch {brief(said.arch)}")
    if said.trust and options.trust is None:
        raise SecurityError(f"the attack in {folder} was on a trusted file; trust it again with --trust-checkpoint")
    return options.over(said if options.card is None else replace(said, arch=None))


def _places(checkpoint: Checkpoint, model: Path, known: str) -> list[Path]:
    """Where the images of an attack may be: where its run or the checkpoint says they are."""
    card = checkpoint.card.data
    places = [Path(known)]
    places += [model.parent / card["relative"]] if card.get("relative") else []
    return places + ([Path(card["path"])] if card.get("path") else [])


def _find_images(
    sets: ImageSets, places: list[Path], checkpoint: Checkpoint, known: dict[str, str]
) -> tuple[Path, ImageSet]:
    """The first place whose files are those that were attacked."""
    there = [path for path in places if path.exists()]
    if not there:
        raise InputError(f"the images that were attacked are not at {places[0]}; name them with --data")
    for path in there:
        image_set = sets.open(path, options_of(checkpoint))
        if not checkpoint.origin.own:
            image_set = arrange(image_set, checkpoint.card.class_names, checkpoint.card.bands)
        if all(image_set.provenance.get(name, digest) == digest for name, digest in known.items()):
            check_pixels_fit(checkpoint, image_set, path)
            return path, image_set
    raise InputError(f"the files in {there[0]} are not the ones that were attacked; name those with --data")


def _check_pixels(found: Attacked) -> None:
    """The pixels that the attack changed must be in these images as it met them."""
    record = found.record
    for a in np.flatnonzero(record.flipped).tolist():
        image = int(record.image[a])
        clean = found.clean(image, image + 1)[0].numpy()
        # Other versions of NumPy may round a stretch differently in the last digit.
        if not np.allclose(clean[:, record.row[a], record.column[a]].T, record.before[a], rtol=1e-4, atol=1e-5):
            raise InputError(
                f"image {record.ids[image]!r} in {found.sample.path} is not the one that was attacked: its pixels "
                "differ; name the images of the attack with --data"
            )
