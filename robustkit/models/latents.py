"""Where the latent is: what a layer gives or takes, or what the last affine step of the code takes, found or named."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from robustkit.errors import InputError
from robustkit.models.outputs import Output
from robustkit.models.steps import Step, Tape

# Layers tried, from the end of the network: further from it a latent says less of the classes.
_MOST = 24
# The latent is what a layer takes, and not what a layer gives, where its name begins so.
INPUT_OF = "input of "
# What the last product with weights takes, where it is a function of the code and no layer.
LAST_STEP = "input of the last affine step"
# The latent is the mean of a map over its places, where its name begins so: a step that treats all places alike
# follows, and then their mean.
MEAN_OF = "mean of "
# Rounding of an affine step, relative to the size of the scores.
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class Place:
    """Where in a network the latent is.

    Attributes:
        key: How it is named with `--latent`.
        layer: The layer that gives it, or takes it; `None` for a step of the code.
        takes: Whether it is what that layer takes.
        step: The step that gives it.
        axes: The axes of a map over which the latent is the mean.
        shape: Of what is given or taken, without the first axis.
    """

    key: str
    layer: nn.Module | None = None
    takes: bool = False
    step: Step | None = None
    axes: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()

    @contextmanager
    def watched(self, hook: Callable[[Any], Any]) -> Generator[None]:
        """Hands what is here to a function while the network runs; what the function returns takes its place."""
        if self.step is not None:
            with self.step.watched(hook):
                yield
            return
        assert self.layer is not None
        if self.takes:
            handle = self.layer.register_forward_pre_hook(lambda layer, inputs: hook(inputs[0]))
        else:
            handle = self.layer.register_forward_hook(lambda layer, inputs, output: hook(output))
        try:
            yield
        finally:
            handle.remove()

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one latent."""
        return tuple(size for axis, size in enumerate(self.shape, 1) if axis not in self.axes)

    def latents(self, here: Tensor) -> Tensor:
        """Latents (N, ...) of what is here."""
        return here.mean(self.axes) if self.axes else here

    def put(self, latents: Tensor) -> Tensor:
        """What has to be here for latents (N, D)."""
        if not self.axes:
            return latents.reshape(len(latents), *self.shape)
        sizes = [1 if axis in self.axes else size for axis, size in enumerate(self.shape, 1)]
        return latents.reshape(len(latents), *sizes).expand(len(latents), *self.shape).contiguous()

    @property
    def means(self) -> Iterator[Place]:
        """The same with the mean over its places as the latent, where it is a map: channels first, and last."""
        axes = tuple(range(1, len(self.shape) + 1))
        if self.axes or sum(size > 1 for size in self.shape) < 2:
            return
        for over in (axes[1:], axes[:-1]):
            yield replace(self, key=MEAN_OF + self.key, axes=over)


def place_of(network: nn.Module, key: str, images: Tensor, output: Output) -> Place:
    """The place that a name means.

    Args:
        network: The network, in evaluation mode.
        key: The name of a layer, `input of` a layer, or one of those that `latent_candidates` gives.
        images: Two images that it takes.
        output: What its return value means.

    Raises:
        InputError: If there is no such layer or step.
    """
    if key == LAST_STEP:
        with torch.inference_mode():
            found = _last_step(network, images, output)
        if found is None:
            raise InputError(f"the code of the network has no affine step, so there is no {key!r}; name a layer")
        return Place(key, step=found.gives)
    name, layers = key.removeprefix(INPUT_OF), {name: layer for name, layer in network.named_modules() if name}
    if name not in layers:
        raise InputError(f"no layer is called {key!r}; there are {shortened(list(layers))}")
    return Place(key, layers[name], key != name)


@torch.inference_mode()
def latent_candidates(network: nn.Module, images: Tensor, output: Output, *, steps: bool = True) -> list[str]:
    """What could be the latent, the most natural first: what the last affine step takes, then what precedes it.

    What the last affine step takes has the name of the layer that gave it, number for number; or else `input of` the
    layer that is the step; or else the step is a function of the code. What precedes it has to be smaller than the
    image: a latent that is nearly the image says nothing of what the network made of it.

    Args:
        network: The network, in evaluation mode.
        images: Two images that it takes.
        output: What its return value means.
        steps: Whether functions of the code may give the latent, and not layers alone.
    """
    last = _last_step(network, images, output)
    fed = None if last is None else _value(network, images, last.gives)
    ran: list[tuple[nn.Module, bool, tuple[int, ...] | None]] = []

    def note(layer: nn.Module, inputs: Any, given: Any) -> None:
        shape = tuple(given.shape) if isinstance(given, Tensor) else None
        ran.append((layer, shape is not None and fed is not None and _same(given, fed), shape))

    names = {layer: name for name, layer in network.named_modules() if name}
    handles = [layer.register_forward_hook(note) for layer in names]
    try:
        scores = output.select(network(images.clone()))
    finally:
        for handle in handles:
            handle.remove()
    runs = [layer for layer, _, _ in ran]
    once = [(names[layer], same, shape) for layer, same, shape in ran if runs.count(layer) == 1 and shape is not None]
    taking = last.layer if last is not None and last.layer in [name for name, _, _ in once] else ""
    if last is None:  # layers whose code cannot be followed
        kinds = dict(network.named_modules())
        affine = [name for name, _, _ in once if isinstance(kinds[name], nn.Linear | nn.Conv2d)]
        taking = affine[-1] if affine else ""
    end = next((i for i, (name, _, _) in enumerate(once) if name == taking), len(once))
    before = [
        (name, same, shape)
        for name, same, shape in reversed(once[:end])
        if shape is not None and shape != scores.shape and shape[:1] == (len(images),)
    ]
    # Flattened by a layer or a function: the latent is flattened anyway, so the layer's name is the plainer one. The
    # vector goes before the map that it was.
    same = sorted((len(shape) != 2, place, name) for place, (name, equal, shape) in enumerate(before) if equal)
    first = [name for _, _, name in same[:1]]
    if not first and taking:
        first = [INPUT_OF + taking]
    elif not first and last is not None and steps:
        first = [LAST_STEP]
    small = [name for name, _, shape in before if torch.Size(shape).numel() < images.numel()]
    return [*first, *(name for name in small if name not in first)][:_MOST]


@dataclass(frozen=True)
class _Last:
    """What the last affine step takes: the step that gives it, and the layer that takes it, if a layer does."""

    gives: Step
    layer: str


def _last_step(network: nn.Module, images: Tensor, output: Output) -> _Last | None:
    tape = Tape(network, images)
    scores = output.select(tape.returned)
    kinds = {name: getattr(type(layer), "forward", None) for name, layer in network.named_modules()}
    found: tuple[int, list[int]] | None = None
    for number, mixing in tape.through(scores):
        result = tape.calls[number].result
        if not mixing or not isinstance(result, Tensor) or len(result) != len(images):
            continue
        if found is None:
            found = number, mixing
        elif len(mixing) > len(found[1]):
            # Scores that are joined once more, to calibrate them, are scores before it too.
            if _affine(network, images, output, tape.calls[number].step):
                found = number, mixing
            break
        if result.numel() != scores.numel():
            break
    if found is None:
        return None
    # Branches that begin here and are joined later: no affine step, but most of the network.
    if tape.depth(found[0]) > 1 and not _affine(network, images, output, tape.calls[found[0]].step):
        return None
    readers = [tape.calls[call] for call in found[1] if found[0] in tape.calls[call].reads]
    layers = [call.layer for call in readers if kinds[call.layer] in (nn.Linear.forward, nn.Conv2d.forward)]
    return _Last(tape.calls[found[0]].step, layers[0] if len(layers) == len(readers) == 1 else "")


def _value(network: nn.Module, images: Tensor, step: Step) -> Tensor:
    """What a step gives; copied, as a later one may work in place."""
    seen: list[Tensor] = []
    with step.watched(lambda value: seen.append(value.clone())):
        network(images.clone())
    return seen[0]


def _affine(network: nn.Module, images: Tensor, output: Output, step: Step) -> bool:
    """Whether the scores are affine in what a step gives, but for a number that all of an image share."""
    value = _value(network, images, step)

    def scores(put: Tensor) -> Tensor:
        with step.watched(lambda _: put):
            found = output.plain_logits(network(images.clone()))
        return found - found.mean(1, keepdim=True) if found.shape[1] > 1 else found

    try:
        ends = value, value.flip(0) * 2 - value.mean()
        one, two, middle = scores(ends[0]), scores(ends[1]), scores((ends[0] + ends[1]) / 2)
    except Exception:  # the network's own code, on numbers that it did not make
        return False
    scale = float(torch.stack([one, two]).abs().max())
    return float((middle - (one + two) / 2).abs().max()) <= _ROUNDING * scale


def _same(output: Tensor, fed: Tensor) -> bool:
    return output.numel() == fed.numel() and torch.equal(output.flatten(), fed.flatten())


def latent_words(key: str) -> tuple[str, str]:
    """What a name of a latent says before the name of a layer, and the layer; no layer for a step of the code."""
    mean = MEAN_OF if key.startswith(MEAN_OF) else ""
    rest = key.removeprefix(MEAN_OF)
    if rest == LAST_STEP:
        return key, ""
    takes = INPUT_OF if rest.startswith(INPUT_OF) else ""
    return mean + takes, rest.removeprefix(takes)


def shortened(names: Sequence[str], most: int = 30) -> str:
    """Names in a sentence, the first of them if there are many."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
