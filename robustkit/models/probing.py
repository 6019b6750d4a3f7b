"""What images a network takes, found by trying, and a way around networks that cannot take one alone."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.jit import ScriptModule

from robustkit.errors import InputError, first_line

# Sides of square images, the usual ones of galaxy classifiers and of image networks; the first that fits is taken.
SIDES = (100, 64, 224, 75, 128, 96, 69, 80, 84, 120, 150, 160, 192, 200, 256, 299, 300, 384, 424, 48, 50, 32, 28, 512)


# Sizes of a batch with which a network is traced or exported, but for those with which it was just tried; and numbers
# in such a batch while the size of the images is a guess too, for a wrong guess may go through most of the network.
_BATCHES = (1, 4, 8, 16, 32, 64, 128, 3, 5, 10, 100)
_MOST_GUESSED = 1 << 22

# What to do about a forward(x, alpha).
_MORE_THAN_IMAGES = (
    "its forward does not take one tensor of images, so write a class whose forward(x) calls it with a value for the "
    "rest, and name that class with --arch"
)


class Paired(nn.Module):
    """A network that fails on a batch of one, given such an image twice.

    Args:
        network: The network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, images: Tensor) -> Any:
        """What the network returns, of as many rows as images."""
        if len(images) != 1:
            return self.network(images)
        # Not by torch.cat, whose calls may be counted to find the latent, see `robustkit.models.steps`.
        return _first(self.network(images.expand(2, *images.shape[1:]).clone()))


class OfBatch(nn.Module):
    """A network that takes batches of one size alone, as traced and exported ones may.

    Args:
        network: The network.
        batch: How many images it takes; what is missing is filled up with the last image.
    """

    def __init__(self, network: nn.Module, batch: int) -> None:
        super().__init__()
        self.network, self.batch = network, batch
        self.training = False  # an exported network takes no other mode

    def forward(self, images: Tensor) -> Any:
        """What the network returns, of as many rows as images."""
        parts = images.split(self.batch)
        short = self.batch - len(parts[-1])
        filled = [*parts[:-1], torch.cat([parts[-1], parts[-1][-1:].expand(short, *images.shape[1:])])]
        return _joined([self.network(part) for part in filled], len(images))


def batch_taken(module: nn.Module, images: Tensor, most: float = math.inf) -> int | None:
    """The one size of batch that a traced or exported network takes which refuses these images, of the usual sizes.

    Args:
        module: The network. Any other kind depends on the size of its batch for reasons of its own, and is not tried.
        images: Images that it refused, shape (N, C, H, W).
        most: Numbers in a batch that is tried.
    """
    recorded = any(isinstance(part, ScriptModule | fx.GraphModule) for part in module.modules())
    batches = _BATCHES if recorded and not isinstance(module, OfBatch) else ()
    for batch in (batch for batch in batches if batch * images[:1].numel() <= most):
        with contextlib.suppress(Exception):  # the network's own code, on a batch that it was not made for
            returned = _tensors(module(images[:1].repeat(batch, 1, 1, 1)))
            if returned and all(len(part) == batch for part in returned):
                return batch
    return None


def _joined(values: list[Any], count: int) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(values)[:count] if first.ndim else first
    if isinstance(first, dict):
        return {key: _joined([value[key] for value in values], count) for key in first}
    if isinstance(first, list | tuple):
        return [_joined([value[k] for value in values], count) for k in range(len(first))]
    return first


def _first(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value[:1]
    if isinstance(value, dict):
        return {key: _first(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_first(part) for part in value]
    return value


def in_float32(module: nn.Module) -> tuple[nn.Module, list[str]]:
    """The network with weights in float32, and what is said of it."""
    found = {str(p.dtype).removeprefix("torch.") for p in module.parameters() if p.dtype != torch.float32}
    if not found:
        return module, []
    return module.float(), [f"the weights are {' and '.join(sorted(found))} and are evaluated in float32"]


def bands_of(module: nn.Module) -> int | None:
    """How many bands the first convolution takes, or `None` without a convolution."""
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d)), None)
    return None if first is None else first.in_channels


@torch.inference_mode()
def accepts(module: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Whether images of a shape go through, and give one row each."""
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    dtype = next((parameter.dtype for parameter in module.parameters()), torch.float32)
    try:
        returned = _tensors(module(torch.zeros(3, *shape, device=device, dtype=dtype)))
    except Exception:  # the network's own code, on a size that it was not made for
        return batch_taken(module, torch.zeros(1, *shape, device=device, dtype=dtype), _MOST_GUESSED) is not None
    return all(len(part) == 3 for part in returned) and bool(returned)


def probe_shapes(module: nn.Module, *, most: int = 2) -> list[tuple[int, int, int]]:
    """Shapes that a network takes, of the usual ones.

    Args:
        module: The network, in evaluation mode.
        most: After how many to stop.

    Returns:
        Shapes (C, H, W), the most usual first.
    """
    bands = bands_of(module)
    found: list[tuple[int, int, int]] = []
    for side in SIDES:
        for channels in (bands,) if bands else (3, 1):
            if accepts(module, (channels, side, side)):
                found.append((channels, side, side))
            if len(found) == most:
                return found
    if not found and bands is None:  # a network of dense layers alone: a square image of as many pixels
        first = next((layer for layer in module.modules() if isinstance(layer, nn.Linear)), None)
        for channels in (3, 1) if first is not None else ():
            assert first is not None
            side = round((first.in_features / channels) ** 0.5)
            if side and channels * side * side == first.in_features and accepts(module, (channels, side, side)):
                return [(channels, side, side)]
    return found


def probed_shape(module: nn.Module) -> tuple[tuple[int, int, int], str]:
    """The most usual shape of images that a network takes, and what is said of it.

    Raises:
        InputError: If none of them goes through.
    """
    shapes = probe_shapes(module)
    if not shapes:
        raise InputError(no_size_fits(module))
    said = " of several that it takes" if len(shapes) > 1 else ""
    return shapes[0], f"input shape {' x '.join(map(str, shapes[0]))}, found by trying{said}"


def sizes_taken(module: nn.Module) -> list[tuple[int, int]]:
    """The usual image sizes that a network takes; empty where it takes none of them, or most."""
    shapes = probe_shapes(module, most=3)
    return [] if len(shapes) > 2 else [(height, width) for _, height, width in shapes]


def no_size_fits(module: nn.Module) -> str:
    """Why no usual size goes through a network, and what to do: what it raises says more than that none fits."""
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    why, advice = "it gives no row for each image", "say the size with --input-size H W, or give --data"
    try:
        with torch.inference_mode():
            module(torch.zeros(2, bands_of(module) or 3, 64, 64, device=device))
    except Exception as error:  # the network's own code
        why, advice = first_line(error), _MORE_THAN_IMAGES if _takes_more(error) else advice
    return f"no usual image size goes through the network (64x64: {why}); {advice}"


def _takes_more(error: BaseException | None) -> bool:
    """Whether `forward` was called with less, or with more, than it takes."""
    said = str(error)
    return isinstance(error, TypeError) and ("required" in said or "positional argument" in said) and "argument" in said


def _tensors(returned: Any) -> list[Tensor]:
    if isinstance(returned, Tensor):
        return [returned] if returned.ndim else []
    parts = returned.values() if isinstance(returned, dict) else returned if isinstance(returned, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def to_bands(wanted: int, given: int) -> str:
    """What brings images to the number of bands that a network takes."""
    if (wanted, given) == (1, 3):
        return "--grey makes one band of three"
    if (wanted, given) == (3, 1):
        return "--rgb makes three equal bands of one"
    return "choose them with --bands, by the names that the images have"


def advice_for(module: nn.Module, shape: Sequence[int], error: BaseException | None = None) -> str:
    """What to do when a network fails on images (C, H, W) of the size that was said or found."""
    if _takes_more(error):
        return _MORE_THAN_IMAGES
    bands, sizes = bands_of(module), sizes_taken(module)
    if bands is not None and bands != shape[0]:
        return f"it takes {bands} band{'s' * (bands > 1)} and was given {shape[0]}; {to_bands(bands, shape[0])}"
    if sizes and tuple(shape[1:]) not in sizes:
        shown = " or ".join(f"{height}x{width}" for height, width in sizes)
        return f"it takes {shown}; bring the images there with --resize {sizes[0][0]} {sizes[0][1]}"
    return "check bands, size and band order, and that forward(x) takes a tensor (N, C, H, W) and nothing else"


def why_refused(module: nn.Module, shape: Sequence[int], error: Exception, *, on_random: bool) -> str:
    """Why a network takes no images (C, H, W) of the size that was said or found, and what to do.

    Args:
        module: The network.
        shape: Of one image.
        error: What it raised.
        on_random: Whether it was tried on random values alone.
    """
    advice = advice_for(module, shape, error)
    if on_random:
        advice += "; it was tried on random values from 0 to 1, and --data names images to try it on"
    return f"the network refuses images of shape (N, {', '.join(map(str, shape))}): {first_line(error)}; {advice}"
