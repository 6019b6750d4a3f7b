"""The devices that a network can run on: the CPU, and the accelerator that this torch knows, whatever its kind."""

from __future__ import annotations

import torch

from robustkit.errors import InputError
from robustkit.words import no_such


def choose_device(name: str | None) -> torch.device:
    """The device of that name; without one the accelerator that is here, such as `cuda`, and otherwise the CPU.

    Apple's `mps` has no float64 and falls short of some operations, so it is taken only where it is named.

    Raises:
        InputError: If the name is unknown or the device is not here.
    """
    here = torch.accelerator.current_accelerator(check_available=True)
    if name is None:
        return torch.device("cpu") if here is None or here.type == "mps" else torch.device(here.type)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(no_such("device", name, ("cpu", "cuda", "mps"))) from error
    if device.type == "cpu":
        return device
    if here is None or device.type != here.type:
        other = "" if here is None else f" or {here.type}"
        raise InputError(f"torch {torch.__version__} finds no {device.type} device here; use --device cpu{other}")
    if device.index is not None and device.index >= torch.accelerator.device_count():
        raise InputError(f"{name} is not here: torch finds {torch.accelerator.device_count()} {here.type} devices")
    return device


def device_name(device: torch.device) -> str:
    """What the device is: the card's name, or the processor's instructions, which decide how sums are rounded."""
    if device.type == "cpu":
        return torch.backends.cpu.get_cpu_capability()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def wait_for(device: torch.device) -> None:
    """Waits until what was asked of a device is done, so that a clock can be read."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def free_bytes(device: torch.device) -> int | None:
    """How much memory is free on an accelerator; `None` for the CPU, and where it does not say."""
    if device.type == "cpu":
        return None
    try:
        return torch.accelerator.get_memory_info(device)[0]
    except (RuntimeError, NotImplementedError):
        return None


def empty_cache() -> None:
    """Gives back what torch keeps of the accelerator's memory for later."""
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
