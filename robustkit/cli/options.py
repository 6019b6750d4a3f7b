"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

_KINDS = ("logits", "probabilities", "log-probabilities", "sigmoid", "votes")
_UNITS = ("electron", "display", "unknown")
_CHANNELS = ("first", "last", "none")
# What is done to images, in the order in which a command line says it.
_STEPS = ("resize", "crop", "pad", "grey", "rgb", "invert")


class Numbers(click.Option):
    """An option that takes one or more numbers: `--years 10 1`. Its command must be a `Command`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs = {"type": float, "multiple": True, "metavar": "NUMBER..."} | kwargs
        super().__init__(*args, **kwargs)


class Command(click.Command):
    """A command that knows options of several values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeats the name of a `Numbers` option before each further number, and parses that."""
        names = {name for option in self.params if isinstance(option, Numbers) for name in option.opts}
        taken = [param for param in self.params if isinstance(param, click.Argument)]
        several = any(param.name == "members" for param in self.params)
        if several and all(param.nargs == 1 for param in taken):  # of others no word can be told from a member
            args = _with_members(args, file=bool(taken))
        return super().parse_args(ctx, _repeated(args, names))

    def invoke(self, ctx: click.Context) -> Any:
        """Looks at the files that are named before anything heavy is imported, then runs."""
        from robustkit.cli.early import check_early

        check_early(self, ctx.params)
        return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Ends the help with examples."""
        super().format_epilog(ctx, formatter)
        from robustkit.cli.examples import EXAMPLES

        with formatter.section("Examples"):
            for line in EXAMPLES.get(self.name or "", ()):
                formatter.write(f"  robustkit {line}\n")


# What can be said about a model that robustkit did not train, in the order of the help.
_MODEL: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--card", {"help": "Model card in TOML with all of the following.  [default: NAME.toml beside NAME.pth]"}),
    ("--arch", {"help": "Its network: path/to/file.py:Class, package.module:factory, robustkit:ConvNet, timm:NAME."}),
    ("--arch-kwargs", {"metavar": "TOML|JSON", "help": "Keyword arguments for the class, as TOML or JSON, or a file."}),
    ("--key", {"help": "Where the weights are in the file, when several parts fit."}),
    ("--latent", {"help": "The layer whose output is the latent.  [default: what the last affine step takes]"}),
    ("--classes", {"help": "Names in the order of the outputs, a,b,c, or their number.  [default: of the images]"}),
    ("--stretch", {"help": "From images to input: none, unit, arcsinh, minmax ...  [default: none]"}),
    ("--mean", {"cls": Numbers, "help": "Of each band, as in torchvision's Normalize."}),
    ("--std", {"cls": Numbers, "help": "Of each band."}),
    ("--bounds", {"type": (float, float), "help": "Lowest and highest value of the input.  [default: of the images]"}),
    ("--input-size", {"type": (int, int), "metavar": "H W", "help": "Size of the images.  [default: as they are]"}),
    (
        "--resize",
        {"cls": Numbers, "type": int, "metavar": "H W|S", "help": "Resample the images, or their shorter side."},
    ),
    ("--crop", {"cls": Numbers, "type": int, "metavar": "H W|S", "help": "Cut the images about their centre."}),
    ("--pad", {"cls": Numbers, "type": int, "metavar": "PIXELS...", "help": "Pad with 0: all, X Y, or L T R B."}),
    ("--grey", {"is_flag": False, "flag_value": "1", "type": click.Choice(("1", "3")), "help": "Of colours, grey."}),
    ("--rgb", {"is_flag": True, "help": "Grey images as three equal bands, beside colours."}),
    ("--invert", {"is_flag": True, "help": "Dark to bright: 255 - x."}),
    (
        "--image-range",
        {"type": (float, float), "metavar": "LOW HIGH", "help": "Values a pixel of the images can take."},
    ),
    ("--units", {"type": click.Choice(_UNITS), "help": "Of the images.  [default: as their files say]"}),
    ("--images", {"metavar": "KEY", "help": "The array, column or extension with the images."}),
    ("--labels", {"metavar": "KEY", "help": "The array or column with the labels, or a .npy file."}),
    ("--channels", {"type": click.Choice(_CHANNELS), "help": "Where the bands are.  [default: by shape]"}),
    ("--axes", {"metavar": "LETTERS", "help": "Of the images' array: NVCHW, HWN, N0CHW.  [default: by shape]"}),
    ("--bands", {"metavar": "A,B,C", "help": "Names of the bands in the order of the input."}),
    ("--nan", {"type": click.Choice(("refuse", "fill")), "help": "Pixels that are not finite.  [default: refuse]"}),
    ("--output-index", {"type": int, "help": "Which of several outputs holds the scores.  [default: by shape]"}),
    ("--output-key", {"help": "Key of the scores, if the model returns a dict."}),
    ("--output-kind", {"type": click.Choice(_KINDS), "help": "What the scores are.  [default: logits]"}),
    ("--members", {"multiple": True, "metavar": "FILE", "hidden": True}),
    (
        "--combine",
        {"type": click.Choice(("mean", "votes")), "help": "How --model A B C answer.  [default: mean]"},
    ),
    ("--average", {"type": click.Choice(("flips", "rotations", "both")), "help": "Over views of the image."}),
    (
        "--threshold",
        {"type": float, "help": "Decide the second of two classes above this score.  [default: 0.5]"},
    ),
    ("--question", {"help": "Decide answers, 'smooth,featured; bar,no-bar', or a cut, 'smooth>0.5'."}),
    (
        "--tolerance",
        {"metavar": "0.1|0.15(1+z)", "help": "Of a regression: leaving this band of the true value flips."},
    ),
    (
        "--multi-label",
        {"is_flag": True, "default": None, "help": "Each output is a label, and any that changes a flip."},
    ),
    ("--front", {"help": "A front end before the network: across, clip:2, line, median, or package.module:Class."}),
    ("--trust-checkpoint", {"metavar": "SHA256", "help": "Open this file although it can run code."}),
)


# What a later command on the same model and images has to be told again.
REPEATED = ("--data", *(name for name, _ in _MODEL))


def form_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds how the end of an audit is said, which the command gets as `form`."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(("text", "github", "gitlab", "json")),
        default="text",
        show_default=True,
        help="How gates and verdict are said: for people, as annotations of a build, or as one JSON object.",
    )(command)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what can be said about a model of others to a command, which gets it as `options`."""

    @wraps(command)
    def called(**values: Any) -> Any:
        names = {name[2:].replace("-", "_") for name, _ in _MODEL}
        return command(options=_options({name: values.pop(name) for name in list(values) if name in names}), **values)

    wrapped: Callable[..., Any] = called
    for name, attributes in reversed(_MODEL):
        wrapped = click.option(name, **attributes)(wrapped)
    return wrapped


def _options(values: dict[str, Any]) -> Any:
    from robustkit.models.foreign.options import ModelOptions, parse_bands, parse_classes, parse_kwargs

    classes, kwargs, bands = (values.pop(name) for name in ("classes", "arch_kwargs", "bands"))
    # click hands the options over in the order in which they were typed.
    steps = [(name, values.pop(name)) for name in list(values) if name in _STEPS]
    given = {name: value for name, value in values.items() if value not in (None, ())}
    if "trust_checkpoint" in given:
        given["trust"] = given.pop("trust_checkpoint")
    # Workers and later commands may start in another folder.
    if given.get("labels", "").endswith(".npy"):
        given["labels"] = os.path.abspath(given["labels"])
    if "members" in given:
        given["members"] = tuple(os.path.abspath(member) for member in given["members"])
    if str(given.get("labels", "")).endswith(".npy"):
        given["labels"] = os.path.abspath(given["labels"])
    if bands is not None:
        given["bands"] = parse_bands(bands)
    done = [_step(name, value) for name, value in steps if value not in (None, (), False)]
    if done:
        given["preprocess"] = tuple(done)
    if classes is not None:
        given |= parse_classes(classes)
    if kwargs is not None:
        given["arch_kwargs"] = parse_kwargs(kwargs)
    return ModelOptions(**given)


def _step(name: str, value: Any) -> str:
    """`--resize 64 64` as the step `resize 64 64`."""
    if isinstance(value, bool):
        return name
    words = value if isinstance(value, tuple) else (value,) if value != "1" else ()
    return " ".join([name, *map(str, words)])


def _repeated(args: list[str], names: set[str]) -> list[str]:
    """`--years 10 1` as `--years 10 --years 1`."""
    out: list[str] = []
    name, values = "", 0  # the option that is being read, and how many values it has
    for position, arg in enumerate(args):
        if arg == "--":
            return out + args[position:]
        if name and _is_number(arg):
            out += [name, arg] if values else [arg]
            values += 1
            continue
        option, equals, _ = arg.partition("=")
        name, values = (option, len(equals)) if option in names else ("", 0)
        out.append(arg)
    return out


def _with_members(args: list[str], *, file: bool = False) -> list[str]:
    """`--model a.pt b.pt` as `--model a.pt --members b.pt`; of a command that takes a file, a .toml stays that."""
    out: list[str] = []
    after = -1  # how many words follow --model, or -1
    for arg in args:
        if arg.startswith("-") and not _is_number(arg):
            after = 0 if arg in ("--model", "-m") else 1 if arg.startswith("--model=") else -1
            out.append(arg)
            continue
        out += [arg] if after < 1 or (file and arg.endswith(".toml")) else ["--members", arg]
        after += after >= 0
    return out


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
