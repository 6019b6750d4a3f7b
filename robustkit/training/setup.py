"""Everything that a training run needs before its first step, from image sets and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from robustkit.code_gate import read_code
from robustkit.data import IdentityStretch, Stretch
from robustkit.data.split import Part
from robustkit.errors import InputError
from robustkit.files import sha256_file
from robustkit.models import NETWORKS, AuditedClassifier, Card
from robustkit.models.foreign.fresh import arguments, build_fresh
from robustkit.models.fronts import Repaired, make_front
from robustkit.models.fronts.base import behind, in_network
from robustkit.models.fronts.registry import fitted_constants, needs_noise
from robustkit.models.outputs import Output
from robustkit.training.begin import begin_with
from robustkit.training.domains import (
    Domain,
    PartTensors,
    Where,
    check_classes,
    fit_stretch,
    input_range,
    make_part,
    open_domains,
    open_labelled,
)
from robustkit.training.feed import Feed
from robustkit.training.judge import Judge
from robustkit.training.noise import AddedNoise, added_noise
from robustkit.training.pixels import SHARE, BadPixels
from robustkit.training.settings import Settings
from robustkit.training.tries import tries_of

_DEFAULT_BATCH = 128


@dataclass(frozen=True, eq=False)
class Setup:
    """The data and settings of a training run.

    Attributes:
        settings: The settings, with every `None` resolved.
        target: The target domain without labels, or `None`.
        taught: The domain whose labels are used: the source, or for the oracle the target.
        stretch: Fitted on the training images of the source.
        noise: What `augment` adds to the source, or `None`.
        oracle: Labels of the validation images of the target, for the log alone; or `None`.
    """

    settings: Settings
    source: Domain
    target: Domain | None
    taught: Domain
    stretch: Stretch
    noise: AddedNoise | None
    oracle: np.ndarray | None

    @property
    def hashes(self) -> dict[str, Any]:
        """Hashes that must be unchanged when a run resumes."""
        hashes = {}
        for name, domain in (("source", self.source), ("target", self.target)):
            if domain is not None:
                hashes[f"{name} split"] = domain.split.sha256
                hashes |= {f"{name} {file}": value for file, value in domain.images.provenance.items()}
        if self.settings.init is not None:
            hashes["init"] = sha256_file(self.settings.init)
        if self.arch:
            hashes["arch"] = self.arch["sha256"]
        return hashes

    def network(self) -> nn.Module:
        """A fresh network; its weights come from torch's global random numbers."""
        images = self.source.images
        if self.settings.own_network:
            network = build_fresh(self.settings.network, self.arch["kwargs"])
        else:
            kind = NETWORKS[self.settings.network]
            network = kind(bands=len(images.bands), classes=len(images.class_names), size=images.images.shape[2:])
        if self.settings.init is not None:
            begin_with(network, Path(self.settings.init))
        if not self.front:
            return network
        front = make_front(self.front["name"], self.front["constants"])
        front.check(images.images.shape[1:])
        return Repaired(front, network)

    @cached_property
    def arch(self) -> dict[str, Any]:
        """A network of the user's own as a card has it: its name, what it is called with, and the hash of its file."""
        settings, images = self.settings, self.source.images
        if not settings.own_network:
            return {}
        how: dict[str, Any] = {"classes": len(images.class_names), "shape": images.images.shape[1:]}
        file = read_code(settings.network, "--arch").file
        kwargs = arguments(settings.network, settings.arch_kwargs or {}, **how)
        digest = None if file is None or not file.is_file() else sha256_file(file)
        return {"name": settings.network, "kwargs": kwargs, "sha256": digest}

    def split(self, network: nn.Module) -> tuple[str, Output]:
        """The latent layer of a network, and which part of what it returns holds the scores.

        Raises:
            InputError: If it does not take the images, has no latent layer, or gives other scores than one per class.
        """
        if not self.settings.own_network:
            return str(network.latent), Output()
        images, named = self.source.images, self.settings.latent
        shown = torch.from_numpy(self.stretch(np.array(images.images[:2])) if images.stretch is None else
                                 np.array(images.images[:2]))  # fmt: skip
        modes = {layer: layer.training for layer in network.modules()}
        found = AuditedClassifier(
            network.eval(), latent=behind(named) if named and self.front else named,
            input_shape=images.images.shape[1:], class_names=images.class_names, examples=shown,
        )  # fmt: skip
        for layer, mode in modes.items():
            layer.training = mode
        if found.latent_key is None:
            raise InputError(f"training needs one latent layer: {found.why_no_latent}")
        return found.latent_key, found.output

    @cached_property
    def front(self) -> dict[str, Any]:
        """The front end as a card has it, fitted on the source; empty without one."""
        name, images = self.settings.front, self.source.images
        if name is None:
            return {}
        ends = input_range(self.part(self.source, "train", "cpu"), IdentityStretch()) if needs_noise(name) else ()
        return {"name": name, "constants": fitted_constants(name, self.stretch, images, ends)}

    def pixels(self, ends: Sequence[tuple[float, float]]) -> BadPixels | None:
        """What writes bad pixels into the images of a step, if that was asked for.

        Args:
            ends: Lowest and highest network input of each band.
        """
        settings = self.settings
        if settings.pixels is None:
            return None
        share = SHARE if settings.pixel_share is None else settings.pixel_share
        return BadPixels(tries_of(settings.pixels), share, ends, settings.seed)

    def part(self, domain: Domain, which: Part, device: torch.device | str, *, calibrated: bool = False) -> PartTensors:
        """The `train` or `valid` images of a domain."""
        return make_part(domain, which, IdentityStretch() if calibrated else self.stretch, device)

    def feed(self, device: torch.device | str) -> Feed:
        """The batches of the run."""
        settings = self.settings
        target = self.part(self.target, "train", device) if self.target and settings.uses_target else None
        assert settings.batch is not None
        return Feed(
            self.part(self.taught, "train", device, calibrated=self.noise is not None),
            target,
            batch=settings.batch,
            seed=settings.seed,
            dihedral=bool(settings.dihedral),
            noise=self.noise,
            stretch=self.stretch,
        )

    def judge(self, device: torch.device | str) -> Judge:
        """The measurements after every epoch."""
        looks = self.target is not None and (self.settings.judged_on_target or self.oracle is not None)
        target = self.part(self.target, "valid", device) if looks and self.target else None
        return Judge(self.part(self.taught, "valid", device), target, self.settings.judged_on_target, self.oracle)

    def card(self, out: Path, feed: Feed, latent: str) -> Card:
        """The card of the checkpoint `out`, without the training figures."""
        images = self.source.images
        data = self.source.card(out) | ({"target": self.target.card(out)} if self.target else {})
        stretch = self.stretch if self.noise is not None else IdentityStretch()
        bands, height, width = images.images.shape[1:]
        return Card(
            network=self.settings.network_label,
            class_names=images.class_names,
            bands=images.bands,
            input_shape=(bands, height, width),
            stretch=self.stretch.to_json(),
            input_range=input_range(feed.parts[0], stretch),
            latent=in_network(latent) if self.front else latent,
            arch=self.arch,
            front=self.front,
            data=data,
            training={"settings": self.settings.to_json(), "data": self.hashes},
        )


def make_setup(source: Where, target: Where | None, settings: Settings, *, report_oracle: bool = False) -> Setup:
    """Opens the data and resolves the settings that are `None`.

    Args:
        source: The labelled images.
        target: The images to be classified later, or `None`.
        settings: The settings as they were given.
        report_oracle: Whether target labels may be read for the log.

    Raises:
        InputError: If the data or the settings cannot be used.
    """
    needs = settings.uses_target or settings.method in ("adabn", "augment", "oracle") or report_oracle
    if target is None and needs:
        raise InputError(f"the method {settings.method} needs target images; name them with --target")
    first, second = open_domains(source, target, split_seed=settings.split_seed)
    taught, oracle = first, None
    if target is not None and second is not None and (settings.method == "oracle" or report_oracle):
        labelled = open_labelled(target, second, first.images.class_names)
        taught = labelled if settings.method == "oracle" else first
        if report_oracle and labelled.images.labels is not None:
            oracle = labelled.images.labels[labelled.rows("valid")]
    check_classes(taught)
    stretch = fit_stretch(first, settings.stretch)
    noise = added_noise(first.images, second.images) if settings.method == "augment" and second else None
    dihedral = first.images.units == "electron" if settings.dihedral is None else settings.dihedral
    settings = replace(settings, dihedral=dihedral, stretch=stretch.name, batch=_batch(settings, taught, second))
    return Setup(settings, first, second, taught, stretch, noise, oracle)


def _batch(settings: Settings, taught: Domain, target: Domain | None) -> int:
    sizes = {"labelled domain": len(taught.rows("train"))}
    if target is not None and settings.uses_target:
        sizes["target"] = len(target.rows("train"))
    name, smallest = min(sizes.items(), key=lambda item: item[1])
    if settings.batch is None:
        return min(_DEFAULT_BATCH, smallest)
    if settings.batch > smallest:
        raise InputError(
            f"a batch of {settings.batch} is larger than the {smallest} training images of the {name}; lower --batch"
        )
    return settings.batch
