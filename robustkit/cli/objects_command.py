"""The commands that make a table of every object of a survey, each made from its request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from robustkit.allocation import keep_freed_memory
from robustkit.catalogues.request import run_folder_of
from robustkit.cli.cluster import sharing_options
from robustkit.cli.finding_command import imported
from robustkit.cli.options import Command, model_options
from robustkit.cli.request_options import request_options
from robustkit.cli.saying import say

_PATH = click.Path(path_type=Path)


def objects_command(
    name: str, kind: type[Any], run: str, text: str, *, then: Callable[[Path, Path], None] | None = None
) -> click.Command:
    """A command that makes a table of every object.

    Args:
        name: Its name.
        kind: What is asked for: a dataclass with options.
        run: What it calls, as `module:function`; imported only when it runs.
        text: Its help.
        then: Is given model and table when the table is written.
    """

    @click.command(name=name, cls=Command, help=text)
    @click.option("--model", required=True, type=_PATH, help="The checkpoint, of any kind.")
    @click.option("--out", "table", required=True, type=_PATH, help="The table: .fits, .parquet or .csv.")
    @request_options(kind)
    @sharing_options(kind.group)
    @model_options
    def command(model: Path, table: Path, options: Any, cluster: Any, request: Any) -> None:
        request = replace(request, table=table)
        keep_freed_memory()
        where = cluster(say=say)
        how = {"options": options, "out": run_folder_of(table, where["shard"]), "resume": True, "say": say}
        imported(run)(model, request, **how, **where)
        if where["shard"] is None and then is not None:
            then(model, table)

    return command
