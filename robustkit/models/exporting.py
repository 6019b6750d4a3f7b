"""A model as one file for other programs, ONNX or TorchScript: front end and network together, proved the same."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustkit.errors import InputError, first_line
from robustkit.extras import require
from robustkit.files import clear_beside, unfinished_file
from robustkit.models.checkpoint import Checkpoint
from robustkit.models.fronts.base import flagged, without_class

# How far the scores of the file may lie from the model's, relative to the largest: float32 rounding and no more.
_TOLERANCE = 1e-4
# Batches that the file must answer.
_BATCHES = (1, 3)
_OPSET = 17


class _Scores(nn.Module):
    """A model that returns its scores and nothing else.

    Args:
        checkpoint: The model.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.module, self._select = checkpoint.classifier.module, checkpoint.classifier.output.select
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to scores (N, K), which are not a number for an image that is flagged."""
        return without_class(self._select(self.module(images)), flagged(self.module, images))


def export_onnx(checkpoint: Checkpoint, path: str | os.PathLike[str], images: Tensor | None = None) -> float:
    """Writes a model as an ONNX graph from network input (N, C, H, W) to scores (N, K).

    Bands, classes, stretch and front end are in its metadata.

    Args:
        checkpoint: The model, on the CPU.
        path: The file, which must not exist.
        images: Network input to prove it on, beside random values; at least 3.

    Returns:
        The largest difference of a score between the model and what the file answers in onnxruntime.

    Raises:
        InputError: If the model cannot be exported, or the file answers differently; nothing is left then.
        MissingExtra: If onnx or onnxruntime is not installed.
    """
    onnx = require("onnx", extra="onnx", purpose="write an ONNX graph")
    runtime = require("onnxruntime", extra="onnx", purpose="prove an ONNX graph")

    def write(module: nn.Module, example: Tensor, place: str) -> None:
        how: dict[str, Any] = {"dynamo": False, "opset_version": _OPSET}
        how |= {"input_names": ["images"], "output_names": ["scores"]}
        how |= {"dynamic_axes": {"images": {0: "n"}, "scores": {0: "n"}}}
        torch.onnx.export(module, (example,), place, **how)
        graph = onnx.load(place)
        for name, value in _about(checkpoint).items():
            entry = graph.metadata_props.add()
            entry.key, entry.value = name, json.dumps(value)
        onnx.save(graph, place)

    def opened(place: str) -> Callable[[Tensor], Tensor]:
        settings = runtime.SessionOptions()
        settings.log_severity_level = 4
        session = runtime.InferenceSession(place, settings, providers=["CPUExecutionProvider"])
        return lambda batch: torch.from_numpy(np.asarray(session.run(None, {"images": batch.numpy()})[0]))

    return _export(checkpoint, Path(path), images, write, opened)


def export_torchscript(checkpoint: Checkpoint, path: str | os.PathLike[str], images: Tensor | None = None) -> float:
    """Writes a model as TorchScript, which `torch.jit.load` opens where robustkit is not installed.

    Args:
        checkpoint: The model, on the CPU.
        path: The file, which must not exist.
        images: As for `export_onnx`.

    Returns:
        The largest difference of a score.

    Raises:
        InputError: As `export_onnx`.
    """

    def write(module: nn.Module, example: Tensor, place: str) -> None:
        with torch.no_grad():
            traced: Any = torch.jit.trace(module, example, check_trace=False)
        about = {f"{name}.json": json.dumps(value) for name, value in _about(checkpoint).items()}
        torch.jit.save(traced, place, _extra_files=about)

    def opened(place: str) -> Callable[[Tensor], Tensor]:
        loaded: Any = torch.jit.load(place)
        return loaded

    return _export(checkpoint, Path(path), images, write, opened)


def _export(
    checkpoint: Checkpoint,
    path: Path,
    images: Tensor | None,
    write: Callable[[nn.Module, Tensor, str], None],
    opened: Callable[[str], Callable[[Tensor], Tensor]],
) -> float:
    if path.exists():
        raise InputError(f"{path} exists and nothing is overwritten; name another file")
    module, tried = _Scores(checkpoint), _tried(checkpoint, images)
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_beside(path)
    with unfinished_file(path) as (_, temporary), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters are deprecated; the new one needs a package that we do not
        try:
            write(module, tried[:2], temporary)
            run = opened(temporary)
        except Exception as error:  # the network's own code, and layers that the format has no word for
            raise InputError(f"the model cannot be exported: {first_line(error)}") from error
        apart = max(_apart(module, run, tried, count) for count in _BATCHES)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    return apart


@torch.inference_mode()
def _apart(module: nn.Module, run: Callable[[Tensor], Tensor], images: Tensor, count: int) -> float:
    """How far the file's scores lie from the model's, in batches of so many."""
    mine, its = (torch.cat([scores(batch.clone()) for batch in images.split(count)]) for scores in (module, run))
    known = mine.isfinite()
    same = mine.shape == its.shape and bool((known == its.isfinite()).all())  # what is flagged is flagged
    mine, its = (torch.where(known, one, 0) for one in (mine, its)) if same else (mine, its)
    apart = float((mine - its).abs().max()) if same else torch.inf
    if not apart <= _TOLERANCE * float(mine.abs().max()):
        raise InputError(
            f"the exported file answers {apart:.3g} away from the model in batches of {count}, so nothing was written; "
            "the network branches on its input, or uses a layer that the format does otherwise"
        )
    return apart


def _tried(checkpoint: Checkpoint, images: Tensor | None) -> Tensor:
    """Images, and random values within the range of the training data, of which some are at its ends."""
    low, high = (torch.tensor(ends)[:, None, None] for ends in zip(*checkpoint.card.input_range, strict=True))
    unit = torch.rand(8, *checkpoint.card.input_shape, generator=torch.Generator().manual_seed(0))
    unit[::2] = (1.4 * unit[::2] - 0.2).clamp(0, 1)
    random = (low + (high - low) * unit).float()
    return random if images is None else torch.cat([images.float(), random])


def _about(checkpoint: Checkpoint) -> dict[str, Any]:
    """What has to be known to use the file."""
    card = checkpoint.card
    return {
        "classes": list(checkpoint.classifier.class_names),
        "bands": list(card.bands),
        "stretch": card.stretch,
        "front": card.front,
        "scores": checkpoint.classifier.output.kind,
        "sha256": checkpoint.origin.sha256,
    }
