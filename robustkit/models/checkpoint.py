"""robustkit's own checkpoint: a state_dict and JSON, safe to open, and enough to audit with no other option."""

from __future__ import annotations

import io
import json
import math
import os
import platform
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import robustkit
from robustkit.code_gate import read_code, refuse_code
from robustkit.data.guard import brief, reading
from robustkit.data.stretch import Stretch, stretch_from_json
from robustkit.errors import WARNING, InputError
from robustkit.files import atomic_write, clear_beside, sha256_file
from robustkit.models.classifier import AuditedClassifier
from robustkit.models.foreign.in_front import Said, choose_front
from robustkit.models.foreign.weights import Content, read_weights
from robustkit.models.fronts.base import Repaired, behind
from robustkit.models.networks import NETWORKS
from robustkit.words import no_such, shown, to_path

_MOST_VALUES = 1 << 26  # of an image that a card claims
FORMAT = "robustkit-checkpoint-1"
OWN = "a robustkit checkpoint"


@dataclass(frozen=True)
class Card:
    """What a checkpoint says about its network, as JSON values.

    Attributes:
        network: A name in `NETWORKS`.
        class_names: The K classes, in the order of the logits.
        bands: The C bands, in the order of the input.
        input_shape: (C, H, W).
        stretch: The stretch from calibrated values to network input, as `Stretch.to_json` gives it.
        input_range: Lowest and highest network input of each band in the training images, C pairs.
        latent: The layer whose output is the latent.
        data: Where the training data are: path, hashes, and the split with its hash.
        training: The settings and figures of the training.
        arch: A network that is not robustkit's own: how it is named (`name`), what it is called with (`kwargs`), and
            the SHA-256 of the file that it was in; empty for a name in `NETWORKS`.
        front: The front end before the network, by name and with its constants; empty without one.
        versions: Of robustkit, torch, numpy and Python.
    """

    network: str
    class_names: tuple[str, ...]
    bands: tuple[str, ...]
    input_shape: tuple[int, int, int]
    stretch: dict[str, Any]
    input_range: tuple[tuple[float, float], ...]
    latent: str
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    arch: dict[str, Any] = field(default_factory=dict)
    front: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: versions())


@dataclass(frozen=True)
class Origin:
    """Where a network comes from.

    Attributes:
        form: What the file is, in words.
        sha256: Of the file; of the list of hashes where there are several files.
        options: What the user said about it, JSON values; of robustkit's own checkpoints, about its images alone.
        notes: What was found and chosen when it was opened, one sentence each.
        code_sha256: Of the file that `--arch` named, or `None`.
    """

    form: str
    sha256: str
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    code_sha256: str | None = None

    @property
    def spelled(self) -> list[str]:
        """What was said, as the command line spells it."""
        return ["--" + name.replace("_", "-") for name in self.options]

    @property
    def own(self) -> bool:
        """Whether robustkit wrote it."""
        return self.form == OWN


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An opened checkpoint.

    Attributes:
        classifier: The network, split at its latent layer.
        card: What the file says about it.
        stretch: The stretch that belongs in front of the network.
        origin: What it was opened from.
    """

    classifier: AuditedClassifier
    card: Card
    stretch: Stretch
    origin: Origin


def versions() -> dict[str, str]:
    """The versions that numbers depend on."""
    return {
        "robustkit": robustkit.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def build_network(card: Card, arch: str | None = None) -> nn.Module:
    """A fresh network of the kind that the card names, without its front end.

    Args:
        card: The card.
        arch: The network as a person named it with `--arch`, where the card's is not robustkit's own.

    Raises:
        InputError: If the name is not known.
    """
    if card.arch:
        from robustkit.models.foreign.fresh import build_fresh  # which reads this module

        return build_fresh(arch or card.arch["name"], card.arch["kwargs"])
    if card.network not in NETWORKS:
        raise InputError(no_such("network", card.network, NETWORKS))
    channels, height, width = card.input_shape
    return NETWORKS[card.network](bands=channels, classes=len(card.class_names), size=(height, width))


def save_checkpoint(path: str | os.PathLike[str], module: nn.Module, card: Card) -> Path:
    """Writes weights and card to one file, atomically.

    Args:
        path: The file, replaced if it is there.
        module: The network; of one behind a front end the weights alone are written, the front end is in the card.
        card: What has to be known to use it.
    """
    module = module.network if isinstance(module, Repaired) else module
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    path, said = Path(path), asdict(card)
    for name in ("arch", "front"):
        if not said[name]:
            del said[name]  # so that versions without such networks read it too, and do not read one that is such
    content = {"format": FORMAT, "card": json.dumps(said, sort_keys=True), "state_dict": state}
    clear_beside(path)
    with atomic_write(path) as file:
        file.write(as_bytes(content))
    return path


def as_bytes(content: Any) -> memoryview:
    """What `torch.save` writes of something; by itself it would hide from us that a disk is full."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getbuffer()


def open_checkpoint(
    path: str | os.PathLike[str], *, device: torch.device | str = "cpu", arch: str | None = None
) -> Checkpoint:
    """Opens a checkpoint that robustkit wrote; no code that the file names is run.

    Args:
        path: The file.
        device: Where the network is put.
        arch: The network, for one that was trained with `--arch` on code of your own.

    Raises:
        InputError: If the file is missing, truncated, not a robustkit checkpoint, or does not fit its own card.
        SecurityError: If opening it would need code from the file.
    """
    content = read_weights(to_path(path, "a checkpoint"))
    if not is_own(content):
        raise InputError(f"{path} is not a robustkit checkpoint; train one with `robustkit train`")
    return checkpoint_of(content, device=device, arch=arch)


def is_own(content: Content) -> bool:
    """Whether robustkit wrote what a file holds."""
    return isinstance(content.value, dict) and content.value.get("format") == FORMAT


def checkpoint_of(
    content: Content, *, device: torch.device | str = "cpu", front: Said | None = None, arch: str | None = None
) -> Checkpoint:
    """The checkpoint in a file that `is_own`.

    Args:
        content: What the file holds.
        device: Where the network is put.
        front: What the user said with `--front`.
        arch: What the user said with `--arch`.

    Raises:
        InputError: If it does not fit its own card.
        SecurityError: If its front end is code that nobody has named.
    """
    path, value = content.path, content.value
    with reading(f"the card inside {path}", "that of a robustkit checkpoint"):
        card = _card(json.loads(value["card"]))
        stretch = stretch_from_json(card.stretch)
    code_sha256, said = _named_code(card, arch, path)
    try:
        if not card.arch:
            with torch.device("meta"):  # the card may claim any size: it is held against the weights before it is made
                build_network(card).load_state_dict(value["state_dict"], strict=True, assign=True)
        module = build_network(card, arch)
        module.load_state_dict(value["state_dict"], strict=True)
    except (RuntimeError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"the weights in {path} do not fit a {card.network}: {brief(error)}") from error
    latent = card.latent
    chosen = choose_front(front, card.front or None, file=path, shape=card.input_shape)
    if chosen is not None:
        card = replace(card, front=chosen[0])
        module, latent = Repaired(chosen[1], module), behind(latent)
    module.eval().to(device)
    classifier = AuditedClassifier(module, latent=latent, input_shape=card.input_shape, class_names=card.class_names)
    classifier.latent_name = card.latent  # the same whether or not a front end is before it
    notes = (f"repaired by the front end {card.front['name']} before the network",) if card.front else ()
    return Checkpoint(classifier, card, stretch, Origin(OWN, content.sha256, {}, (*said, *notes), code_sha256))


def _named_code(card: Card, arch: str | None, path: Path) -> tuple[str | None, tuple[str, ...]]:
    """The hash of the code of a network that is not robustkit's own, and whether it is still what it was.

    Raises:
        InputError: If a network is named for a checkpoint that has its own.
        SecurityError: If the file names code and no person does.
    """
    if not card.arch:
        if arch is not None:
            raise InputError(f"{path} is a robustkit checkpoint and contains its network; omit --arch")
        return None, ()
    if arch is None:
        refuse_code(card.arch.get("name"), file=path, option=f"--arch {brief(str(card.arch.get('name')))}")
        return None, ()
    file = read_code(arch, "--arch").file
    found = sha256_file(file) if file is not None and file.is_file() else None
    changed = found is not None and card.arch.get("sha256") not in (None, found)
    return found, (f"{WARNING}{file} is not the file that it was at training",) if changed else ()


def _card(value: dict[str, Any]) -> Card:
    """The card that JSON values are, each of the kind that it should be."""
    texts = {name: tuple(map(shown, value[name])) for name in ("class_names", "bands")}
    shape = tuple(map(int, value["input_shape"]))
    ranges = tuple((float(low), float(high)) for low, high in value["input_range"])
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) > _MOST_VALUES:
        raise InputError(f"its input_shape is {brief(str(shape))}; expected bands, height and width of an image")
    if not len(ranges) == len(texts["bands"]) == shape[0] or not texts["class_names"]:
        raise InputError(f"it names {len(texts['bands'])} bands with {len(ranges)} ranges; expected {shape[0]} of both")
    for name in ("data", "training", "arch", "front", "versions"):
        if not isinstance(value.get(name, {}), dict):
            raise InputError(f"its {name} is {brief(repr(value[name]))}; expected a table")
    arch = value.get("arch") or {}
    if arch and not (isinstance(arch.get("name"), str) and isinstance(arch.get("kwargs"), dict)):
        raise InputError(f"its arch is {brief(repr(arch))}; expected a name and what it is called with")
    made: dict[str, Any] = {"network": str(value["network"]), "latent": str(value["latent"])}
    made |= texts | {"input_shape": shape, "input_range": ranges}
    return Card(**{**value, **made})
