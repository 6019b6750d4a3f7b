"""The `robustkit` command. A subcommand's module is imported only when that subcommand runs."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from robustkit import __version__
from robustkit.code_gate import look_away
from robustkit.errors import RobustkitError, RunInterrupted
from robustkit.words import no_such, shown

look_away()  # here, so that worker processes do it too

# Heading -> name -> the line that `robustkit --help` shows; each lives in robustkit/cli/<name>.py as `command`.
GROUPS = {
    "Audit": {
        "audit": "All of it in one page: may this classifier be trusted on that survey?",
        "plan": "Say how many images an audit needs, and what so many can settle.",
        "report": "Draw the page of an audit again, from its records.",
        "compare": "Compare two to thirty audits of the same images.",
    },
    "One question": {
        "attack": "Search for single pixels that change a classifier's prediction.",
        "certify": "Try every pixel: which images can be flipped at all, and where.",
        "hazard": "Say how many of a million objects change class by accident.",
        "sweep": "Measure what exposure, seeing, defects and calibration do to it.",
        "window": "Draw the classes in latent space around attacked images.",
        "isomap": "Map the latent space: clean, noisy and attacked images.",
        "distances": "Measure how far perturbations move latents; compare two models.",
        "merge": "Make one run of the shards that a job array left.",
    },
    "Catalogues": {
        "predict": "Write the class of every object of a survey, with its probabilities.",
        "flag": "Rank every object of a survey by how far its class is to be trusted.",
    },
    "Models and data": {
        "inspect": "Say what a checkpoint of any kind is, safely, and whether it can be audited.",
        "simulate": "Make galaxies as a survey would see them, at two depths.",
        "train": "Train the classifier that is to be audited.",
        "search": "Look for training settings, without target labels.",
        "evaluate": "Score trained classifiers on source and target.",
        "repair": "Put a front end before a network, which draws bad pixels back to their neighbours.",
        "export": "Write a model with its front end as ONNX or TorchScript, proved to be the same.",
    },
    "Papers": {"reproduce": "Redo a paper: its tables and figures, ours beside the published."},
    "Shell": {
        "doctor": "Say what is installed, and whether the searches find what exists.",
        "completion": "Print what makes a shell complete commands, options and names.",
        "help": "Show this list, or the options of a command.",
    },
}
COMMANDS = {name: line for commands in GROUPS.values() for name, line in commands.items()}


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command; `None` for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        from robustkit.cli.names import completed

        return completed(import_module(f"robustkit.cli.{cmd_name}").command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command that is named first, or says which one was probably meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(no_such("command", args[0], COMMANDS), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands by group, without importing them."""
        for heading, commands in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()), col_max=12)


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nTo begin:\n  robustkit inspect -m ckpt.pt\n  robustkit audit -m ckpt.pt -d images --quick",
)
@click.version_option(__version__, prog_name="robustkit")
def group() -> None:
    """Audits trained image classifiers: what does it take to change a prediction, and can that happen by accident?"""


def main(args: list[str] | None = None) -> None:
    """Runs the command line; an error of ours is one line on standard error and its own exit status."""
    from robustkit.cli.saying import say, stop_saying, unsaid

    try:
        group.main(args=args, prog_name="robustkit", standalone_mode=False)
    except (RobustkitError, RunInterrupted) as error:
        text = getattr(error, "printed", None) or str(error)
        say(f"robustkit: {' '.join(text.split())}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.__dict__["message"] = shown(error.message)  # a name that was typed, or expanded by the shell
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say("robustkit: stopped", err=True)
        sys.exit(130)
    except OSError as error:
        stop_saying(error)
    if unsaid:
        say(f"robustkit: not all could be printed ({unsaid[0]}); what was to be written is there", err=True)
        unsaid.clear()
        sys.exit(1)
    sys.exit(0)
