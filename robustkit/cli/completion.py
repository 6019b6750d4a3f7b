"""`robustkit completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from robustkit.cli.options import Command

# Where each shell looks for what it has to read by itself.
_HOMES = {
    "bash": "~/.local/share/bash-completion/completions/robustkit",
    "zsh": "~/.zfunc/_robustkit",
    "fish": "~/.config/fish/completions/robustkit.fish",
}


@click.command(
    name="completion",
    cls=Command,
    epilog="\b\nFor good:\n" + "\n".join(f"  robustkit completion {shell} > {home}" for shell, home in _HOMES.items()),
)
@click.argument("shell", type=click.Choice(tuple(_HOMES)))
def command(shell: str) -> None:
    """Prints a script that makes SHELL complete commands, options, files and names.

    To try it in this shell: eval "$(robustkit completion bash)". For zsh, ~/.zfunc must be in fpath before compinit.
    """
    from robustkit.cli import group

    completion = get_completion_class(shell)
    assert completion is not None  # click knows the three shells of the choice
    click.echo(completion(group, {}, "robustkit", "_ROBUSTKIT_COMPLETE").source())
