"""Options of commands whose work can be shared out: devices, groups, shards, worker processes, clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

from robustkit.runs import interruptible
from robustkit.runs.shards import Shard
from robustkit.runs.sharing import check_sharing


def _options(group: int | None) -> tuple[Callable[..., Any], ...]:
    return (
        click.option(
            "--device", help="cpu or cuda; `cuda:0,cuda:1` for a worker on each.  [default: cuda if there is one]"
        ),
        click.option("--workers", type=int, help="Worker processes on this machine, with one thread each."),
        click.option(
            "--group",
            type=int,
            default=group,
            show_default=group is not None,
            help="Images a worker takes at once; what a kill can lose."
            + ("" if group else "  [default: 16, fewer for large networks]"),
        ),
        click.option(
            "--shard", help="Work on a part of the groups only: 3/64 is the third of 64.  See `robustkit merge`."
        ),
        click.option(
            "--mix", is_flag=True, help="Go on also with other versions, device or threads, which is recorded."
        ),
        click.option("--dask", metavar="ADDRESS", help="Work on a Dask cluster: the scheduler, tcp://HOST:8786."),
        click.option(
            "--parsl", type=click.Path(path_type=Path), help="Work through Parsl: a Python file with `config`."
        ),
    )


def sharing_options(group: int | None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the options; the command is given `cluster`, which makes of them what a run takes.

    Args:
        group: How many images a worker takes at once, unless it is said; `None` where the network decides.
    """
    return partial(_with_options, _options(group))


def _with_options(options: Sequence[Callable[..., Any]], command: Callable[..., None]) -> Callable[..., None]:

    @wraps(command)
    def with_cluster(
        *args: Any,
        device: str | None,
        workers: int | None,
        shard: str | None,
        mix: bool,
        dask: str | None,
        parsl: Path | None,
        **rest: Any,
    ) -> None:
        def cluster(say: Callable[[str], None]) -> dict[str, Any]:
            from robustkit.runs.executors import choose_executor

            one, executor = choose_executor(device, workers=workers, dask=dask, parsl=parsl, say=say)
            return {"device": one, "shard": shard, "executor": executor, "mix": mix}

        check_sharing(device, workers=workers, dask=dask, parsl=parsl)
        if shard is not None:
            Shard.parse(shard)
        with interruptible():  # importing and opening take seconds or minutes, and a scheduler does not wait for them
            command(*args, cluster=cluster, **rest)

    for option in reversed(options):
        with_cluster = option(with_cluster)
    return with_cluster


cluster_options = sharing_options(None)
