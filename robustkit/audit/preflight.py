"""Preflight: what a file is, what its network does, and how it does on labelled images, before an audit begins."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robustkit.errors import InputError, SecurityError
from robustkit.files import sha256_file
from robustkit.models import AuditedClassifier, Checkpoint
from robustkit.models.foreign import kinds
from robustkit.models.foreign.kinds import kind_of
from robustkit.models.foreign.pickles import globals_of
from robustkit.models.foreign.state import find_parts
from robustkit.models.foreign.weights import Content, read_weights
from robustkit.models.preflight import Finding, Preflight, check_network
from robustkit.runs.sample import Sample

# Band orders are tried up to this many bands: 4! = 24 orders.
_MOST_BANDS = 4
# Below this a pattern in the labels is taken for real; orders are many, so it is shared among them.
_LEVEL = 0.01
_BATCH = 64


@dataclass(frozen=True, eq=False)
class FileCheck:
    """What a file is, before any network is made of it.

    Attributes:
        found: The findings.
        content: Its weights, where it is a file of weights that could be read.
        unsafe: Whether opening it could run code from it.
    """

    found: Preflight
    content: Content | None = None
    unsafe: bool = False


def check_file(model: str | os.PathLike[str]) -> FileCheck:
    """What a file is, without opening the network: kind, hash, tensors, and the code that it names."""
    path = Path(model)
    try:
        kind = kind_of(path)
    except InputError as error:
        return FileCheck(Preflight((Finding("form", "refusal", str(error)),)))
    if path.is_dir():
        return FileCheck(Preflight((Finding("form", "ok", kind.name),)))
    content, findings, unsafe = None, [], kind.code
    try:
        if kind in (kinds.TORCH, kinds.LEGACY):
            names = [name for name in globals_of(path, kind) if not name.startswith(("torch.", "collections."))]
            findings.append(Finding("names in the file", "ok", ", ".join(names) or "none beyond tensors"))
        if kind in (kinds.TORCH, kinds.LEGACY, kinds.SAFETENSORS):
            content = read_weights(path)
            for part in find_parts(content):
                findings.append(Finding("keys", "ok", _tensors(part.words, part.tensors)))
    except InputError as error:
        findings.append(Finding("content", "refusal", str(error)))
        unsafe = isinstance(error, SecurityError)
    digest = content.sha256 if content is not None else sha256_file(path)
    form = f"{kind.name}, {path.stat().st_size:,} bytes, SHA-256 {digest}"
    first = Finding("form", "ok", form)
    if kind.code:
        first = Finding("form", "refusal", form, f"it can run code when it is opened; {kind.instead}")
    return FileCheck(Preflight((first, *findings)), content, unsafe)


def preflight(checkpoint: Checkpoint, sample: Sample | None = None) -> Preflight:
    """Everything that is looked at before an audit.

    Args:
        checkpoint: The opened model.
        sample: Labelled images, without which only the network itself is looked at.

    Returns:
        The findings; `require()` of them refuses what would make every number meaningless.
    """
    notes = tuple(Finding("chosen", "ok", note) for note in checkpoint.origin.notes)
    network = check_network(checkpoint.classifier, None if sample is None else sample.images[:_BATCH])
    found = Preflight(notes) + network
    if sample is None or network.refusals:
        return found
    return found + Preflight(tuple(_data_findings(checkpoint, sample)))


def _data_findings(checkpoint: Checkpoint, sample: Sample) -> Iterator[Finding]:
    classifier, labels = checkpoint.classifier, sample.labels.numpy()
    predicted = _predict(classifier, sample.images)
    yield _range(checkpoint, sample)
    yield _accuracy(classifier, predicted, labels)
    yield _class_order(classifier.class_names, predicted, labels)
    if 2 <= sample.images.shape[1] <= _MOST_BANDS:
        yield _band_order(classifier, sample, predicted)


def _range(checkpoint: Checkpoint, sample: Sample) -> Finding:
    low, high = float(sample.images.min()), float(sample.images.max())
    text = f"the network sees values from {low:.4g} to {high:.4g}"
    bounds = checkpoint.origin.options.get("bounds")
    if bounds and (low < bounds[0] or high > bounds[1]):
        return Finding(
            "range",
            "warning",
            f"{text}, beyond the bounds {bounds[0]:g} to {bounds[1]:g}",
            "check --stretch and --bounds",
        )
    if not checkpoint.origin.own and max(abs(low), abs(high)) > 50:
        return Finding(
            "range", "warning", f"{text}, and networks are mostly trained on small numbers",
            "check --stretch, or --mean and --std",
        )  # fmt: skip
    return Finding("range", "ok", text)


def _accuracy(classifier: AuditedClassifier, predicted: np.ndarray, labels: np.ndarray) -> Finding:
    from robustkit.stats import wilson  # here and below, because SciPy takes long to load and is needed for data only

    accuracy = wilson(int((predicted == labels).sum()), len(labels))
    true, said = (np.bincount(values, minlength=classifier.classes) for values in (labels, predicted))
    shown = ", ".join(f"{name} {true[k]}/{said[k]}" for k, name in enumerate(classifier.class_names))
    text = f"{accuracy}; true/predicted: {shown}"
    most = true.max() / len(labels)
    if said.max() == len(labels) and (true > 0).sum() > 1:
        return Finding("accuracy", "warning", text, "one class wins always: check the stretch, bands and weights")
    if float(accuracy.low) <= most and float(accuracy.value) < 1:
        return Finding(
            "accuracy", "warning", f"{text}; the most frequent class alone would give {most:.3f}",
            "check the stretch, the order of classes and bands, and the weights",
        )  # fmt: skip
    return Finding("accuracy", "ok", text)


def _class_order(names: Sequence[str], predicted: np.ndarray, labels: np.ndarray) -> Finding:
    """Whether the classes in another order would fit the labels better than chance allows."""
    from scipy.optimize import linear_sum_assignment

    from robustkit.stats import format_p

    table = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(table, (predicted, labels), 1)
    _, best = linear_sum_assignment(table, maximize=True)
    p = min(1.0, _p_better(predicted == labels, best[predicted] == labels) * math.factorial(min(len(names), 8)))
    if p < _LEVEL:
        order = ",".join(str(names[int(k)]) for k in best)
        share = float((best[predicted] == labels).mean())
        return Finding(
            "class order", "warning", f"with the outputs as {order} the accuracy would be {share:.3f} ({format_p(p)})",
            f"if that is the order of the training, say --classes {order}",
        )  # fmt: skip
    return Finding("class order", "ok", "no other order of the classes fits better")


def _band_order(classifier: AuditedClassifier, sample: Sample, predicted: np.ndarray) -> Finding:
    """Whether the network does better on bands in another order."""
    from robustkit.stats import format_p

    labels, right = sample.labels.numpy(), predicted == sample.labels.numpy()
    orders = list(itertools.permutations(range(sample.images.shape[1])))[1:]
    found = [(_predict(classifier, sample.images[:, list(order)]) == labels, order) for order in orders]
    other, order = max(found, key=lambda pair: pair[0].mean())
    p = min(1.0, _p_better(right, other) * len(orders))
    bands = sample.whole.bands
    if p < _LEVEL:
        named = ", ".join(str(bands[i]) for i in order)
        return Finding(
            "band order", "warning", f"with bands {named} the accuracy would be {other.mean():.3f} ({format_p(p)})",
            "the images may have their bands in another order than the training had",
        )  # fmt: skip
    return Finding("band order", "ok", f"none of {len(orders)} other orders of {', '.join(bands)} does better")


def _p_better(first: np.ndarray, second: np.ndarray) -> float:
    """McNemar's p that the second is right more often, 1 where it is not."""
    from robustkit.stats import mcnemar, paired_counts

    if second.mean() <= first.mean():
        return 1.0
    counts = paired_counts(first, second)
    return float(mcnemar(counts.first_only, counts.second_only).p)


@torch.inference_mode()
def _predict(classifier: AuditedClassifier, images: Tensor) -> np.ndarray:
    parts = [classifier(part.to(classifier.device)).argmax(1).cpu() for part in images.split(_BATCH)]
    return torch.cat(parts).numpy()


def _tensors(where: str, tensors: dict[str, Tensor]) -> str:
    first, last = next(iter(tensors)), list(tensors)[-1]
    shown = " ... ".join(f"{name} {tuple(tensors[name].shape)}" for name in dict.fromkeys((first, last)))
    kinds_of = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})
    return f"{len(tensors)} tensors ({', '.join(kinds_of)}) in {where}: {shown}"
