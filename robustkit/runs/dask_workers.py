"""Workers of a Dask cluster as an executor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from robustkit.errors import InputError, first_line
from robustkit.extras import require

_PATIENCE = 5.0  # seconds for the scheduler to answer


@contextmanager
def dask_workers(
    address: str,
    ask: Callable[[], dict[str, str]],
    check: Callable[[dict[str, dict[str, str]]], None],
    say: Callable[[str], None] = print,
) -> Generator[Executor]:
    """Connects to a Dask scheduler.

    Args:
        address: The scheduler, such as `tcp://scheduler:8786`.
        ask: What each worker is asked at the beginning: its versions.
        check: Is given the answers by worker, and refuses by raising.
        say: Where the line about the cluster goes.

    Raises:
        InputError: If the scheduler cannot be reached or has no workers.
        MissingExtra: If Dask is not installed.
    """
    distributed: Any = require("distributed", extra="dask", purpose="work on a Dask cluster")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is raised
    try:
        client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address} ({first_line(error)}); start one with `dask scheduler` and give "
            "its address as tcp://HOST:8786"
        ) from error
    with client:
        # Asked without the scheduler's own function registry, so that a worker without robustkit is named as well.
        answers = client.run(ask, on_error="return")
        if not answers:
            raise InputError(f"the Dask scheduler at {address} has no workers; start some with `dask worker {address}`")
        for worker, answer in answers.items():
            if isinstance(answer, BaseException):
                raise InputError(
                    f"the Dask worker {worker} cannot run robustkit ({first_line(answer)}); install it there"
                )
        check(answers)
        say(f"{len(answers)} Dask workers at {address}")
        # Every unit is its own task, even where two have the same arguments.
        yield client.get_executor(pure=False)
