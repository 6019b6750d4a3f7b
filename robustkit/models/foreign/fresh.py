"""A network that a person names, built with fresh weights to be trained."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from robustkit.code_gate import read_code
from robustkit.errors import InputError
from robustkit.models.foreign.architecture import CLASSES, build_network, factory_of
from robustkit.models.foreign.options import ModelOptions
from robustkit.models.networks import NETWORKS
from robustkit.words import no_such

# What people call the number of bands, and the size of the images, among the arguments of a network.
_BANDS = ("bands", "in_chans", "in_channels", "input_channels", "num_channels", "n_channels", "channels", "in_ch", "nc")
_SIZES = ("size", "img_size", "image_size", "input_size")


def arguments(arch: str, kwargs: Mapping[str, Any], *, classes: int, shape: Sequence[int]) -> dict[str, Any]:
    """What a network is called with, as JSON values: what was given, and the classes, bands and size that it asks for.

    Args:
        arch: As `--arch` names it.
        kwargs: What was given.
        classes: K.
        shape: (C, H, W) of the images.

    Raises:
        InputError: If the name leads nowhere.
    """
    code, found = read_code(arch, "--arch"), dict(kwargs)
    if code.kind == "library":
        if code.source == "robustkit":
            return {"bands": shape[0], "classes": classes, "size": list(shape[1:])} | found
        found.setdefault("num_classes", classes)
        if code.source != "torchvision" and "in_chans" not in found and shape[0] != 3:
            found["in_chans"] = shape[0]
        return found
    asked = _asked(factory_of(arch))
    needed = {name for name, parameter in asked.items() if parameter.default is parameter.empty}
    wanted: tuple[tuple[tuple[str, ...], Any, bool], ...] = (
        (CLASSES, classes, True),
        (_BANDS, shape[0], True),
        (_SIZES, list(shape[1:]), False),
    )
    for names, value, always in wanted:
        name = next((name for name in names if name in asked), None)
        if name is not None and name not in found and (always or name in needed):
            square = names is _SIZES and asked[name].annotation in (int, "int")
            found[name] = shape[1] if square else value
    return found


def build_fresh(arch: str, kwargs: Mapping[str, Any]) -> nn.Module:
    """The network with fresh weights.

    Args:
        arch: As a person named it with `--arch`, or a model of a library.
        kwargs: What it is called with.

    Raises:
        InputError: If the name leads nowhere, or it cannot be built so.
    """
    code = read_code(arch, "--arch")
    if code.source == "robustkit" and code.kind == "library":
        own = {kind.__name__: kind for kind in NETWORKS.values()}
        if code.name not in own:
            raise InputError(no_such("network", code.name, own))
        return own[code.name](**kwargs)
    return build_network(ModelOptions(arch=arch, arch_kwargs=dict(kwargs)), ())[0]


def _asked(factory: Any) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(factory).parameters)
    except (TypeError, ValueError):  # one that is written in C
        return {}
