"""Where a run works: here, in worker processes, on a Dask cluster, or through Parsl."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from robustkit.devices import choose_device
from robustkit.models.checkpoint import versions
from robustkit.runs.dask_workers import dask_workers
from robustkit.runs.local import local_workers
from robustkit.runs.measurement import check_versions
from robustkit.runs.parsl_workers import parsl_workers, read_config
from robustkit.runs.sharing import check_sharing
from robustkit.runs.units import StartExecutor


def choose_executor(
    device: str | None = None,
    *,
    workers: int | None = None,
    dask: str | None = None,
    parsl: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = print,
) -> tuple[str | None, StartExecutor | None]:
    """What the options of the command line ask for.

    Args:
        device: A device, or several with commas between them: a worker process on each.
        workers: How many worker processes.
        dask: The address of a Dask scheduler.
        parsl: A Python file that defines a Parsl `config`.
        say: Receives progress messages.

    Returns:
        The device of a run, and what starts its executor, or `None` to work in this process.

    Raises:
        InputError: If they exclude each other, a device is not here, or the cluster cannot be used.
    """
    devices = check_sharing(device, workers=workers, dask=dask, parsl=parsl)
    for one in devices:
        if dask is None and parsl is None:
            choose_device(one)
    first = devices[0] if devices else None
    if dask is not None:
        check = partial(check_versions, versions())
        with dask_workers(dask, versions, check, lambda line: None):
            pass  # what is wrong with the cluster is said before a run folder is made
        return first, partial(dask_workers, dask, versions, check, say)
    if parsl is not None:
        read_config(Path(parsl))
        return first, partial(parsl_workers, Path(parsl))
    if workers is None and len(devices) < 2:
        return device, None
    places = devices if len(devices) > 1 else [first or str(choose_device(None))] * (workers or 1)
    return first, partial(local_workers, places)
