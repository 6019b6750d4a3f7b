"""Workers of a Dask cluster as an executor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from robustkit.errors import InputError, first_line
from robustkit.extras import require

_PATIENCE = 5.0  # seconds for the scheduler to answer


def is_private(address: str) -> bool:
    """Whether an address of Dask is within this machine, or encrypted with certificates.

    Examples:
        >>> [is_private(one) for one in ("tcp://127.0.0.1:8786", "tls://node7:8786", "tcp://node7:8786", "[::1]:8786")]
        [True, True, False, True]
    """
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    if parts.scheme in ("tls", "wss", "inproc"):
        return True
    with suppress(ValueError):
        return ip_address(parts.hostname or "").is_loopback
    return parts.hostname == "localhost"


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
        bound = client.scheduler_info(n_workers=0)["address"]
        if not (is_private(address) and is_private(bound)):
            say(
                f"warning: whoever reaches the Dask scheduler at {bound} runs code as you; start it with --host "
                "127.0.0.1, or with TLS between machines, as docs/howto/run-on-a-cluster.md says"
            )
        say(f"{len(answers)} Dask workers at {address}")
        # Every unit is its own task, even where two have the same arguments.
        yield client.get_executor(pure=False)
