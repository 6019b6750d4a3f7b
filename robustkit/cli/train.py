"""`robustkit train`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from robustkit.cli.ending import say_next
from robustkit.cli.options import Command
from robustkit.cli.saying import say
from robustkit.errors import InputError

# Options of the training settings, in the order of the help; what is not given is left to the preset.
_SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--method", {"help": "source, adabn, augment, mmd, dann, coral, sinkhorn, mcc, cdan or oracle.  [source]"}),
    ("--network", {"help": "convnet, resnet18 or deepmerge.  [convnet]"}),
    ("--arch", {"help": "Instead: path/to/file.py:Class, package.module:factory, timm:NAME, torchvision:NAME."}),
    ("--arch-kwargs", {"metavar": "TOML|JSON", "help": "What it is called with; classes and bands are filled in."}),
    ("--latent-layer", {"help": "Its layer whose output is the latent.  [what its last affine layer takes]"}),
    ("--epochs", {"type": int, "help": "Passes over the longer domain.  [60]"}),
    (
        "--batch",
        {"type": int, "help": "Images of each domain in a step.  [128, or all if there are fewer]"},
    ),
    ("--seed", {"type": int, "help": "Of weights, order and mirrorings.  [0]"}),
    ("--split-seed", {"type": int, "help": "Of the split.  [0]"}),
    (
        "--learning-rate",
        {"type": float, "help": "The highest of the schedule.  [0.001]"},
    ),
    ("--weight-decay", {"type": float, "help": "[0.0001]"}),
    (
        "--patience",
        {"type": int, "help": "Epochs without a better checkpoint before stopping.  [10]"},
    ),
    ("--weight", {"help": "Of the penalty: a number, or learned (as SIDDA does).  [1]"}),
    ("--warm-up", {"type": int, "help": "Epochs without the penalty.  [5]"}),
    ("--kernels", {"help": "Of mmd: median or published.  [median]"}),
    ("--fisher", {"is_flag": False, "flag_value": "ratio", "help": "Fisher loss: ratio or difference."}),
    ("--entropy", {"type": float, "is_flag": False, "flag_value": 0.05, "help": "Weight of the information loss."}),
    ("--batch-norm", {"help": "joint or separate.  [joint]"}),
    ("--select", {"help": "information or source: what chooses the epoch.  [information]"}),
    ("--stretch", {"help": "arcsinh, meanstd, lupton, minmax, unit or none.  [arcsinh, fitted on the source]"}),
    ("--dihedral/--no-dihedral", {"default": None, "help": "Turn and mirror at random.  [for electrons]"}),
    ("--pixels", {"help": "A bad pixel in images of each step: random, or worst:8 by the loss.  [none]"}),
    ("--pixel-share", {"type": float, "help": "Share of the images that get one.  [0.5]"}),
    ("--front", {"help": "A front end before the network: across, joint:5 ...  [none]"}),
    ("--init", {"help": "Begin with the weights of this checkpoint or state_dict.  [random]"}),
    ("--precision", {"help": "float32 or bf16.  [float32]"}),
    ("--compile/--no-compile", {"default": None, "help": "Use torch.compile.  [no]"}),
)


# Options whose setting has another name.
_FIELDS = {"--compile/--no-compile": ["compiled"], "--latent-layer": ["latent"]}


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds every option of the training settings to a command."""
    for name, attributes in reversed(_SETTINGS):
        names = [name, *_FIELDS[name]] if name in _FIELDS else [name]
        command = click.option(*names, **attributes)(command)
    return command


def settings_given(options: dict[str, Any]) -> dict[str, Any]:
    """The settings that were given, as `Settings` takes them."""
    given = {name: value for name, value in options.items() if value is not None}
    if "arch" in given:
        if "network" in given:
            raise InputError("give --network for a network of robustkit, or --arch for one of your own, and not both")
        given["network"] = given.pop("arch")
        if ":" not in given["network"]:
            raise InputError(
                f"expected --arch as path/to/file.py:Class, package.module:factory, timm:NAME or torchvision:NAME, got "
                f"{given['network']!r}"
            )
    if "weight" in given:
        with suppress(ValueError):
            given["weight"] = float(given["weight"])
    if "arch_kwargs" in given:
        from robustkit.models.foreign.options import parse_kwargs

        given["arch_kwargs"] = parse_kwargs(given["arch_kwargs"])
    return given


@click.command(name="train", cls=Command)
@click.option("--data", help="One labelled image set, or simulated galaxies at two depths.")
@click.option("--source", help="The labelled images.")
@click.option(
    "--target",
    multiple=True,
    help="The images to be classified later, several times for several sets; their labels are not read.",
)
@click.option(
    "--target-labels", metavar="PATH", help="A table (id, class) of the few target images whose classes may be learned."
)
@click.option("--out", required=True, help="The checkpoint (.pt), or a folder for several seeds.")
@click.option("--seeds", default=1, show_default=True, help="How many seeds, counted up from --seed.")
@click.option("--preset", help="The settings of a paper: ad22 or da20.")
@settings_options
@click.option("--resume", is_flag=True, help="Continue with a run that was stopped.")
@click.option("--report-oracle", is_flag=True, help="Log target accuracy too; nothing else reads the target labels.")
@click.option("--device", help="cpu or cuda.  [cuda where there is one]")
def command(data: str | None, source: str | None, target: tuple[str, ...], preset: str | None, **options: Any) -> None:
    """Trains a classifier, on one domain or on a labelled source and an unlabelled target."""
    from robustkit.data.sides import check_sides

    check_sides(data, source, target or None)
    from robustkit.allocation import keep_freed_memory
    from robustkit.runs.trouble import trouble_in_words  # which takes seconds
    from robustkit.training import pair_of, train_many
    from robustkit.training import preset as settings_of
    from robustkit.training.distributed import is_first

    keep_freed_memory()
    pair = pair_of(data=data, source=source, target=target or None)
    how = {name: options.pop(name) for name in ("out", "seeds", "resume", "report_oracle", "device", "target_labels")}
    given = settings_given(options)
    with trouble_in_words(how["out"], "continue with --resume, finished epochs are kept"):
        for trained in train_many(*pair, settings=settings_of(preset, **given), **how):
            if is_first():
                say(trained)
    if is_first() and how["seeds"] == 1:
        say_next("audit", "--model", how["out"], "--quick", to="whether it can be trusted, on one page")
    elif is_first():
        say_next("evaluate", "--model", how["out"], to="all seeds in one table")
