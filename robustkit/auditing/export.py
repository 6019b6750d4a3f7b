"""What `robustkit export` does: one file for other programs, front end and network together."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from robustkit.errors import InputError
from robustkit.models import ModelOptions, open_model
from robustkit.models.exporting import export_onnx, export_torchscript
from robustkit.runs.opening import open_sample
from robustkit.runs.selection import Selection

_IMAGES = 16


def export_model(
    model: str | os.PathLike[str],
    options: ModelOptions | None = None,
    *,
    onnx: str | os.PathLike[str] | None = None,
    torchscript: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Writes a model as ONNX, TorchScript or both, and proves that the files answer as the model does.

    Args:
        model: The model.
        options: What the user says about it.
        onnx: The ONNX file.
        torchscript: The TorchScript file.
        data: Images to prove it on; those of the checkpoint where it says where they are.
        say: Receives progress messages.

    Raises:
        InputError: If neither file is named, one exists, or the model cannot be exported.
    """
    if onnx is None and torchscript is None:
        raise InputError("name a file to write with --onnx or --torchscript")
    options = options or ModelOptions()
    images, where = None, "random images"
    try:
        draw = Selection(n=_IMAGES, data=data, part="all", take_all=True, options=options)
        sample = open_sample(model, draw, say=lambda line: None, check=False)
        checkpoint, images, where = sample.checkpoint, sample.images, f"{len(sample)} images of {sample.path}"
    except InputError:
        if data is not None:
            raise
        checkpoint = open_model(Path(model), options)
    for path, form, write in ((onnx, "ONNX", export_onnx), (torchscript, "TorchScript", export_torchscript)):
        if path is not None:
            apart = write(checkpoint, path, images)
            say(f"{path}: {form}, at most {apart:.1e} from the model on {where}, in batches of 1 and 3")
    front = checkpoint.card.front
    behind = f", through the front end {front['name']}" if front else ""
    bands = ", ".join(checkpoint.card.bands)
    say(f"from network input ({bands}; {checkpoint.card.stretch['name']} stretch) to scores{behind}")
