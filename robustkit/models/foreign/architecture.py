"""The network that a user names: a class in a file, a factory in a package, or a model of a library."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from robustkit.code_gate import place_of, read_code, say_runs
from robustkit.data.guard import brief
from robustkit.errors import InputError, RobustkitError
from robustkit.extras import require
from robustkit.models.foreign.importing import Home
from robustkit.models.foreign.options import ModelOptions
from robustkit.models.foreign.published import infer_classes
from robustkit.models.foreign.state import StateDict

# What people call the number of classes among the arguments of a network.
CLASSES = ("num_classes", "class_num", "n_classes", "nb_classes", "classes", "num_class", "n_class", "out_features")
# Arguments with which a library would fetch or unpickle weights by itself.
_FORBIDDEN = (
    "pretrained",
    "weights",
    "checkpoint_path",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "weights_backbone",
)


def build_network(options: ModelOptions, parts: Sequence[StateDict]) -> tuple[Any, list[str]]:
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


def _build(options: ModelOptions, parts: Sequence[StateDict]) -> tuple[Any, list[str]]:
    assert options.arch is not None
    code = read_code(options.arch, "--arch")
    source, name = code.source, code.name
    count = len(options.classes) if options.classes else options.class_count
    kwargs, notes = dict(options.arch_kwargs), []
    if code.kind == "library":
        return _from_library(source, name, kwargs, count or infer_classes(parts))
    factory, home = _factory(source, name, place_of(code, "--arch"))
    accepted = _parameters(factory)
    for argument in CLASSES:
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
        with home.inside():
            network = factory(**kwargs)
    except Exception as error:  # the user's own code
        raise InputError(f"{options.arch} cannot be built with {kwargs or 'no arguments'}: {brief(error)}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"{options.arch} gave a {type(network).__name__}; expected a torch.nn.Module")
    return network, notes


def factory_of(arch: str) -> Callable[..., Any]:
    """The class or factory that a person named in a file or a module, imported.

    Raises:
        InputError: If it does not exist, or its code fails.
    """
    code = read_code(arch, "--arch")
    return _factory(code.source, code.name, place_of(code, "--arch"))[0]


def _factory(source: str, name: str, place: str) -> tuple[Callable[..., Any], Home]:
    say_runs(place, "--arch")
    module, home = import_named(source)
    factory = getattr(module, name, None)
    if factory is None or not callable(factory):
        raise InputError(f"{source} has no class or factory {name!r}; {_instead(module, source, name)}")
    return factory, home


def code_of(options: ModelOptions) -> Path | None:
    """The file that `--arch` names, to keep its hash; `None` for packages."""
    return None if options.arch is None else read_code(options.arch, "--arch").file


def import_named(source: str) -> tuple[ModuleType, Home]:
    """Imports the file or module that the user named; it is the user's code from here on.

    Returns:
        The module, and the folder whose files are its neighbours.

    Raises:
        InputError: If it does not exist, or its code fails.
    """
    path, is_file = Path(source), source.endswith(".py")
    if is_file and not path.is_file():
        raise InputError(f"there is no file {path}; name the file with the network's class in --arch FILE.py:Class")
    home = Home(path.parent if is_file else Path.cwd())
    try:
        return home.import_file(path) if is_file else home.import_module(source), home
    except RobustkitError:
        raise
    except (Exception, SystemExit) as error:  # the user's own code
        raise InputError(
            f"{source} cannot be imported ({type(error).__name__}: {brief(error)}); {_import_advice(error, path)}"
        ) from error


def _import_advice(error: BaseException, path: Path) -> str:
    if "relative import" in str(error) and path.suffix == ".py":
        module = f"{path.resolve().parent.name}.{path.stem}"
        return f"it is part of a package, so go to the folder above that and name it as a module, --arch {module}:NAME"
    alone = "or copy the class alone, with what it calls, into a file of its own and name that"
    if "torchvision::" in str(error):  # its compiled operators are those of another PyTorch
        return f"torch and torchvision do not fit each other, so install both together from one place, {alone}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install {error.name.partition('.')[0]}, {alone}"
    if isinstance(error, SyntaxError):
        return "correct it; it is not the Python of this environment"
    return f"install what it needs, and put code that trains under if __name__ == '__main__', {alone}"


def _instead(module: ModuleType, source: str, name: str) -> str:
    """What a file has in place of a class that it has not."""
    inside = _inside_functions(Path(source)) if source.endswith(".py") else {}
    if name in inside:
        return (
            f"the class {name} stands inside of {inside[name]}, where nothing can reach it; copy the class alone, with "
            "what it calls, into a file of its own and name that"
        )
    found = [one for one, value in vars(module).items() if inspect.isclass(value) and issubclass(value, nn.Module)]
    near = [one for one in found if one.casefold() == name.casefold()]
    if near:
        return f"it has {near[0]}, written so"
    if found:
        return f"it has {', '.join(found[:10])}"
    where = "; ".join(f"{one} stands inside of {outer}" for one, outer in list(inside.items())[:3])
    return f"it has no network{f' outside of functions: {where}, so copy it alone into a file' if where else ''}"


def _inside_functions(path: Path) -> dict[str, str]:
    """The classes that a file defines inside of functions, and in which."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return {}
    return {
        inner.name: f"{outer.name}()"
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
        if isinstance(inner, ast.ClassDef)
    }


def _parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return {}


def _from_library(library: str, name: str, kwargs: dict[str, Any], classes: int | None) -> tuple[nn.Module, list[str]]:
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
