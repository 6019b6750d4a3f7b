"""A device for tests: its tensors live on the CPU, say that they do not, and refuse to meet those that do.

It shows where devices are mixed up, gradients and training included; it shows nothing of speed. It is
registered as `pretend` for a whole process, so commands are run on it in a process of their own:

    python -m tests.pretend attack --model source.pt --device pretend ... then certify ...

With PRETEND_FLOAT64=0 it has no float64, as Apple's `mps` has none.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import numpy as np
import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_map

_ATEN = torch.ops.aten
_FALLBACK: Any = None
_FLOAT64 = os.environ.get("PRETEND_FLOAT64", "1") == "1"


class _Module:
    """What torch asks of a kind of device."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.zeros(1, dtype=torch.uint8)

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class Pretended(torch.Tensor):
    """A tensor of the device, around one of the CPU."""

    elem: torch.Tensor

    @staticmethod
    def __new__(cls, elem: torch.Tensor) -> Pretended:
        if elem.dtype == torch.float64 and not _FLOAT64:
            raise TypeError("Cannot convert a tensor to float64 on a device that has none; use float32")
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            elem.size(),
            strides=elem.stride(),
            storage_offset=elem.storage_offset(),
            dtype=elem.dtype,
            layout=elem.layout,
            device=torch.device("pretend:0"),
        )
        made.elem = elem
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert pretend:0 device type tensor to numpy. Use Tensor.cpu()")

    __array__ = numpy

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(_indices(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(value, torch.Tensor):
            value = torch.tensor(value, dtype=self.dtype)  # a number may come from the CPU
        super().__setitem__(_indices(index), value)

    def tolist(self) -> Any:
        return self.elem.tolist()

    def __repr__(self, **how: Any) -> str:
        return f"{self.elem!r} on pretend:0"


def _indices(index: Any) -> Any:
    """Lists and arrays as tensors of the CPU: torch cannot make them here directly."""
    if isinstance(index, tuple):
        return tuple(_indices(one) for one in index)
    return torch.as_tensor(index) if isinstance(index, (list, np.ndarray)) else index


def _bare(value: Any) -> Any:
    return value.elem if isinstance(value, Pretended) else value


def _wrapped(value: Any) -> Any:
    return Pretended(value) if isinstance(value, torch.Tensor) and not isinstance(value, Pretended) else value


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Runs an operation on the CPU, and refuses tensors of two devices as a GPU does."""
    here: list[torch.Tensor] = []
    elsewhere: list[torch.Tensor] = []

    def look(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            (here if isinstance(value, Pretended) else elsewhere).append(value)

    tree_map(look, (args, kwargs))
    device = kwargs.get("device")
    asked = dict(kwargs)
    if device is not None and torch.device(device).type == "pretend":
        asked["device"] = torch.device("cpu")
    for flag in ("pin_memory", "non_blocking"):
        if asked.get(flag):
            asked[flag] = False
    bare, named = tree_map(_bare, args), tree_map(_bare, asked)
    if func is _ATEN._to_copy.default:
        made = func(*bare, **named)
        return Pretended(made) if device is None or torch.device(device).type == "pretend" else made
    if func in (_ATEN.copy_.default, _ATEN._copy_from.default):
        (bare[0].copy_(bare[1]) if func is _ATEN.copy_.default else bare[1].copy_(bare[0]))
        return args[0] if func is _ATEN.copy_.default else args[1]
    if here and any(tensor.dim() > 0 for tensor in elsewhere) and not _may_mix(func, args):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found pretend:0 and cpu in {func}")
    made = func(*bare, **named)
    for place, argument in enumerate(func._schema.arguments):
        written = args[place] if place < len(args) else kwargs.get(argument.name)
        if argument.alias_info is not None and argument.alias_info.is_write and isinstance(written, Pretended):
            return written if isinstance(made, torch.Tensor) else made
    return made if func is _ATEN._local_scalar_dense.default else tree_map(_wrapped, made)


def _may_mix(func: Any, args: Any) -> bool:
    """Whether an operation takes indices of the CPU for a tensor of the device, as those of a GPU do."""
    if not isinstance(args[0], Pretended):
        return False
    puts = (_ATEN.index_put.default, _ATEN.index_put_.default, _ATEN._index_put_impl_.default)
    return func is _ATEN.index.Tensor or (func in puts and (isinstance(args[2], Pretended) or args[2].dim() == 0))


def _from_the_cpu(make: Any) -> Any:
    """A function that makes tensors, on the CPU first: what torch makes of data or resizes cannot begin here."""

    def made(*args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
        if device is None or torch.device(device).type != "pretend":
            return make(*args, device=device, **kwargs)
        return make(*map(_bare, args), **kwargs).to(device)

    return made


def _without_gradients(mode: Any = True) -> Any:
    """In place of inference mode, whose tensors cannot be views of others here."""
    if callable(mode):
        return torch.no_grad()(mode)
    return torch.no_grad() if mode else torch.enable_grad()


def install() -> None:
    """Registers the device and puts this module's functions in place of torch's, for the whole process."""
    global _FALLBACK
    backend_registration._setup_privateuseone_for_python_backend("pretend", backend_module=_Module())
    _FALLBACK = torch.library.Library("_", "IMPL")
    _FALLBACK.fallback(lambda func, *args, **kwargs: _run(func, args, kwargs), "PrivateUse1")
    for name in ("tensor", "as_tensor", "asarray", "arange", "linspace", "eye", "randperm"):
        setattr(torch, name, _from_the_cpu(getattr(torch, name)))
    new_tensor = torch.Tensor.new_tensor
    torch.Tensor.new_tensor = lambda self, data, **how: (  # type: ignore[method-assign]
        torch.tensor(data, dtype=how.get("dtype", self.dtype), device=self.device)
        if isinstance(self, Pretended)
        else new_tensor(self, data, **how)
    )
    torch.inference_mode = _without_gradients  # type: ignore[assignment,misc]
    # A module's parameters are replaced, not changed in place: those of the CPU cannot become others.
    torch.__future__.set_overwrite_module_params_on_conversion(True)


def main(args: list[str]) -> None:
    """Runs commands of robustkit one after the other, `then` between them, and prints how each ended."""
    install()
    from robustkit.cli import main as command
    from robustkit.cli import names

    names.TAKES["--device"].names += ("pretend",)
    while args:
        end = args.index("then") if "then" in args else len(args)
        one, args = args[:end], args[end + 1 :]
        try:
            command(one)
            ended = 0
        except SystemExit as stopped:
            ended = stopped.code
        except Exception:
            traceback.print_exc()
            ended = "a traceback"
        print(f"ended {one[0]}: {ended}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
