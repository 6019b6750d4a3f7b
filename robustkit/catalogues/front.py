"""`rk.predict` and `rk.flag`: what the commands do, on a live network and arrays, in one call each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from robustkit.catalogues.flag import Flag
from robustkit.catalogues.flag_request import FlagRequest
from robustkit.catalogues.predict import OfObjects, Predict, PredictRequest, folder_of
from robustkit.errors import InputError
from robustkit.progress import quiet
from robustkit.runs.arrays import Model, sample_of
from robustkit.runs.measurement import start
from robustkit.runs.running import run_measurement
from robustkit.words import no_such

if TYPE_CHECKING:
    from robustkit.catalogues.flags import Flags
    from robustkit.catalogues.predictions import Predictions

# What describes the model and the images, as `sample_of` takes it.
_SAMPLE = ("ids", "class_names", "bands", "latent", "output", "options", "device")
_RUN = ("shard", "executor", "mix", "say")


def predict(
    model: Model,
    images: Any = None,
    *,
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    columns: Sequence[str] = (),
    **more: Any,
) -> Predictions:
    """Predicts the class of every image; no labels are needed.

    Args:
        model: A `torch.nn.Module` in evaluation mode, a checkpoint or ONNX file, an `AuditedClassifier`, or a function
            from float32 images, shape (N, C, H, W), to scores, shape (N, K).
        images: What the model takes, shape (N, C, H, W), NumPy or torch; calibrated values for a checkpoint with a
            stretch.
        data: The path of an image set instead, for a model in a file; read a block at a time.
        out: A table to write, `.fits`, `.parquet` or `.csv`; by default nothing is written.
        columns: Columns of a catalogue to carry along; `catalogue` and `id_column` say where they are.
        **more: `ids`, `class_names`, `bands`, `latent`, `output`, `options` and `device`, which describe model and
            images (see `robustkit.runs.arrays.sample_of`); `part`, `group` and more (see `PredictRequest`); and with
            `out` also `shard`, `executor`, `mix` and `say` (see `robustkit.runs.running`).

    Returns:
        What was found: `classes`, `probabilities`, `columns()`, `summary()`, `to_pandas()`, `plot()`.

    Raises:
        InputError: If the model, images or settings do not fit each other.
    """
    return _objects(Predict, PredictRequest, model, images, {"data": data, "columns": columns, "table": out, **more})


def flag(
    model: Model,
    images: Any = None,
    *,
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    columns: Sequence[str] = (),
    **more: Any,
) -> Flags:
    """Says of every image how far its class is to be trusted, with one rank; no labels are needed.

    Args:
        model: As for `predict`.
        images: As for `predict`.
        data: As for `predict`.
        out: As for `predict`.
        columns: As for `predict`.
        **more: As for `predict`; and `perturbations`, `suite`, `severity`, `reference`, `conformal`, `least_change` and
            `seed` (see `FlagRequest`).

    Returns:
        What was found: `rank`, `columns()`, `summary()`, `to_pandas()`, `plot()`.

    Raises:
        InputError: If the model, images or settings do not fit each other.
    """
    return _objects(Flag, FlagRequest, model, images, {"data": data, "columns": columns, "table": out, **more})


def _objects(kind: type[OfObjects], request: type[Any], model: Any, images: Any, more: dict[str, Any]) -> Any:
    about = {name: more.pop(name) for name in _SAMPLE if name in more}
    how = {name: more.pop(name) for name in _RUN if name in more}
    known = set(request.__dataclass_fields__)
    unknown = sorted(set(more) - known)
    if unknown:
        raise InputError(no_such("argument", unknown[0], sorted({*known, *_SAMPLE, *_RUN})))
    if images is not None and more.get("data") is not None:
        raise InputError("give images or the path of a set as data, and not both")
    if images is None and not isinstance(model, str | os.PathLike):
        raise InputError("give the images; only a model in a file says, or is told with data, where its own are")
    settings = request(**more, options=about.get("options"))
    opened = model if images is None else sample_of(model, images, **about)
    device, say = about.get("device"), how.pop("say", quiet)
    if settings.table is not None:
        out = folder_of(settings, None, how.get("shard"))
        return run_measurement(kind, opened, settings, out=out, device=device, resume=True, say=say, **how)
    measurement = start(kind, opened, settings, device, say)
    measurement.rehearse()
    return measurement.found()
