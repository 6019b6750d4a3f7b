"""What a shell completes after an option. An option of one name takes the same thing in every command."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem


class Names(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - generic in the newest click alone
    """Text for which a shell offers names. What is none of them is judged by the library.

    Args:
        names: What is offered. The registries hold the same names, but reading them loads torch, which takes longer
            than one waits for a key.
    """

    name = "name"

    def __init__(self, *names: str) -> None:
        self.names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What came, as it came: a name of one's own is as good."""
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin like this."""
        return [CompletionItem(name) for name in self.names if name.startswith(incomplete)]


_PATH = click.Path()

TAKES: dict[str, Any] = {
    **dict.fromkeys(("--model", "--base", "--data", "--source", "--target", "--out", "--card", "--baseline"), _PATH),
    "--method": Names("source", "adabn", "augment", "mmd", "dann", "coral", "sinkhorn", "mcc", "cdan", "oracle"),
    "--network": Names("convnet", "resnet18", "deepmerge"),
    "--search": Names(
        "auto", "de", "de-best1bin", "best-first", "gradient", "universal", "chains", "random", "complete"
    ),
    "--perturb": Names(
        "exposure", "read-noise", "psf", "hot-pixel", "dead-pixel", "bad-column", "bad-row", "cosmic-ray", "satellite",
        "sky-offset", "sky-gradient", "flat", "zero-point", "saturation", "band-drop", "band-swap", "shift",
        "rotation", "distance", "cti", "ghost", "jpeg", "rice", "hcompress", "gaussian", "poisson",
    ),
    "--suite": Names("lsst", "plain"),
    "--survey": Names("lsst", "des", "hsc"),
    "--stretch": Names("arcsinh", "lupton", "meanstd", "minmax", "none", "unit"),
    "--kernels": Names("median", "published"),
    "--batch-norm": Names("joint", "separate"),
    "--select": Names("information", "source"),
    "--precision": Names("float32", "bf16"),
    "--values": Names("corners", "paper", "grid:", "hot", "dead", "single-band", "together"),
    "--range": Names("data", "paper"),
    "--preset": Names("ad22", "da20", "paper"),
    "--part": Names("train", "valid", "test", "all"),
    "--colours": Names("safe", "paper"),
    "--also": Names("tsne", "umap"),
    "--device": Names("cpu", "cuda"),
}  # fmt: skip


def completing(command: click.Command) -> click.Command:
    """Gives every option that takes any text the type that `TAKES` has for it."""
    for option in command.params:
        if option.type is click.STRING and option.opts[0] in TAKES:
            option.type = TAKES[option.opts[0]]
    return command
