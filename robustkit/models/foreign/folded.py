"""Weights that tools of PyTorch split in parts while training, made whole: weight norm, spectral norm, pruning."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

_PARAMETRIZED = "parametrizations."


def fold(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """A state_dict with each split weight as the one tensor that the layer computes with in evaluation mode.

    Args:
        tensors: By name.

    Returns:
        The same with the parts made whole, and what was made of how many, in words; without any, nothing changes.
    """
    left, made = dict(tensors), dict[str, Tensor]()
    count: dict[str, int] = {}
    for how, name, names in _split(tensors):
        parts = [tensors[one].float() for one in names]
        whole = {"weight norm": _weight_norm, "spectral norm": _spectral_norm, "pruning": _pruned}[how](*parts)
        if any(one not in left for one in names) or whole is None:
            continue
        for one in names:
            del left[one]
        made[name] = whole
        count[how] = count.get(how, 0) + 1
    words = tuple(f"{how} of {n} weight{'s' * (n > 1)} computed" for how, n in count.items())
    return {**left, **made}, words


def _split(tensors: dict[str, Tensor]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What was done to each split weight, its own name, and those of its parts."""
    for name in tensors:
        layer, _, last = name.rpartition(".")
        before = f"{layer}." if layer else ""
        stem, _, part = last.rpartition("_")
        own = before + stem
        if part == "g" and f"{own}_v" in tensors:
            yield "weight norm", own, (name, f"{own}_v")
        elif part == "orig" and f"{own}_mask" in tensors:
            yield "pruning", own, (name, f"{own}_mask")
        elif part == "orig" and {f"{own}_u", f"{own}_v"} <= tensors.keys():
            yield "spectral norm", own, (name, f"{own}_u", f"{own}_v")
        if _PARAMETRIZED not in name:
            continue
        layer, _, rest = name.rpartition(_PARAMETRIZED)
        stem, _, part = rest.partition(".")
        inside, own = f"{layer}{_PARAMETRIZED}{stem}.", f"{layer}{stem}"
        parts = {one.removeprefix(inside) for one in tensors if one.startswith(inside)}
        if part == "original0" and parts == {"original0", "original1"}:
            yield "weight norm", own, (name, f"{inside}original1")
        elif part == "original" and parts == {"original", "0._u", "0._v"}:
            yield "spectral norm", own, (name, f"{inside}0._u", f"{inside}0._v")


def _weight_norm(length: Tensor, direction: Tensor) -> Tensor | None:
    """A direction scaled to a length, along the axis that the lengths are of: torch.nn.utils.weight_norm."""
    if length.ndim == 0:
        return direction * (length / direction.norm())
    axes = [axis for axis, size in enumerate(length.shape) if size == 1]
    if length.ndim != direction.ndim or not axes:
        return None
    if any(size not in (1, other) for size, other in zip(length.shape, direction.shape, strict=True)):
        return None
    return direction * (length / direction.square().sum(axes, keepdim=True).sqrt())


def _spectral_norm(weight: Tensor, left: Tensor, right: Tensor) -> Tensor | None:
    """A weight over its largest singular value, as estimated in training: torch.nn.utils.spectral_norm."""
    for axis in range(min(2, weight.ndim)):  # 0, and 1 for transposed convolutions
        matrix = weight.movedim(axis, 0).flatten(1)
        if matrix.shape == (len(left), len(right)):
            return weight / (left @ (matrix @ right))
    return None


def _pruned(weight: Tensor, mask: Tensor) -> Tensor | None:
    """A weight without what was cut out of it: torch.nn.utils.prune."""
    return weight * mask if weight.shape == mask.shape else None
