"""From a checkpoint and an attack on it to embeddings: latents of clean, noisy and attacked images in one record."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustkit.errors import InputError
from robustkit.findings.latents.attacked import Attacked
from robustkit.findings.latents.twins import Twins, make_twins
from robustkit.latent.embeddings import Embeddings, embed_images, pack_head
from robustkit.latent.heads import find_head
from robustkit.models import AuditedClassifier

FLIPS = "where several searches flipped an image, the first one listed is shown"
# A flip proved elsewhere may be undone by the last digits of this machine; many such flips are another matter.
_MOST_UNDONE = 0.05


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings, and what they were made of.

    Attributes:
        attacked: The model, the attack and its images.
        record: The embeddings.
        notes: What was decided or found on the way, in words.
    """

    attacked: Attacked
    record: Embeddings
    notes: tuple[str, ...]

    @property
    def classifier(self) -> AuditedClassifier:
        """The classifier."""
        return self.attacked.sample.checkpoint.classifier


def embed_attacked(
    attacked: Attacked,
    *,
    noisy: str | os.PathLike[str] | None = None,
    search: str | None = None,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Embedded:
    """Embeds the images of an attack that is open.

    Args:
        attacked: The attack and its images.
        noisy: Where the noisy partners of the images come from; see `robustkit.findings.latents.twins.make_twins`.
        search: Take the flips of this search alone.
        seed: Of noise that is made here.
        say: Receives progress messages.

    Raises:
        InputError: If flips do not happen, the latent is spatial, or the noisy partners cannot be had as asked.
    """
    record, classifier = attacked.record, attacked.sample.checkpoint.classifier
    if classifier.latent_name is None:
        raise InputError(f"{attacked.sample.model} has no latent: {classifier.why_no_latent}")
    twins = make_twins(attacked, noisy, seed=seed)
    clean, clean_logits = embed_images(classifier, attacked.clean, len(record.ids))
    noise, noise_logits = _noisy(classifier, twins, clean, clean_logits)
    attempt, undone = _flips(attacked, search)
    shape = np.full_like(clean, np.nan), np.full_like(clean_logits, np.nan)
    flipped = attempt >= 0
    if flipped.any():
        chosen = attempt[flipped]
        shape[0][flipped], shape[1][flipped] = embed_images(
            classifier, lambda start, stop: attacked.painted(chosen[start:stop]), len(chosen)
        )
    search_of = np.full(len(record.ids), -1)
    search_of[flipped] = record.search[attempt[flipped]]
    sizes, parameters = pack_head(find_head(classifier, clean))
    found = Embeddings(
        ids=record.ids,
        true=record.true,
        clean=clean,
        noisy=noise,
        attacked=shape[0],
        clean_logits=clean_logits,
        noisy_logits=noise_logits,
        attacked_logits=shape[1],
        attempted=_attempted(attacked),
        flipped=flipped,
        search=search_of,
        attempt=attempt,
        head_sizes=sizes,
        head_parameters=parameters,
        searches=record.searches,
        class_names=record.class_names,
        noise=twins.words,
        model_sha256=attacked.sample.checkpoint.origin.sha256,
        settings={
            "flips": FLIPS if search is None else f"of each image, the first flip by {search}",
            "seed": seed,
            "latent": classifier.latent_name,
            "attack": record.settings,
        },
    )
    notes = (_describe(found, undone), f"noisy twins: {twins.words}", _describe_head(found))
    for note in notes:
        say(note)
    return Embedded(attacked, found, notes)


def _flips(attacked: Attacked, search: str | None) -> tuple[np.ndarray, int]:
    """The attempt that is taken for each image, -1 for none; and how many flips do not happen here.

    Each is run alone, as when it was proved.
    """
    record, classifier = attacked.record, attacked.sample.checkpoint.classifier
    if search is not None and search not in record.searches:
        raise InputError(f"the attack has no search {search!r}; its searches are {', '.join(record.searches)}")
    wanted = record.flipped & (record.of_search(search) if search is not None else True)
    attempt = np.full(len(record.ids), -1)
    # Attempts stand in the order of image, search and target.
    for a in np.flatnonzero(wanted)[::-1].tolist():
        attempt[record.image[a]] = a
    undone = 0
    with torch.inference_mode():
        for i in np.flatnonzero(attempt >= 0).tolist():
            image = attacked.painted(attempt[i : i + 1]).to(classifier.device)
            if int(classifier(image).argmax(1)) != record.new_class[attempt[i]]:
                attempt[i], undone = -1, undone + 1
    if undone > max(1, _MOST_UNDONE * int((attempt >= 0).sum())):
        raise InputError(
            f"{undone} of the flips in {attacked.folder or 'the attack'} do not happen with this model and these "
            "images; attack the model again on this machine"
        )
    return attempt, undone


def _noisy(
    classifier: AuditedClassifier, twins: Twins, clean: np.ndarray, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    latents, scores = np.full_like(clean, np.nan), np.full_like(logits, np.nan)
    rows = np.flatnonzero(twins.present)

    def images(start: int, stop: int) -> Tensor:
        return twins.images(rows[start:stop])

    if len(rows):
        latents[rows], scores[rows] = embed_images(classifier, images, len(rows))
    return latents, scores


def _attempted(attacked: Attacked) -> np.ndarray:
    attempted = np.zeros(len(attacked.record.ids), dtype=bool)
    attempted[attacked.record.image] = True
    return attempted


def _describe(found: Embeddings, undone: int) -> str:
    words = (
        f"{len(found.ids)} images, {int(found.attempted.sum())} of them attacked, {int(found.flipped.sum())} flipped "
        f"and {int(found.censored.sum())} not; {found.settings['flips']}"
    )
    return words + (f"; {undone} flips do not happen on this machine and count as none" if undone else "")


def _describe_head(found: Embeddings) -> str:
    latent = f"latent {found.settings['latent']} of {found.clean.shape[1]} dimensions"
    if not found.head_sizes:
        return f"{latent}; the head is not affine, nor dense layers with ReLU"
    kind = "affine" if len(found.head_sizes) == 2 else "dense layers with ReLU"
    return f"{latent}; the head is {kind}, {' to '.join(map(str, found.head_sizes))}"
