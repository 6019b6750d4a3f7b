"""Reopens the training data of a checkpoint and proves that they are unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from robustkit.data import Split, open_images
from robustkit.data.split import PARTS
from robustkit.errors import InputError
from robustkit.files import reading
from robustkit.models import Card
from robustkit.models.foreign.arrange import arrange
from robustkit.training.domains import Domain, target_name


def recall_domains(model: Path, card: Card) -> dict[str, Domain]:
    """Source and target of a checkpoint, with their labels and the split that training used.

    Args:
        model: The checkpoint; relative paths start beside it.
        card: Card of the checkpoint.

    Returns:
        `source`, and `target`, `target 2` and so on where there are some. A target may lack classes of the network,
        and may have more: these stand after those of the network.

    Raises:
        InputError: If the images were moved or changed, or do not fit the network.
    """
    with reading(model, "a checkpoint that says what it was trained on"):
        domains = {"source": _recall(model, card.data, "source")}
        if card.data.get("target"):
            for k, target in enumerate([card.data["target"], *card.data.get("more_targets", [])]):
                domains[target_name(k)] = _recall(model, target, target_name(k))
    for name, domain in domains.items():
        images = domain.images
        if (images.bands, images.images.shape[1:]) != (card.bands, card.input_shape):
            raise InputError(f"the {name} of {model} has other bands or sizes than the network takes; train it again")
        if images.labels is None:
            continue
        extra = tuple(one for one in images.class_names if one not in card.class_names)
        shared = set(images.class_names) & set(card.class_names)
        if (name == "source" and (extra or len(shared) < len(card.class_names))) or not shared:
            raise InputError(
                f"the {name} of {model} has the classes {', '.join(images.class_names)}, the network was trained on "
                f"{', '.join(card.class_names)}; give it the names of those classes"
            )
        domains[name] = replace(domain, images=arrange(images, (*card.class_names, *extra), None))
    return domains


def _recall(model: Path, data: dict[str, Any], name: str) -> Domain:
    if not data.get("path"):
        raise InputError(f"{model} was trained on images in memory and does not record where its {name} is")
    places = [model.parent / data["relative"], Path(data["path"])]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise InputError(f"the {name} images of {model} are no longer at {places[-1]}; put them back")
    images = open_images(path)
    changed = sorted(file for file, digest in data["sha256"].items() if images.provenance.get(file) != digest)
    if changed:
        raise InputError(
            f"{', '.join(changed)} in {path} changed since {model} was trained, so its test images may not be unseen; "
            "train it again"
        )
    train, valid, test = (_objects(data["split"][part]) for part in PARTS)
    split = Split(train, valid, test)
    if split.sha256 != data["split_sha256"]:
        raise InputError(f"the split in {model} does not fit its hash; the file was changed, so train it again")
    return Domain(images, path, split)


def _objects(ids: list[str]) -> tuple[str, ...]:
    """The distinct objects of image ids, sorted."""
    return tuple(sorted({image_id.partition("#")[0] for image_id in ids}))
