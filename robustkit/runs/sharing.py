"""How the work of a run may be shared out: what excludes what, said before anything heavy is imported."""

from __future__ import annotations

from robustkit.errors import InputError

_MOST_WORKERS = 1024


def check_sharing(
    device: str | None, *, workers: int | None = None, dask: object = None, parsl: object = None
) -> list[str]:
    """Refuses ways of sharing work that exclude each other.

    Args:
        device: A device, or several with commas between them.
        workers: How many worker processes.
        dask: The address of a Dask scheduler, or `None`.
        parsl: A Python file for Parsl, or `None`.

    Returns:
        The devices.

    Raises:
        InputError: If two of them exclude each other.
    """
    devices = [] if device is None else [one.strip() for one in device.split(",")]
    several = {"--workers": workers is not None, "--dask": dask is not None, "--parsl": parsl is not None}
    several["several devices"] = len(devices) > 1
    asked = [name for name, given in several.items() if given]
    if len(asked) > 1 and asked != ["--workers", "several devices"]:
        raise InputError(f"{' and '.join(asked)} exclude each other; give one of them")
    if workers is not None and workers < 1:
        raise InputError(f"expected at least 1 worker, got --workers {workers}")
    if workers is not None and workers > _MOST_WORKERS:
        raise InputError(f"expected at most {_MOST_WORKERS} worker processes on one machine, got --workers {workers}")
    if len(devices) > 1 and workers is not None and workers != len(devices):
        raise InputError(f"{len(devices)} devices have a worker each, got --workers {workers}; omit it")
    return devices
