"""The network that a user names: a class in a file, a factory in a package, or a model of a library."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from robustkit.data.guard import brief
from robustkit.errors import InputError, RobustkitError
from robustkit.extras import require
from robustkit.models.foreign.options import ModelOptions
from robustkit.models.foreign.published import infer_classes
from robustkit.models.foreign.state import Part

# What people call the number of classes among the arguments of a network.
_CLASSES = ("num_classes", "class_num", "n_classes", "nb_classes", "classes", "num_class", "n_class", "out_features")
# Arguments with which a library would fetch or unpickle weights by itself.
_FORBIDDEN = (
    "pretrained",
    "weights",
    "checkpoint_path",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "weights_backbone",
)


def build_network(options: ModelOptions, parts: Sequence[Part]) -> tuple[Any, list[str]]:
    """The network that `--arch` names, with fresh weights.

    Args:
        options: What the user said; `arch` is given and is none of robustkit's own networks.
        parts: The weights, from which a library's number of classes is read where nobody said it.

    Returns:
        A network (a Keras model is one too), and what was chosen, one sentence each.

    Raises:
        InputError: If the name leads nowhere, or the class cannot be built with what was given.
        MissingExtra: If the library is not installed.
    """
    assert options.arch is not None
    kind = torch.get_default_dtype()
    try:
        return _build(options, parts)
    finally:
        torch.set_default_dtype(kind)  # published code sets float64 for all


def _build(options: ModelOptions, parts: Sequence[Part]) -> tuple[Any, list[str]]:
    assert options.arch is not None
    source, colon, name = options.arch.rpartition(":")
    if not colon or not source or not name:
        raise InputError(
            f"expected --arch as path/to/file.py:Class, package.module:factory or robustkit:ConvNet, came "
            f"{options.arch!r}"
        )
    count = len(options.classes) if options.classes else options.class_count
    kwargs, notes = dict(options.arch_kwargs), []
    if source in ("timm", "torchvision", "zoobot"):
        return _from_library(source, name, kwargs, count or infer_classes(parts))
    factory = getattr(_import_named(source), name, None)
    if factory is None or not callable(factory):
        raise InputError(f"{source} has no class or factory {name!r}; it has {_choices(source)}")
    accepted = _parameters(factory)
    for argument in _CLASSES:
        if count and argument in accepted and argument not in kwargs:
            kwargs[argument] = count
            notes.append(f"{name} is built with {argument}={count}, from --classes")
            break
    needed = [n for n, p in accepted.items() if p.default is p.empty and p.kind in (0, 1, 3) and n not in kwargs]
    if needed:
        raise InputError(
            f"{name} needs {', '.join(needed)}; give them with --arch-kwargs, as in --arch-kwargs '{needed[0]} = ...'"
        )
    try:
        network = factory(**kwargs)
    except Exception as error:  # the user's own code
        raise InputError(f"{options.arch} cannot be built with {kwargs or 'no arguments'}: {brief(error)}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"{options.arch} gave a {type(network).__name__}; expected a torch.nn.Module")
    return network, notes


def code_of(options: ModelOptions) -> Path | None:
    """The file that `--arch` names, to keep its hash; `None` for packages."""
    source = (options.arch or "").rpartition(":")[0]
    return Path(source) if source.endswith(".py") else None


def _import_named(source: str) -> ModuleType:
    """Imports the file or module that the user named; it is the user's code from here on."""
    path = Path(source)
    home = str(path.parent.resolve()) if source.endswith(".py") else os.getcwd()
    sys.path.insert(0, home)  # such code imports its neighbours
    try:
        if not source.endswith(".py"):
            return importlib.import_module(source)
        if not path.is_file():
            raise InputError(f"there is no file {path}; name the file with the network's class in --arch FILE.py:Class")
        spec = importlib.util.spec_from_file_location(f"robustkit_arch_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look themselves up there
        spec.loader.exec_module(module)
        return module
    except RobustkitError:
        raise
    except (Exception, SystemExit) as error:  # the user's own code
        raise InputError(
            f"{source} cannot be imported ({type(error).__name__}: {brief(error)}); install what it needs, and put "
            "code that trains under if __name__ == '__main__'"
        ) from error
    finally:
        sys.path.remove(home)


def _choices(source: str) -> str:
    module = sys.modules.get(f"robustkit_arch_{Path(source).stem}") or sys.modules.get(source)
    names = [name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, nn.Module)]
    return ", ".join(names[:10]) or "no network"


def _parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return {}


def _from_library(library: str, name: str, kwargs: dict[str, Any], classes: int | None) -> tuple[nn.Module, list[str]]:
    if not re.fullmatch(r"[A-Za-z0-9_.]+", name):
        raise InputError(f"expected a plain name of a model after {library}:, came {name!r}; nothing is downloaded")
    forbidden = [argument for argument in _FORBIDDEN if argument in kwargs]
    if forbidden:
        raise InputError(f"{', '.join(forbidden)} would fetch weights from elsewhere; leave it out of --arch-kwargs")
    if classes is None and "num_classes" not in kwargs:
        raise InputError(f"say how many classes {name} has, with --classes")
    count = kwargs.setdefault("num_classes", classes)
    build = {"timm": _timm, "torchvision": _torchvision, "zoobot": _zoobot}[library]
    try:
        network = build(name, kwargs)
    except RobustkitError:
        raise
    except Exception as error:  # the library's own checks
        raise InputError(f"{library} cannot build {name} with {kwargs}: {brief(error)}") from error
    return network, [f"network: {name} of {library} with {count} classes"]


def _timm(name: str, kwargs: dict[str, Any]) -> nn.Module:
    return require("timm", extra="timm", purpose=f"build {name}").create_model(name, pretrained=False, **kwargs)


def _torchvision(name: str, kwargs: dict[str, Any]) -> nn.Module:
    models = require("torchvision.models", extra="torchvision", purpose=f"build {name}")
    return models.get_model(name, weights=None, **kwargs)


def _zoobot(name: str, kwargs: dict[str, Any]) -> nn.Module:
    """A Zoobot classifier: an encoder of timm and a linear head, under the names of Zoobot's checkpoints."""
    timm = require("timm", extra="timm", purpose=f"build Zoobot's encoder {name}")
    classes = kwargs.pop("num_classes")
    encoder = timm.create_model(name, pretrained=False, num_classes=0, **kwargs)
    return Zoobot(encoder, encoder.num_features, classes)


class _LinearHead(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(features, classes)

    def forward(self, x: Any) -> Any:
        return self.linear(self.dropout(x))


class Zoobot(nn.Module):
    """An encoder and a linear head, named as in the checkpoints of Zoobot's FinetuneableZoobotClassifier.

    Args:
        encoder: From images (N, C, H, W) to features (N, D).
        features: D.
        classes: K.
    """

    latent = "encoder"

    def __init__(self, encoder: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, _LinearHead(features, classes)

    def forward(self, images: Any) -> Any:
        """Images (N, C, H, W) to logits (N, K)."""
        return self.head(self.encoder(images))
