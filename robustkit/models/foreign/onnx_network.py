"""An ONNX graph as a network of two parts, features and head: of PyTorch, or each run by onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from robustkit.data.guard import brief, reading
from robustkit.errors import InputError, NoGraph
from robustkit.extras import require
from robustkit.files import sha256_file
from robustkit.models.foreign import kinds
from robustkit.models.foreign.found import Found
from robustkit.models.foreign.onnx_apart import try_apart
from robustkit.models.foreign.onnx_graph import (
    GraphInput,
    cut,
    describe_input,
    onnx,
    propose_latent,
    read_graph,
    scores_before,
)
from robustkit.models.foreign.onnx_torch import convert, prove
from robustkit.models.foreign.onnx_values import NotConverted
from robustkit.models.foreign.options import ModelOptions
from robustkit.models.foreign.shown import Shown
from robustkit.models.outputs import check_ending, choose_part, describe
from robustkit.models.probing import to_bands

_TRACED = (1, 2, 4, 8, 16, 32, 64)  # images with which a network is traced


class OnnxPart(nn.Module):
    """A graph, run on batches of any size; one of a fixed batch is filled up by repeating the last row.

    Args:
        model: The graph.
        batch: How many rows it takes at once, or `None` for any number.
        bands_last: Whether it takes images with the bands as the last axis.
        name: Of the file, for errors.
    """

    def __init__(self, model: Any, *, batch: int | None, bands_last: bool, name: Path) -> None:
        super().__init__()
        runtime = require("onnxruntime", extra="onnx", purpose="run an ONNX graph")
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        settings.log_severity_level = 4
        with reading(name, "an ONNX graph"):
            try:
                self._session = runtime.InferenceSession(
                    model.SerializeToString(), settings, providers=["CPUExecutionProvider"],
                    enable_fallback=0,  # which prints what the file says
                )  # fmt: skip
            except Exception as error:
                if type(error).__name__ != "NotImplemented":
                    raise
                raise InputError(
                    f"onnxruntime has no code on a CPU for a node of {name} ({brief(error)}); the graph is whole, so "
                    "export it in float32, or with common operators"
                ) from error
        taken = self._session.get_inputs()[0]
        self._input = taken.name
        self._type = {"tensor(double)": np.float64, "tensor(float16)": np.float16}.get(taken.type, np.float32)
        returned = self._session.get_outputs()
        self.outputs = [output.name for output in returned]
        self.output_type: str = returned[0].type
        self.batch, self.bands_last = batch, bands_last
        self.eval()

    def forward(self, values: Tensor) -> Any:
        """The outputs for a batch; one alone comes as a tensor."""
        if isinstance(values, fx.Proxy):
            raise NoGraph("an ONNX graph runs outside of PyTorch")
        array = values.detach().cpu().numpy()
        if self.bands_last:
            array = np.moveaxis(array, 1, -1)
        array = np.ascontiguousarray(array, dtype=self._type)
        step = self.batch or len(array)
        parts = [self._run(array[start : start + step]) for start in range(0, len(array), max(step, 1))]
        joined = [torch.from_numpy(np.concatenate(columns)).to(values.device) for columns in zip(*parts, strict=True)]
        floats = [part.float() if part.is_floating_point() else part for part in joined]
        return floats[0] if len(floats) == 1 else floats

    def _run(self, rows: np.ndarray) -> list[np.ndarray]:
        count = len(rows)
        if self.batch is not None and count < self.batch:
            rows = np.concatenate([rows, np.repeat(rows[-1:], self.batch - count, 0)])
        try:
            outputs = self._session.run(None, {self._input: rows})
        except Exception as error:  # onnxruntime has its own kinds of errors
            raise InputError(f"the ONNX graph refuses a batch of shape {rows.shape}: {brief(error)}") from error
        found = [np.asarray(output) for output in outputs]
        # An output of another length is no answer for each image; the split classifier says so.
        return [output[:count] if output.ndim and len(output) == len(rows) else output for output in found]

    def __deepcopy__(self, memo: Any) -> OnnxPart:
        raise NoGraph("an ONNX graph runs outside of PyTorch")


class OnnxNetwork(nn.Module):
    """Features and head of a graph, cut at its latent tensor.

    Args:
        features: From images to latents.
        head: From latents to scores.
    """

    def __init__(self, features: OnnxPart, head: OnnxPart) -> None:
        super().__init__()
        self.features, self.head = features, head
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to scores."""
        return self.head(self.features(images))


def open_onnx(path: Path, options: ModelOptions, shown: Callable[[], Shown | None] = lambda: None) -> Found:
    """Opens an ONNX graph: as a network of PyTorch where that is proved to be the same, or else by onnxruntime.

    The output is chosen by what the labelled images say, a softmax at its end is cut off, and the latent is one of the
    graph's tensors.

    Args:
        path: The file.
        options: What the user says about it.
        shown: Some of the images that it is used on.

    Raises:
        InputError: If the graph is damaged, takes something else than images, or leaves a choice open.
        SecurityError: If its external data lie elsewhere.
        MissingExtra: If onnx or onnxruntime is not installed.
    """
    model = read_graph(path)
    taken = describe_input(path, model)
    how: dict[str, Any] = {"batch": taken.batch, "bands_last": taken.bands_last, "name": path}
    real = shown()
    shape = _shape(path, taken, options, real)
    try_apart(path, taken.batch, shape, bands_last=taken.bands_last)
    whole = OnnxPart(model, **how)
    probes = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    if taken.batch is None and (inside := _batch_inside(model, how, whole, probes)) is not None:
        taken, how["batch"] = replace(taken, batch=inside), inside
        whole = OnnxPart(model, **how)
    notes = [_describe(taken)]
    index = _output(path, whole, probes, options, real, notes)
    output = whole.outputs[index]
    found = Found(whole, kinds.ONNX.name, sha256_file(path), notes, input_shape=shape, chosen=True)
    ending = None if options.tolerance is not None else scores_before(model, output)
    if ending is not None:
        output = ending.tensor
        found.output_kind = "logits"
        notes.append(ending.words)
    scores = OnnxPart(cut(model, taken.name, taken.kind, [output]), **how)
    if ending is not None:
        check_ending(ending.kind, scores(probes), whole_output(whole(probes), index))
    latent = options.latent or propose_latent(model, output)
    if options.latent is not None:
        cut(model, taken.name, taken.kind, [options.latent])
        cut(model, options.latent, taken.kind, [output], bare=taken.name)  # which refuses what is no latent
    elif latent is not None:
        notes.append(f"latent: the tensor {latent}, which the final affine layer takes; name another with --latent")
    try:
        network = convert(model, taken, shape, output, latent)
        prove(network, scores, probes if real is None else torch.cat([probes, real.images[:8]]))
        found.network, found.latent_name = network, latent
        found.latent = None if latent is None else "features"
        notes.append(
            "the graph runs as a network of PyTorch, which answers as onnxruntime does on real images"
            if real is not None
            else "the graph runs as a network of PyTorch, which answers as onnxruntime does"
        )
        return found
    except NotConverted as reason:
        notes.append(f"the graph stays with onnxruntime, without gradients and at a fraction of the speed: {reason}")
    if latent is None:
        found.network, found.black_box = scores, True
        notes.append("no affine layer ends the graph; name a tensor with --latent for what needs one")
        return found
    features = OnnxPart(cut(model, taken.name, taken.kind, [latent]), **how)
    kind = onnx().helper.np_dtype_to_tensor_dtype(_type_of(features, shape))
    head = OnnxPart(cut(model, latent, kind, [output], bare=taken.name), batch=taken.batch, bands_last=False, name=path)
    found.network, found.latent, found.latent_name = OnnxNetwork(features, head), "features", latent
    return found


def _batch_inside(model: Any, how: dict[str, Any], whole: OnnxPart, probes: Tensor) -> int | None:
    """The batch that a tracer wrote into a graph which says that it takes any; `None` where it takes any."""

    def takes(part: OnnxPart, images: Tensor) -> bool:
        try:
            returned = part(images)
        except InputError:
            return False
        parts = [returned] if isinstance(returned, Tensor) else returned
        return all(len(one) == len(images) for one in parts if one.ndim)

    if takes(whole, probes):
        return None
    for size in _TRACED:
        tried: dict[str, Any] = {**how, "batch": size}
        if takes(OnnxPart(model, **tried), probes):
            return size
    return None


def _shape(path: Path, taken: GraphInput, options: ModelOptions, real: Shown | None) -> tuple[int, int, int]:
    bands, height, width = taken.shape
    given = None if real is None else real.images.shape
    size = options.input_size or (height or (given[2] if given else 64), width or (given[3] if given else 64))
    for mine, its in zip(size, (height, width), strict=True):
        if its is not None and mine != its:
            raise InputError(f"{path} takes images of {height}x{width}, and --input-size says {size[0]}x{size[1]}")
    bands = bands or (len(options.bands) if options.bands else given[1] if given else 3)
    if given is not None and given[1:] != (bands, *size):
        its, mine = (f"{n} band{'s' * (n > 1)} of {h}x{w}" for n, h, w in (given[1:], (bands, *size)))
        advice = (
            to_bands(bands, given[1]) if bands != given[1] else f"bring them there with --resize {size[0]} {size[1]}"
        )
        raise InputError(f"{path} takes images of {mine}, and the images have {its}; {advice}")
    return bands, size[0], size[1]


def _describe(taken: GraphInput) -> str:
    bands, height, width = (str(size or "any") for size in taken.shape)
    text = f"images: {bands} band{'s' * (bands != '1')} of {height}x{width}"
    if taken.bands_last:
        text += ", with the bands as the last axis"
    return text + (f"; the batch is fixed at {taken.batch}, and smaller ones are filled up" if taken.batch else "")


def _output(
    path: Path, whole: OnnxPart, probes: Tensor, options: ModelOptions, real: Shown | None, notes: list[str]
) -> int:
    """Which output holds the scores: as said, or by what the labelled images say, never by its name."""
    if options.output_key is not None:
        if options.output_key not in whole.outputs:
            raise InputError(f"{path} has no output {options.output_key!r}; it has {', '.join(whole.outputs)}")
        return whole.outputs.index(options.output_key)
    if options.output_index is not None:
        if not 0 <= options.output_index < len(whole.outputs):
            raise InputError(f"{path} has {len(whole.outputs)} outputs; --output-index counts them from 0")
        return options.output_index
    if len(whole.outputs) == 1:
        return 0
    names = options.class_names
    classes = len(names) if names else None if real is None else real.classes
    classes = classes if options.tolerance is None else 1
    returned = whole(probes if real is None else real.images)
    choice = choose_part(returned, classes, None if real is None else real.labels)
    if choice is None or not isinstance(choice.part, int):
        shown = ", ".join(f"{i} is {name}" for i, name in enumerate(whole.outputs))
        raise InputError(
            f"{path} returns {describe(returned)}; say which holds the scores with --output-index ({shown})"
        )
    notes.append(f"output: {whole.outputs[choice.part]}, number {choice.part} of {len(whole.outputs)}, {choice.why}")
    return choice.part


def whole_output(returned: Any, index: int) -> Tensor:
    """One of the outputs of a graph."""
    return returned if isinstance(returned, Tensor) else returned[index]


def _type_of(features: OnnxPart, shape: tuple[int, int, int]) -> np.dtype:
    return {"tensor(double)": np.dtype(np.float64), "tensor(float16)": np.dtype(np.float16)}.get(
        features.output_type, np.dtype(np.float32)
    )
