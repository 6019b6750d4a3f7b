"""The exact change that each cell makes in an early layer, for all cells in few forward passes.

A pixel changes only a window of an early layer's output. Pixels whose windows do not meet can be combined in one
image: with lattices of spacing s, s x s images per option show the windows of all pixels. It works for any network,
because only the layer's output is used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from robustkit.models import AuditedClassifier
from robustkit.perturb.values import ValueSet


@dataclass(frozen=True, eq=False)
class Lattice:
    """A layer with local receptive fields, and how far apart pixels must be to be separated in it.

    Attributes:
        spacing: Pixels this far apart have windows that do not meet.
        rows: First and one past the last row of the window of each pixel row, shape (2, H), int64.
        columns: The same for columns, shape (2, W).
    """

    layer: nn.Module
    spacing: int
    rows: Tensor
    columns: Tensor


def find_lattice(classifier: AuditedClassifier, image: Tensor, options: int, effort: float) -> Lattice | None:
    """The deepest layer that can be probed for all cells of an image within the effort.

    Args:
        classifier: The classifier.
        image: A clean image, shape (1, C, H, W).
        options: V.
        effort: Work that may be spent on one image, in forward passes of the whole network.

    Returns:
        The lattice, or `None` if no layer is local enough or the network bypasses those that are.
    """
    height, width = image.shape[2:]
    # What a NaN reaches is what the pixel can change. On the diagonal, one image shows one row and one column.
    diagonal = torch.arange(max(height, width), device=image.device)
    probes = image.repeat(len(diagonal), 1, 1, 1)
    probes[diagonal, :, diagonal.clamp(max=height - 1), diagonal.clamp(max=width - 1)] = torch.nan
    work = _work(classifier, image)
    found: list[Lattice] = []

    def look(module: nn.Module, output: Tensor, done: int) -> bool:
        reached = output.isnan().any(1)
        rows, columns = _windows(reached.any(2))[:, :height], _windows(reached.any(1))[:, :width]
        lattice = Lattice(module, max(_spacing(rows), _spacing(columns)), rows, columns)
        affordable = lattice.spacing**2 * options * done <= effort * work
        if affordable and lattice.spacing < min(height, width):
            found.append(lattice)
        return affordable

    _watch(classifier, probes, look)
    return next((lattice for lattice in reversed(found) if _is_cut(classifier, image, lattice.layer)), None)


@torch.no_grad()
def lattice_change(
    classifier: AuditedClassifier, images: Tensor, values: ValueSet, slope: Tensor, lattice: Lattice
) -> Tensor:
    """Slope at the layer times the exact change there, for every cell.

    Args:
        classifier: The classifier.
        images: Clean images, shape (B, C, H, W).
        values: What a pixel may become.
        slope: Gradients at the layer's output, shape (B, J, C', H', W').
        lattice: The layer and its windows.

    Returns:
        Shape (B, J, H, W, V).
    """
    height, width = images.shape[2:]
    s, device = lattice.spacing, images.device
    column = torch.arange(width, device=device)
    clean = images.permute(0, 2, 3, 1)
    before = _output(classifier, images, lattice.layer)
    change = slope.new_empty((*slope.shape[:2], height, width, values.size))
    for option in range(values.size):
        index = torch.full(clean.shape[:3], option, device=device)
        changed = values.option(clean, index).permute(0, 3, 1, 2)
        for first in range(min(s, height)):
            painted = images[:, None].repeat(1, s, 1, 1, 1)  # (B, s, C, H, W), one image for each phase of the columns
            for phase in range(s):
                painted[:, phase, :, first::s, phase::s] = changed[:, :, first::s, phase::s]
            after = _output(classifier, painted.flatten(0, 1), lattice.layer).unflatten(0, (-1, s))
            effect = torch.einsum("bpchw,bjchw->bpjhw", after - before[:, None], slope)
            total = nn.functional.pad(effect, (1, 0, 1, 0)).cumsum(3).cumsum(4)
            # The sum over a window is a difference of four corners of the running total.
            top, bottom = lattice.rows[:, first::s]
            left, right = lattice.columns
            band = total[..., bottom, :] - total[..., top, :]
            window = band[..., right] - band[..., left]  # (B, s, J, rows, W)
            change[:, :, first::s, :, option] = window[:, column % s, :, :, column].permute(1, 2, 3, 0)
    return change


@contextmanager
def replaced(layer: nn.Module) -> Generator[list[Tensor]]:
    """Cuts the graph at a layer: its output is handed on as a new leaf, which the list then holds."""
    seen: list[Tensor] = []

    def cut(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1].clone()  # a leaf itself could not be changed in place by the next layer

    handle = layer.register_forward_hook(cut)
    try:
        yield seen
    finally:
        handle.remove()


class _Stop(Exception):
    """Ends a forward pass that has gone far enough."""


def _output(classifier: AuditedClassifier, images: Tensor, layer: nn.Module) -> Tensor:
    """A layer's output; later layers are not run."""
    seen: list[Tensor] = []

    def stop(module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen.append(output)
        raise _Stop

    handle = layer.register_forward_hook(stop)
    try:
        classifier.module(images)
    except _Stop:
        pass
    finally:
        handle.remove()
    return seen[0]


@torch.no_grad()
def _watch(classifier: AuditedClassifier, images: Tensor, look: Callable[[nn.Module, Tensor, int], bool]) -> None:
    """Shows every layer that returns maps, with its output and the work done up to it, until `look` returns False."""
    handles = []
    with FlopCounterMode(display=False) as counter:

        def show(module: nn.Module, inputs: Any, output: Any) -> None:
            done = counter.get_total_flops() // len(images)
            if isinstance(output, Tensor) and output.ndim == 4 and not look(module, output, done):
                raise _Stop

        try:
            for module in classifier.module.modules():
                handles.append(module.register_forward_hook(show))
            classifier.module(images)
        except _Stop:
            pass
        finally:
            for handle in handles:
                handle.remove()


@torch.no_grad()
def _work(classifier: AuditedClassifier, image: Tensor) -> int:
    """Work of one forward pass, in floating-point operations."""
    with FlopCounterMode(display=False) as counter:
        classifier.module(image)
    return counter.get_total_flops()


def _windows(reached: Tensor) -> Tensor:
    """First and one past the last place that each probe reaches, (P, S) bool to (2, P); 0, 0 where it reaches none."""
    size = reached.shape[1]
    place = torch.arange(size, device=reached.device)
    stop = torch.where(reached, place + 1, 0).amax(1)
    start = torch.where(reached, place, size).amin(1).minimum(stop)
    return torch.stack([start, stop])


def _spacing(windows: Tensor) -> int:
    """The smallest distance at which no two windows meet, (2, S)."""
    start, stop = windows
    some = stop > start
    for spacing in range(1, len(start)):
        both = some[:-spacing] & some[spacing:]
        if not bool((both & (stop[:-spacing] > start[spacing:])).any()):
            return spacing
    return len(start)


def _is_cut(classifier: AuditedClassifier, image: Tensor, layer: nn.Module) -> bool:
    """Whether the layer runs once and the logits depend on the image through it alone."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = image.clone().requires_grad_()
        with replaced(layer) as seen:
            logits = classifier(leaf)
        return len(seen) == 1 and torch.autograd.grad(logits.sum(), leaf, allow_unused=True)[0] is None
