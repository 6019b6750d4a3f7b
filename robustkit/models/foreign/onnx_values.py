"""What flows through an ONNX graph while it is written down as a network of PyTorch: constants, and tensors of images.

Shapes are followed on PyTorch's `meta` device, where nothing is computed, with a number of images that no other size of
the graph is a multiple of. So everything that a graph computes of shapes alone is a constant here, and the axis that
counts images shows wherever it goes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.func import functional_call  # pyright: ignore[reportUnknownVariableType]

# How many images are followed through a graph: a prime of which no usual size of a layer is a multiple.
IMAGES = 1009


class NotConverted(Exception):
    """A graph, or a node of it, that cannot be written down; the message says why."""


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that depends on the images.

    Attributes:
        node: What computes it.
        meta: Its shape and type, as the graph sees it.
        axes: The graph sees `node.permute(axes)`: transposes are carried along until something asks for one.
        order: The graph sees `node[:, order]`: the columns of a transposed map that was flattened.
    """

    node: fx.Node
    meta: Tensor
    axes: tuple[int, ...]
    order: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """As the graph sees it."""
        return tuple(self.meta.shape)

    @property
    def own_shape(self) -> tuple[int, ...]:
        """As `node` gives it."""
        return tuple(self.meta.shape[self.axes.index(axis)] for axis in range(len(self.axes)))

    @property
    def as_it_is(self) -> bool:
        """Whether `node` gives what the graph sees."""
        return self.order is None and self.axes == tuple(range(len(self.axes)))

    @property
    def own(self) -> Value:
        """What `node` gives."""
        return _value(self.node, self.meta.new_empty(self.own_shape))


class Writer:
    """Writes down a network, one operation after the other.

    Args:
        shape: (C, H, W) of an image.
        batch: How many images the graph takes, where that is fixed.
    """

    def __init__(self, shape: Sequence[int], batch: int | None) -> None:
        self.batch = batch
        self.root, self.graph = nn.Module(), fx.Graph()
        self._names: set[str] = set()
        node = self.graph.placeholder("images")
        self.start = _value(node, torch.empty(IMAGES, *shape, device="meta"))

    def layer(self, module: nn.Module, source: Value, name: str = "") -> Value:
        """A layer on a tensor as the graph sees it."""
        source = self.plain(source)
        module = module.eval().requires_grad_(False)
        state = {key: tensor.to("meta") for key, tensor in module.state_dict(keep_vars=True).items()}
        meta = self._shape_of(lambda: functional_call(module, state, (source.meta,)))
        name = self._free(name or type(module).__name__.lower())
        self.root.add_module(name, module)
        node = self.graph.call_module(name, (source.node,))
        return _value(node, meta)

    def call(self, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Value:
        """A function of tensors, arrays and numbers, each as the graph sees it."""
        nodes, metas = zip(*(self._argument(argument) for argument in arguments), strict=True)
        meta = self._shape_of(lambda: function(*metas, **settings))
        node = self.graph.call_function(function, tuple(nodes), settings)
        return _value(node, meta)

    def kept(self, module_or_function: Any, source: Value, **settings: Any) -> Value:
        """A layer or function of each number alone, which leaves transposes where they are."""
        if isinstance(module_or_function, nn.Module):
            made = self.layer(module_or_function, source.own)
        else:
            made = self.call(module_or_function, source.own, **settings)
        return Value(made.node, source.meta, source.axes, source.order)

    def plain(self, source: Value) -> Value:
        """A tensor as the graph sees it."""
        if source.as_it_is:
            return source
        if source.order is not None:
            index = self._constant(torch.from_numpy(source.order))
            node = self.graph.call_function(torch.index_select, (source.node, 1, index))
            return _value(node, source.meta)
        if (inner := inner_order(source)) is not None and (np.diff(inner) == 1).all():
            node = self.graph.call_method("reshape", (source.node, -1, *source.shape[1:]))
        else:
            node = self.graph.call_function(torch.permute, (source.node, source.axes))
        return _value(node, source.meta)

    def reshape(self, source: Value, shape: Sequence[int]) -> Value:
        """A tensor in another shape, given in full; the axis that counts images stays open."""
        inner = inner_order(source)
        rows = shape[0] == source.shape[0] == IMAGES
        if inner is not None and rows and not source.as_it_is:
            if (np.diff(inner) == 1).all():  # only axes of length 1 were moved
                source = source.own
            elif len(shape) == 2:
                return replace(self.layer(nn.Flatten(), source.own), order=inner)
        source = self.plain(source)
        if tuple(shape) == source.shape:
            return source
        if len(shape) == 2 and rows:
            return self.layer(nn.Flatten(), source)
        open_axis = next((i for i, size in enumerate(shape) if counts_images(size)), None)
        if open_axis is None:
            raise NotConverted("a reshape mixes images")
        wanted = [*shape[:open_axis], -1, *shape[open_axis + 1 :]]
        node = self.graph.call_method("reshape", (source.node, *wanted))
        return _value(node, source.meta.new_empty(tuple(shape)))

    def transpose(self, source: Value, axes: Sequence[int]) -> Value:
        """A transpose, carried along."""
        if source.order is not None:
            source = self.plain(source)
        return Value(source.node, source.meta.permute(*axes), tuple(source.axes[axis] for axis in axes))

    def _argument(self, argument: Any) -> tuple[Any, Any]:
        if isinstance(argument, Value):
            argument = self.plain(argument)
            return argument.node, argument.meta
        if isinstance(argument, np.ndarray):
            if argument.size == 1 and argument.ndim == 0:
                return argument.item(), argument.item()
            tensor = torch.from_numpy(np.array(argument))
            return self._constant(tensor), tensor.to("meta")
        if isinstance(argument, list | tuple) and any(isinstance(item, Value | np.ndarray) for item in argument):
            pairs = [self._argument(item) for item in argument]
            return [node for node, _ in pairs], [meta for _, meta in pairs]
        return argument, argument

    def _constant(self, tensor: Tensor) -> fx.Node:
        name = self._free("constant")
        self.root.register_buffer(name, tensor.float() if tensor.is_floating_point() else tensor)
        return self.graph.get_attr(name)

    def _shape_of(self, run: Callable[[], Any]) -> Tensor:
        try:
            with torch.no_grad():
                return run()
        except Exception as error:  # torch raises many kinds on shapes that do not fit
            raise NotConverted(f"shapes do not fit ({str(error).strip().splitlines()[0]})") from error

    def _free(self, name: str) -> str:
        name = re.sub(r"\W+", "_", name).strip("_").lower() or "layer"
        name = name if not name[0].isdigit() else f"n{name}"
        taken, count = name, 1
        while taken in self._names or hasattr(self.root, taken):
            count += 1
            taken = f"{name}_{count}"
        self._names.add(taken)
        return taken


def counts_images(size: int) -> bool:
    """Whether an axis of this size has a place for each image."""
    return size % IMAGES == 0


def _value(node: fx.Node, meta: Tensor) -> Value:
    return Value(node, meta, tuple(range(meta.ndim)))


def inner_order(source: Value) -> np.ndarray | None:
    """Where each number of an image lies in `node`'s image; `None` where the axis of images is moved."""
    if source.order is not None or not source.axes or source.axes[0] != 0:
        return None
    sizes = source.own_shape[1:]
    inner = tuple(axis - 1 for axis in source.axes[1:])
    return np.arange(math.prod(sizes)).reshape(sizes).transpose(inner).reshape(-1)
