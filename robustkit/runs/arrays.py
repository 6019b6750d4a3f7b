"""A sample of a live classifier and arrays: what the Python functions look at, where the commands have files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustkit.data import IdentityStretch, ImageSet
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier, BlackBox, Checkpoint, ModelOptions, Output, open_model
from robustkit.models.checkpoint import Card, Origin
from robustkit.models.foreign.arrange import arrange
from robustkit.runs.draw import check_fit, check_pixels_fit
from robustkit.runs.sample import Sample

# A network (live, or a file that `open_model` reads), or a function from images to scores.
Model = nn.Module | AuditedClassifier | Callable[..., Any] | str | os.PathLike[str]


def sample_of(
    model: Model,
    images: np.ndarray | Tensor,
    labels: Any = None,
    *,
    ids: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    bands: Sequence[str] | None = None,
    latent: str | None = None,
    output: str = "logits",
    options: ModelOptions | None = None,
    device: torch.device | str | None = None,
) -> Sample:
    """A sample of all the images given.

    Args:
        model: A `torch.nn.Module` in evaluation mode, an `AuditedClassifier`, a file that `open_model` reads, or a
            function from float32 images, shape (N, C, H, W), to scores, shape (N, K).
        images: What the model takes, shape (N, C, H, W), float; calibrated values for a checkpoint with a stretch.
        labels: True classes: integers from 0 to K - 1, or names in `class_names`, shape (N,); `None`
            where nobody knows them, for what needs none.
        ids: A unique name for each image; by default `image-0`, `image-1`, ...
        class_names: The K classes, in the order of the scores.
        bands: Names of the C bands.
        latent: The layer whose output is the latent; by default what the last affine layer takes.
        output: What the scores of a live model are: `logits`, `probabilities`, `log-probabilities` or `sigmoid`.
        options: Options for a third-party model in a file.
        device: Where to compute; by default where the model is.

    Raises:
        InputError: If the images, labels or names do not fit the model or each other.
    """
    values = _pixels(images)
    _check_scale(values, images)
    if isinstance(model, (str, os.PathLike)):
        return _from_file(Path(model), values, labels, ids, class_names, bands, options, device or "cpu")
    classifier = _classifier(model, values, class_names, latent, output, device)
    names = classifier.class_names
    image_set = _image_set(values, labels, ids, names, bands)
    low, high = values.min((0, 2, 3)), values.max((0, 2, 3))
    card = Card(
        network=_name(model),
        class_names=names,
        bands=image_set.bands,
        input_shape=classifier.input_shape,  # pyright: ignore[reportArgumentType] - three numbers
        stretch=IdentityStretch().to_json(),
        input_range=tuple((float(a), float(b)) for a, b in zip(low, high, strict=True)),
        latent=classifier.latent_name or "",
    )
    origin = Origin("a network in memory", _hash_of(model, classifier, values), notes=tuple(classifier.notes))
    checkpoint = Checkpoint(classifier, card, IdentityStretch(), origin)
    return _sample(checkpoint, Path(_name(model)), image_set)


def _from_file(
    path: Path,
    values: np.ndarray,
    labels: Any,
    ids: Sequence[str] | None,
    class_names: Sequence[str] | None,
    bands: Sequence[str] | None,
    options: ModelOptions | None,
    device: torch.device | str,
) -> Sample:
    """A sample of a checkpoint; names that are not given are the checkpoint's."""
    if options is not None and class_names is None:
        class_names = options.class_names
    guess = None if class_names is not None or labels is None else _count_names(labels)
    image_set = _image_set(values, labels, ids, class_names or guess, bands, named=class_names is not None)
    checkpoint = open_model(path, options, images=image_set, device=device)
    card = checkpoint.card
    if class_names is None and len(card.class_names) >= len(image_set.class_names):
        image_set = _image_set(values, labels, ids, card.class_names, bands or card.bands)
    elif bands is None and len(card.bands) == len(image_set.bands):
        image_set = _image_set(values, labels, ids, image_set.class_names, card.bands)
    image_set = arrange(image_set, card.class_names, card.bands)
    check = check_pixels_fit if labels is None else check_fit
    check(checkpoint, image_set, Path("the images given"))
    return _sample(checkpoint, path, image_set)


def _sample(checkpoint: Checkpoint, model: Path, image_set: ImageSet) -> Sample:
    rows = np.arange(len(image_set))
    return Sample(checkpoint, model, Path("arrays"), "all", len(rows), 0, image_set, rows, checkpoint.origin.notes)


def _pixels(images: Any) -> np.ndarray:
    """Images as a float32 array of shape (N, C, H, W)."""
    values = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if values.ndim != 4:
        raise InputError(
            f"expected images of shape (N, C, H, W), got {values.shape}; for grey images use images[:, None]"
        )
    if values.dtype.kind not in "fiu":
        raise InputError(f"expected images as numbers, got {values.dtype}")
    if not np.isfinite(values).all():
        raise InputError("some images hold values that are not finite; omit or repair them")
    return np.ascontiguousarray(values, dtype=np.float32)


def _check_scale(values: np.ndarray, images: Any) -> None:
    """Refuses pictures in 0..255 as integers, which hardly any network takes."""
    kind = str(images.dtype).removeprefix("torch.")
    if kind.startswith(("int", "uint")) and values.max() > 1:
        raise InputError(
            f"the images are {kind} from {values.min():g} to {values.max():g}; give what the network takes, often "
            "images / 255, or images.astype('float32') if it takes these values as they are"
        )


def _classifier(
    model: Any,
    values: np.ndarray,
    class_names: Sequence[str] | None,
    latent: str | None,
    output: str,
    device: torch.device | str | None,
) -> AuditedClassifier:
    if isinstance(model, AuditedClassifier):
        found = model
        if class_names is not None and tuple(class_names) != model.class_names:
            raise InputError(f"the classifier's classes are {', '.join(model.class_names)}; omit class_names")
    elif isinstance(model, nn.Module):
        kind = Output(kind=output)  # pyright: ignore[reportArgumentType] - checked there
        tries = torch.from_numpy(np.resize(values, (2, *values.shape[1:])))
        where = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        found = AuditedClassifier(
            model, latent=latent, input_shape=values.shape[1:], class_names=class_names, output=kind,
            examples=tries.to(where),
        )  # fmt: skip
    elif callable(model):
        kind = Output(kind=output)  # pyright: ignore[reportArgumentType] - checked there
        found = BlackBox(model, input_shape=values.shape[1:], class_names=class_names, output=kind)
    else:
        raise InputError(
            f"expected a torch.nn.Module, a file, or a function from images to scores, got {type(model).__name__}"
        )
    if tuple(found.input_shape) != values.shape[1:]:
        raise InputError(
            f"the classifier takes images of shape {tuple(found.input_shape)}, these are of shape {values.shape[1:]}"
        )
    return found if device is None else found.to(device)


def _image_set(
    values: np.ndarray,
    labels: Any,
    ids: Sequence[str] | None,
    class_names: Sequence[str] | None,
    bands: Sequence[str] | None,
    *,
    named: bool = True,
) -> ImageSet:
    if ids is None:
        ids = [f"image-{i}" for i in range(len(values))]
    names = tuple(class_names or ())
    found = None if labels is None else _classes(labels, names, len(values))
    bands = tuple(bands) if bands is not None else tuple(f"band {c + 1}" for c in range(values.shape[1]))
    digest = hashlib.sha256(values.tobytes()).hexdigest()
    hashes = {"images": digest}
    if found is not None:
        hashes["labels"] = hashlib.sha256(found.tobytes()).hexdigest()
    return ImageSet(values, found, names, bands, np.asarray([str(one) for one in ids]), provenance=hashes)


def _classes(labels: Any, names: tuple[str, ...], count: int) -> np.ndarray:
    """Labels as integers, shape (N,)."""
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.ndim == 2:
        raise InputError(
            f"expected a label per image, got shape {values.shape}; for one-hot labels use labels.argmax(1)"
        )
    if values.shape != (count,):
        raise InputError(f"{count} images need as many labels, got shape {values.shape}")
    if values.dtype.kind in "US" or values.dtype == object:
        unknown = sorted({str(one) for one in values.tolist()} - set(names))
        if unknown:
            known = f"known are {', '.join(names)}" if names else "name the classes with class_names"
            raise InputError(f"unknown label {unknown[0]!r}; {known}, in the order of the model's scores")
        return np.array([names.index(str(one)) for one in values.tolist()], dtype=np.int64)
    if values.dtype.kind == "f" and (values == values.round()).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "iu":
        raise InputError(f"expected labels as integers or names, got {values.dtype}")
    return values.astype(np.int64)


def _count_names(labels: Any) -> tuple[str, ...]:
    """Names for the classes of integer labels, as many as there are."""
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.dtype.kind not in "iu" or values.ndim != 1 or not len(values):
        return (
            tuple(dict.fromkeys(str(one) for one in values.ravel().tolist())) if values.dtype.kind in "US" else ("0",)
        )
    return tuple(f"class {k}" for k in range(int(values.max()) + 1))


def _name(model: Any) -> str:
    inner = model.module if isinstance(model, AuditedClassifier) else model
    return getattr(inner, "__name__", type(inner).__name__)


def _hash_of(model: Any, classifier: AuditedClassifier, values: np.ndarray) -> str:
    """SHA-256 of the weights; of a function, of its answers to two images, since nothing else of it can be seen."""
    digest = hashlib.sha256(_name(model).encode())
    state = classifier.module.state_dict()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    if not state:
        with torch.inference_mode():
            answers = classifier(torch.from_numpy(values[:2]).to(classifier.device))
        digest.update(answers.cpu().numpy().tobytes())
    return digest.hexdigest()
