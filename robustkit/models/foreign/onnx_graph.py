"""An ONNX graph: read with its external data confined, its input and output described, cut at one of its tensors."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from robustkit.data.guard import reading
from robustkit.errors import InputError, SecurityError
from robustkit.extras import require
from robustkit.models.outputs import EndingKind

# What may stand between the final affine layer and the scores.
_PASSED = (
    "Softmax", "LogSoftmax", "Sigmoid", "Identity", "Cast", "Add", "Sub", "Mul", "Div", "Neg", "Reshape", "Flatten",
    "Squeeze", "Unsqueeze", "Transpose", "Clip", "Log", "Dropout", "ReduceMean", "ReduceSum", "GlobalAveragePool",
    "AveragePool",
)  # fmt: skip
_AFFINE = ("Gemm", "MatMul", "Conv", "Einsum", "FusedMatMul", "FusedGemm", "FusedConv")
# More bands than this are taken for a width.
_MOST_BANDS = 16


@dataclass(frozen=True)
class GraphInput:
    """The images of a graph.

    Attributes:
        name: Of the tensor.
        kind: Number of its type in ONNX.
        batch: How many images it takes at once, or `None` for any number.
        bands_last: Whether the bands are the last axis.
        shape: (C, H, W), with `None` for what is free.
    """

    name: str
    kind: int
    batch: int | None
    bands_last: bool
    shape: tuple[int | None, int | None, int | None]


def onnx() -> Any:
    """The package, or which extra brings it."""
    return require("onnx", extra="onnx", purpose="open an ONNX graph")


def read_graph(path: Path) -> Any:
    """Reads a graph with its external data, which must lie beside it.

    Raises:
        SecurityError: If external data are elsewhere, behind a link, or have another name as well.
        InputError: If the file is damaged.
    """
    package = onnx()
    with reading(path, "an ONNX graph"):
        model = package.load(str(path), load_external_data=False)
        if not model.graph.node:
            raise InputError(f"{path} is an ONNX file without any node; it is damaged or of another kind")
        for tensor in _tensors(model):
            if tensor.data_location == package.TensorProto.EXTERNAL:
                _check_external(path, {entry.key: entry.value for entry in tensor.external_data})
        package.load_external_data_for_model(model, str(path.parent))
    return model


def _tensors(model: Any) -> Iterator[Any]:
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes += graph.node
        for node in nodes:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)
                graphs += [attribute.g, *attribute.graphs]
        nodes = []
        graphs = [graph for graph in graphs if graph.node or graph.initializer]


def _check_external(path: Path, entry: dict[str, str]) -> None:
    location = entry.get("location", "")
    parts = PurePosixPath(location.replace("\\", "/")).parts
    if not parts or location.startswith(("/", "\\")) or ".." in parts or ":" in location:
        raise SecurityError(f"{path} keeps weights at {location[:80]!r}, outside of its own folder; do not use it")
    place = path.parent
    for part in parts:
        place = place / part
        if place.is_symlink():
            raise SecurityError(f"{path} keeps weights behind the link {place}; put the file itself there")
    if not place.is_file():
        raise InputError(f"{path} keeps weights in {location}, which is not beside it; fetch that file too")
    about = place.stat()
    if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
        raise SecurityError(f"{place} has another name too (a hard link), so it may be any file; copy it instead")
    end = int(entry.get("offset", 0)) + int(entry.get("length", 0))
    if end > about.st_size or int(entry.get("offset", 0)) < 0:
        raise InputError(f"{place} has {about.st_size:,} bytes and {end:,} are needed; it is truncated")


def describe_input(path: Path, model: Any) -> GraphInput:
    """The one input of a graph, images of four axes.

    Raises:
        InputError: If it has others.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise InputError(f"{path} takes {len(inputs)} inputs ({names}); expected images alone")
    kind = inputs[0].type.tensor_type
    sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim]
    proto = onnx().TensorProto
    if len(sizes) != 4 or kind.elem_type not in (proto.FLOAT, proto.FLOAT16, proto.DOUBLE):
        shape = " x ".join(str(size or "?") for size in sizes)
        raise InputError(f"{path} takes {inputs[0].name} of shape {shape}; expected images N x C x H x W of floats")
    batch, one, two, three = sizes
    last = three is not None and three <= _MOST_BANDS and (one is None or one > three)
    shape = (three, one, two) if last else (one, two, three)
    return GraphInput(inputs[0].name, kind.elem_type, batch, last, shape)


def propose_latent(model: Any, output: str) -> str | None:
    """The tensor that the final affine layer before an output takes, or `None`."""
    producers = {name: node for node in model.graph.node for name in node.output}
    weights = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:  # what is computed of weights alone, as of those in eight bits
        if all(source in weights for source in node.input if source):
            weights |= set(node.output)
    name = output
    while name in producers:
        node = producers[name]
        data = [source for source in node.input if source and source not in weights]
        if node.op_type in _AFFINE:
            return data[0] if len(data) == 1 and data[0] in producers else None
        if node.op_type not in _PASSED or len(data) != 1:
            return None
        name = data[0]
    return None


@dataclass(frozen=True)
class Ending:
    """A softmax or sigmoid at the end of a graph.

    Attributes:
        kind: `softmax`, `log_softmax` or `sigmoid`.
        tensor: What it takes.
        words: What is said of it.
    """

    kind: EndingKind
    tensor: str
    words: str


def scores_before(model: Any, output: str) -> Ending | None:
    """The softmax or sigmoid over the classes that an output ends in, or `None`."""
    producers = {name: node for node in model.graph.node for name in node.output}
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 13)
    name = output
    while name in producers and producers[name].op_type in ("Identity", "Cast"):
        name = producers[name].input[0]
    node = producers.get(name)
    kinds: dict[str, EndingKind] = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}
    if node is None or node.op_type not in kinds or node.input[0] not in producers:
        return None
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1 if opset < 13 else -1)
    if node.op_type != "Sigmoid" and axis not in (1, -1):
        return None
    text = f"the {node.op_type} at the end is cut off: its input, {node.input[0]}, is taken as the logits"
    return Ending(kinds[node.op_type], node.input[0], text)


def cut(model: Any, start: str, start_kind: int, ends: Sequence[str], *, bare: str = "") -> Any:
    """The part of a graph from one tensor to others, as a graph of its own.

    Args:
        model: The whole.
        start: The tensor that the part takes.
        start_kind: Its type.
        ends: The tensors that it returns.
        bare: The input of the whole graph, where the part must not need it.

    Raises:
        InputError: If a tensor is not there, or the part needs the images too.
    """
    helper = onnx().helper
    producers = {name: node for node in model.graph.node for name in node.output}
    for name in ends:
        if name not in producers:
            shown = ", ".join(list(producers)[-12:])
            raise InputError(f"the graph has no tensor {name!r}; near its end there are {shown}")
    needed, stack, used = set(), list(ends), set()
    while stack:
        name = stack.pop()
        used.add(name)
        if name == start or name not in producers or producers[name].output[0] in needed:
            continue
        node = producers[name]
        needed.add(node.output[0])
        stack += [source for source in _sources(node) if source]
    if bare and bare in used and bare != start:
        raise InputError(
            f"the network's output does not follow from the tensor {start!r} alone: a path leads around it; name a "
            "later one with --latent"
        )
    nodes = [node for node in model.graph.node if node.output[0] in needed]
    taken = helper.make_tensor_value_info(start, start_kind, None)
    if start == bare or not bare:
        taken = next((value for value in model.graph.input if value.name == start), taken)
    unknown = [onnx().ValueInfoProto(name=name) for name in ends]
    known = {value.name: value for value in (*model.graph.output, *model.graph.value_info)}
    graph = helper.make_graph(
        nodes,
        "part",
        [taken],
        [known.get(value.name, value) for value in unknown],
        [tensor for tensor in model.graph.initializer if tensor.name in used],
    )
    made = helper.make_model(graph, opset_imports=model.opset_import, functions=model.functions)
    made.ir_version = model.ir_version
    return made


def _sources(node: Any) -> Iterator[str]:
    """What a node reads, inside of its branches too."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _sources(inner)
