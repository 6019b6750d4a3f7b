"""What every command sees before it begins: how a network does on a few labelled images, and what was warned of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from robustkit.errors import WARNING, OutOfMemory
from robustkit.models import AuditedClassifier, Checkpoint
from robustkit.models.memory import bytes_per_image, free_memory, is_out_of_memory
from robustkit.models.preflight import Observation, Preflight, check_network, images_at_once
from robustkit.runs.sample import Sample

# Band orders are tried up to this many bands: 4! = 24 orders.
_MOST_BANDS = 4
# Below this a pattern in the labels is taken for real; orders are many, so it is shared among them.
_LEVEL = 0.01
_BATCH = 64
# Bytes of activations that the trials of other band orders may fill together, and the fewest images they are tried on.
_MOST_TRIED = 8 << 30
_LEAST_TRIED = 24
# Bytes of network input that are looked at.
_MOST_INPUT = 256 << 20
# Images that every command looks at before it begins.
_FEW = 64
# How far bands may lie from a line between them, of their spread, where they show the same picture: 8-bit rounding.
_ON_A_LINE = 0.01


def look(sample: Sample) -> Preflight:
    """The network on a few of its images, and what it says of some more; at most 64 images are read."""
    few = sample.first(_FEW)
    origin = sample.checkpoint.origin
    found = check_network(sample.checkpoint.classifier, few.first(8).images, batches=(1, 3, 8))
    found += Preflight(tuple(notes_found(origin.notes)))
    return found if found.refusals else found + Preflight(tuple(data_findings(few)))


def notes_found(notes: Iterable[str], name: str = "chosen") -> Iterator[Observation]:
    """What was chosen, and what of it is a warning."""
    for note in notes:
        yield Observation(name, "warning" if note.startswith(WARNING) else "ok", note.removeprefix(WARNING))


def data_findings(sample: Sample) -> Iterator[Observation]:
    """What the network says of images: their range and, where they have labels, accuracy and the order of classes."""
    most = max(_LEAST_TRIED, _MOST_INPUT // (4 * math.prod(sample.inputs.shape[1:])))
    if len(sample) > most:
        yield Observation("images", "ok", f"the first {most} of {len(sample)} are looked at, to stay within memory")
        sample = sample.first(most)
    if sample.whole.labels is None:
        yield from notes_found((note for note in sample.whole.notes if _is_worth_a_line(note)), "images")
        yield _range(sample.checkpoint, sample)
        return
    checkpoint, labels = sample.checkpoint, sample.labels.numpy()
    classifier = checkpoint.classifier
    yield from notes_found((note for note in sample.whole.notes if _is_worth_a_line(note)), "images")
    if sample.whole.values is not None:
        parts = [_predict(asked, sample.images[one]) for asked, one in sample.asked(slice(0, len(sample)))]
        yield _range(checkpoint, sample)
        yield _within(sample, np.concatenate(parts), sample.whole.values[sample.rows])
        return
    predicted = _predict(classifier, sample.images)
    yield _range(checkpoint, sample)
    yield _accuracy(classifier, predicted, labels)
    yield _class_order(classifier.class_names, predicted, labels)
    yield from _blank(sample)
    if how := _grey(sample.images):
        yield Observation(
            "bands", "warning", f"the {sample.images.shape[1]} bands of every image {how}: grey stored as colours",
            "a pixel whose bands move apart is off the data; --values together moves them as one",
        )  # fmt: skip
    elif 2 <= sample.images.shape[1] <= _MOST_BANDS:
        yield _band_order(classifier, sample, predicted)


def _is_worth_a_line(note: str) -> bool:
    return note.startswith((WARNING, "preprocessing", "size:", "NaN:", "classes:", "pictures:"))


def _blank(sample: Sample) -> Iterator[Observation]:
    """Images without any structure, as where an array was made and never filled."""
    bands = sample.images.flatten(2)
    blank = (bands == bands[..., :1]).flatten(1).all(1).nonzero().squeeze(1).tolist()
    if blank and bands.shape[2] > 1:
        yield Observation(
            "blank", "warning",
            f"{len(blank)} of {len(bands)} images have a single value in each band ({sample.ids[blank[0]]} first), as "
            "where nothing was written", "remove these images, or write the file again",
        )  # fmt: skip


def _grey(images: Tensor) -> str:
    """How every image has the same picture in each of its bands; empty where it has not."""
    if images.shape[1] < 2:
        return ""
    first = images[:, 0].double()
    if float((images[:, 1:] - images[:, :1]).abs().max()) <= 1e-6 * (float(images.abs().max()) + 1e-6):
        return "are equal"
    first = first - first.mean()
    for band in range(1, images.shape[1]):  # a stretch of its own for each band leaves a line between two of them
        other = images[:, band].double()
        other = other - other.mean()
        slope = float((first * other).sum() / (first**2).sum().clamp(min=1e-300))
        if slope <= 0 or float((other - slope * first).std()) > _ON_A_LINE * float(other.std()):
            return ""
    return "differ by a scale and an offset alone"


def _range(checkpoint: Checkpoint, sample: Sample) -> Observation:
    low, high = float(sample.images.min()), float(sample.images.max())
    text = f"the network input ranges from {low:.4g} to {high:.4g}"
    bounds = checkpoint.origin.options.get("bounds")
    if bounds and (low < bounds[0] or high > bounds[1]):
        return Observation(
            "range",
            "warning",
            f"{text}, beyond the bounds {bounds[0]:g} to {bounds[1]:g}",
            "check --stretch and --bounds",
        )
    if not checkpoint.origin.own and max(abs(low), abs(high)) > 50:
        return Observation(
            "range", "warning", f"{text}, and networks are mostly trained on small numbers",
            "check --stretch, or --mean and --std",
        )  # fmt: skip
    return Observation("range", "ok", text)


def _accuracy(classifier: AuditedClassifier, predicted: np.ndarray, labels: np.ndarray) -> Observation:
    from robustkit.stats import wilson  # here and below, because SciPy takes long to load and is needed for data only

    accuracy = wilson(int((predicted == labels).sum()), len(labels))
    true, said = (np.bincount(values, minlength=classifier.classes) for values in (labels, predicted))
    shown = ", ".join(f"{name} {true[k]}/{said[k]}" for k, name in enumerate(classifier.class_names))
    text = f"{accuracy}; true/predicted: {shown}"
    most = true.max() / len(labels)
    if said.max() == len(labels) and (true > 0).sum() > 1:
        return Observation("accuracy", "warning", text, "one class wins always: check the stretch, bands and weights")
    if float(accuracy.low) <= most and float(accuracy.value) < 1:
        return Observation(
            "accuracy", "warning", f"{text}; the most frequent class alone would give {most:.3f}",
            "check the stretch, the order of classes and bands, and the weights",
        )  # fmt: skip
    return Observation("accuracy", "ok", text)


def _within(sample: Sample, predicted: np.ndarray, values: np.ndarray) -> Observation:
    """How many numbers of a regression lie in their band, on which side the others are, and what a constant gets."""
    from robustkit.stats import wilson

    inside = wilson(int((predicted == 0).sum()), len(predicted))
    names = sample.checkpoint.classifier.class_names
    sides = ", ".join(f"{int((predicted == k).sum())} {name}" for k, name in enumerate(names) if k)
    text = f"{inside} within the band; {sides}; true values from {values.min():.4g} to {values.max():.4g}"
    if sample.constant is not None:
        answer, right = sample.constant
        text += f"; always answering {answer:.4g} would give {right.mean():.3f}"
        if float(inside.low) <= right.mean() and float(inside.value) < 1:
            return Observation(
                "accuracy", "warning", text, "no better than a constant answer: check the stretch, the scale of the "
                "labels, and --tolerance",
            )  # fmt: skip
    if float(inside.value) < 0.5:
        return Observation("accuracy", "warning", text, "check the stretch, the scale of the labels, and --tolerance")
    return Observation("accuracy", "ok", text)


def _class_order(names: Sequence[str], predicted: np.ndarray, labels: np.ndarray) -> Observation:
    """Whether the classes in another order would fit the labels better than chance allows."""
    from scipy.optimize import linear_sum_assignment

    from robustkit.stats import format_p

    if len(np.unique(predicted)) == 1:  # a constant answer says nothing of the order
        return Observation("class order", "ok", "not known, because one class wins always")
    table = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(table, (predicted, labels), 1)
    _, best = linear_sum_assignment(table, maximize=True)
    p = min(1.0, _p_better(predicted == labels, best[predicted] == labels) * math.factorial(min(len(names), 8)))
    # The other order must also do better than naming one class for all images, which needs no knowledge of them.
    constant = labels == np.bincount(labels).argmax()
    if p < _LEVEL and _p_better(constant, best[predicted] == labels) < _LEVEL:
        order = ",".join(str(names[int(k)]) for k in best)
        share = float((best[predicted] == labels).mean())
        return Observation(
            "class order", "warning", f"with the outputs as {order} the accuracy would be {share:.3f} ({format_p(p)})",
            f"if that is the order of the training, say --classes {order}",
        )  # fmt: skip
    return Observation("class order", "ok", "no other order of the classes fits better")


def _band_order(classifier: AuditedClassifier, sample: Sample, predicted: np.ndarray) -> Observation:
    """Whether the network does better on bands in another order."""
    from robustkit.stats import format_p

    orders = list(itertools.permutations(range(sample.images.shape[1])))[1:]
    _, each = bytes_per_image(classifier.module, sample.images[:1].to(classifier.device))
    tried = max(_LEAST_TRIED, min(len(predicted), _MOST_TRIED // (each * len(orders))))
    images, labels = sample.images[:tried], sample.labels.numpy()[:tried]
    right = predicted[:tried] == labels
    found = [(_predict(classifier, images, list(order)) == labels, order) for order in orders]
    other, order = max(found, key=lambda pair: pair[0].mean())
    p = min(1.0, _p_better(right, other) * len(orders))
    bands = sample.whole.bands
    if p < _LEVEL:
        named = ", ".join(str(bands[i]) for i in order)
        return Observation(
            "band order", "warning", f"with bands {named} the accuracy would be {other.mean():.3f} ({format_p(p)})",
            "the images may have their bands in another order than the training had",
        )  # fmt: skip
    return Observation("band order", "ok", f"none of {len(orders)} other orders of {', '.join(bands)} does better")


def _p_better(first: np.ndarray, second: np.ndarray) -> float:
    """McNemar's p that the second is right more often, 1 where it is not."""
    from robustkit.stats import mcnemar, paired_counts

    if second.mean() <= first.mean():
        return 1.0
    counts = paired_counts(first, second)
    return float(mcnemar(counts.first_only, counts.second_only).p)


@torch.inference_mode()
def _predict(classifier: AuditedClassifier, images: Tensor, bands: list[int] | None = None) -> np.ndarray:
    """Predicted classes, shape (N,), of images or of images with their bands in another order."""
    at_once = images_at_once(classifier, _BATCH)
    parts = (part if bands is None else part[:, bands] for part in images.split(at_once))
    return torch.cat([_classes(classifier, part) for part in parts]).numpy()


def _classes(classifier: AuditedClassifier, images: Tensor) -> Tensor:
    """Predicted classes, half of the images after the other if memory runs out for all at once."""
    try:
        return classifier(images.to(classifier.device)).argmax(1).cpu()
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if len(images) == 1 or not is_out_of_memory(error):
            raise
    free_memory()  # outside the except block, whose traceback holds tensors
    return torch.cat([_classes(classifier, half) for half in images.split(-(-len(images) // 2))])
