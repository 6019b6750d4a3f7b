"""Everything that a training run needs before its first step, from image sets and settings."""

from __future__ import annotations

import os
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
    Targets,
    Where,
    check_classes,
    each_of,
    fit_stretch,
    input_range,
    make_part,
    open_domains,
    open_labelled,
    target_name,
)
from robustkit.training.feed import Feed
from robustkit.training.judge import Judge
from robustkit.training.known import KnownTargets, known_targets, read_known
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
        targets: The target domains without labels.
        taught: The domain whose labels are used: the source, or for the oracle the target.
        stretch: Fitted on the training images of the source.
        noise: What `augment` adds to the source, or `None`.
        oracle: Labels of the validation images of the targets, for the log alone; or `None`.
        known: The target images whose classes may be learned, or `None`.
    """

    settings: Settings
    source: Domain
    targets: tuple[Domain, ...]
    taught: Domain
    stretch: Stretch
    noise: AddedNoise | None
    oracle: np.ndarray | None
    known: KnownTargets | None

    @property
    def hashes(self) -> dict[str, Any]:
        """Hashes that must be unchanged when a run resumes."""
        hashes = {}
        targets = {target_name(k): target for k, target in enumerate(self.targets)}
        for name, domain in {"source": self.source, **targets}.items():
            hashes[f"{name} split"] = domain.split.sha256
            hashes |= {f"{name} {file}": value for file, value in domain.images.provenance.items()}
        if self.known is not None:
            hashes["target labels"] = self.known.sha256
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
            input_shape=images.images.shape[1:], class_names=images.class_names, examples=shown, steps=False,
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

    def part(
        self, domain: Domain | Sequence[Domain], which: Part, device: torch.device | str, *, calibrated: bool = False
    ) -> PartTensors:
        """The `train` or `valid` images of a domain, or of several together."""
        return make_part(domain, which, IdentityStretch() if calibrated else self.stretch, device)

    def feed(self, device: torch.device | str) -> Feed:
        """The batches of the run."""
        settings = self.settings
        target = self.part(self.targets, "train", device) if self.targets and settings.uses_target else None
        assert settings.batch is not None
        return Feed(
            self.part(self.taught, "train", device, calibrated=self.noise is not None),
            target,
            batch=settings.batch,
            seed=settings.seed,
            dihedral=bool(settings.dihedral),
            noise=self.noise,
            stretch=self.stretch,
            known=self.part(self.known.domains, "train", device) if self.known else None,
        )

    def judge(self, device: torch.device | str) -> Judge:
        """The measurements after every epoch."""
        looks = self.targets and (self.settings.judged_on_target or self.oracle is not None)
        target = self.part(self.targets, "valid", device) if looks else None
        return Judge(self.part(self.taught, "valid", device), target, self.settings.judged_on_target, self.oracle)

    def card(self, out: Path, feed: Feed, latent: str) -> Card:
        """The card of the checkpoint `out`, without the training figures."""
        images = self.source.images
        first, *more = [target.card(out) for target in self.targets] or [None]
        data = self.source.card(out) | ({"target": first} if first else {}) | ({"more_targets": more} if more else {})
        stretch = self.stretch if self.noise is not None else IdentityStretch()
        bands, height, width = images.images.shape[1:]
        return Card(
            network=self.settings.network_label,
            class_names=images.class_names,
            bands=images.bands,
            input_shape=(bands, height, width),
            stretch=self.stretch.to_json(),
            input_range=input_range(feed.source, stretch),
            latent=in_network(latent) if self.front else latent,
            arch=self.arch,
            front=self.front,
            data=data,
            training={"settings": self.settings.to_json(), "data": self.hashes},
        )


def make_setup(
    source: Where,
    target: Targets,
    settings: Settings,
    *,
    report_oracle: bool = False,
    target_labels: str | os.PathLike[str] | None = None,
) -> Setup:
    """Opens the data and resolves the settings that are `None`.

    Args:
        source: The labelled images.
        target: The images to be classified later, several sets of them, or `None`.
        settings: The settings as they were given.
        report_oracle: Whether target labels may be read for the log.
        target_labels: A table of the classes of a few target images.

    Raises:
        InputError: If the data or the settings cannot be used.
    """
    needs = settings.uses_target or settings.method in ("adabn", "augment", "oracle") or report_oracle
    given = each_of(target)
    if not given and (needs or target_labels is not None):
        what = f"the method {settings.method} needs" if needs else "--target-labels needs"
        raise InputError(f"{what} target images; name them with --target")
    if len(given) > 1 and settings.method in ("augment", "oracle"):
        raise InputError(f"the method {settings.method} takes one target, got {len(given)}")
    table = None if target_labels is None else read_known(target_labels)
    first, targets = open_domains(source, given, split_seed=settings.split_seed, known=table.classes if table else ())
    known = known_targets(targets, table, first.images.class_names) if table else None
    taught, oracle = first, None
    if targets and (settings.method == "oracle" or report_oracle):
        labelled = [
            open_labelled(where, one, first.images.class_names) for where, one in zip(given, targets, strict=True)
        ]
        taught = labelled[0] if settings.method == "oracle" else first
        if report_oracle:
            oracle = np.concatenate(
                [one.images.labels[one.rows("valid")] for one in labelled if one.images.labels is not None]
            )
    check_classes(taught)
    stretch = fit_stretch(first, settings.stretch)
    noise = added_noise(first.images, targets[0].images) if settings.method == "augment" else None
    dihedral = first.images.units == "electron" if settings.dihedral is None else settings.dihedral
    settings = replace(settings, dihedral=dihedral, stretch=stretch.name, batch=_batch(settings, taught, targets))
    return Setup(settings, first, targets, taught, stretch, noise, oracle, known)


def _batch(settings: Settings, taught: Domain, targets: Sequence[Domain]) -> int:
    sizes = {"labelled domain": len(taught.rows("train"))}
    if targets and settings.uses_target:
        sizes["target"] = sum(len(target.rows("train")) for target in targets)
    name, smallest = min(sizes.items(), key=lambda item: item[1])
    if settings.batch is None:
        return min(_DEFAULT_BATCH, smallest)
    if settings.batch > smallest:
        raise InputError(
            f"a batch of {settings.batch} is larger than the {smallest} training images of the {name}; lower --batch"
        )
    return settings.batch
