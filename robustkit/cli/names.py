"""Names that options take: what a shell completes after them, and what is refused before anything heavy is imported."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from robustkit.errors import InputError
from robustkit.perturb.faults.registry import HITS, OWN, PERTURBATIONS, SUITES
from robustkit.perturb.search.registry import OWN as OWN_CODE
from robustkit.perturb.search.registry import SEARCHES
from robustkit.training.alignment.methods import ALIGNMENTS, PLAIN
from robustkit.words import no_such


class Names(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - generic in the newest click alone
    """Text that must begin with one of some names.

    Args:
        names: The names; one that ends with a colon needs something after it, such as `grid:5`. The registries hold the
            same names, but reading them loads torch, which takes longer than one waits for an answer.
        what: What they name, for the refusal.
        own: How a person names something of their own, in the words of the refusal; any text with a colon passes then.
        cut: What ends the name, where options may follow it.
        each: What stands between several names.
        numbers: Names after whose colon a number stands.
    """

    name = "name"

    def __init__(
        self, *names: str, what: str, own: str = "", cut: str = "", each: str = "", numbers: tuple[str, ...] = ()
    ) -> None:
        self.names, self.what, self.own, self.cut, self.each, self.numbers = names, what, own, cut, each, numbers

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text as it was given, or a refusal with a guess at what was meant."""
        for one in str(value).split(self.each) if self.each else [str(value)]:
            name = one.strip().partition(self.cut)[0] if self.cut else one.strip()
            head, colon, rest = name.partition(":")
            known = name in self.names or (f"{head}:" in self.names and rest) or (self.own and colon)
            if name.endswith(":") and name in self.names:
                raise InputError(f"{name!r} needs something after its colon")
            if not known or name.endswith(":"):
                raise InputError(no_such(self.what, one, self.names, more=self.own))
            if colon and head in self.numbers:
                _check_number(head, rest)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin like this."""
        return [CompletionItem(name) for name in self.names if name.startswith(incomplete)]


def _check_number(name: str, text: str) -> None:
    try:
        float(text)
    except ValueError:
        raise InputError(f"expected a number after {name}:, as in {name}:3; got {text!r}") from None


# The numbers that a gate may name; what follows a dot is a domain, a class or a perturbation.
NUMBERS = (
    "accuracy", "accuracy.DOMAIN", "calibration_error", "calibration_rms", "domain_gap", "flip_rate", "flip_rate.CLASS",
    "certified_rate", "random_extreme", "loss.PERTURBATION", "moved.PERTURBATION", "class_changed.PERTURBATION",
    "reach.PERTURBATION", "mpc", "changes_per_million", "changes_per_million.DEPTH", "masked_changes_per_million",
    "remedied_flip_rate", "remedied_certified_rate",
)  # fmt: skip


class GateText(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - generic in the newest click alone
    """A gate such as `flip_rate<=0.9`, on a number that audits have."""

    name = "gate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text as it was given; a gate that never holds must not be a spelling mistake."""
        from robustkit.auditing.request import read_gate

        gate = read_gate(value)
        if ctx is not None and (ctx.params.get("findings") or ctx.params.get("own")):
            return value  # on a number of the user's own, perhaps; the audit knows
        families = {name.partition(".")[0] for name in NUMBERS if "." in name}
        family, dot, _ = gate.metric.partition(".")
        if gate.metric not in NUMBERS and not (dot and family in families):
            raise InputError(no_such("number", gate.metric, NUMBERS, where=f" in the gate {value!r}"))
        return value


class Within(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - generic in the newest click alone
    """A number that must not lie outside of some limits.

    Args:
        least: The lowest that will do; with `above`, what it must lie above.
        most: The highest that will do, or `None`.
        whole: Whether it must be a whole number.
        above: Whether `least` itself will not do.
    """

    def __init__(self, least: float, most: float | None = None, *, whole: bool = True, above: bool = False) -> None:
        self.least, self.most, self.whole, self.above = least, most, whole, above
        self.name = "integer" if whole else "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or a refusal that says what would do."""
        number = (click.INT if self.whole else click.FLOAT).convert(value, param, ctx)
        low = number > self.least if self.above else number >= self.least
        if not low or (self.most is not None and number > self.most):
            said = f"above {self.least:g}" if self.above else f"at least {self.least:g}"
            said = said if self.most is None else f"between {self.least:g} and {self.most:g}"
            raise InputError(f"{param.opts[0] if param else 'the number'} must be {said}, got {number}")
        return number


_PATH = click.Path()
_AXIS = Names("one-pixel", "noise", "random", *(f"{name}:" for name in PERTURBATIONS), what="axis")

# An option of one name takes the same thing in every command, but for those that are listed with their command.
_VALUES = (
    "corners", "paper", "grid:", "hot", "hot:", "dead", "dead:", "single-band", "together", "together:",
)  # fmt: skip
_NUMBERED = ("grid", "hot", "dead", "together")

TAKES: dict[str, Any] = {
    **dict.fromkeys(("--model", "--base", "--data", "--source", "--target", "--out", "--card", "--baseline"), _PATH),
    "--method": Names(*PLAIN, *ALIGNMENTS, what="method", own=OWN_CODE),
    "--network": Names("convnet", "resnet18", "deepmerge", what="network"),
    "--search": Names(*SEARCHES, what="search", own=OWN_CODE),
    "--perturb": Names(*PERTURBATIONS, what="perturbation", own=OWN, cut=","),
    "--front": Names(
        "across", "across:", "clip", "clip:", "joint:", "median", "line", "line:", "nan", "detect:",
        what="front end", own=OWN, each="+", numbers=("across", "clip", "joint", "line"),
    ),
    "--suite": Names(*SUITES, what="suite"),
    "--survey": Names("lsst", "des", "hsc", "sdss", "hst", what="survey"),
    "--style": Names("lsst", "sdss", "hst", what="style"),
    "--stretch": Names("arcsinh", "lupton", "meanstd", "minmax", "none", "unit", what="--stretch"),
    "--kernels": Names("median", "published", what="kernels"),
    "--fisher": Names("ratio", "difference", what="fisher"),
    "--batch-norm": Names("joint", "separate", what="batch norm"),
    "--select": Names("information", "source", what="select"),
    "--precision": Names("float32", "bf16", what="precision"),
    "--values": Names(*_VALUES, what="values", numbers=_NUMBERED),
    "certify --values": Names(*_VALUES, "line", "line:", what="values", cut="+", numbers=_NUMBERED),  # +edge
    "hazard --fault": Names(*HITS, what="fault"),
    "--range": Names("data", "paper", what="range"),
    "attack --preset": Names("paper", what="preset"),
    "train --preset": Names("ad22", "da20", what="preset"),
    "search --preset": Names("ad22", "da20", what="preset"),
    "--part": Names("train", "valid", "test", "all", what="part"),
    "--x": _AXIS,
    "--y": _AXIS,
    "--colours": Names("safe", "paper", what="colours"),
    "--also": Names("tsne", "umap", what="map"),
    "--device": Names("cpu", "cuda", "cuda:", "mps", what="device", each=","),
    "reproduce paper": Names("ad22", "da20", what="paper"),
    "--require": GateText(),
    "--journal": Names("mnras", "apj", "aa", what="journal"),
    "--scale": Names("tiny", "small", "paper", what="scale"),
}  # fmt: skip

_COUNT, _FROM_ZERO = Within(1), Within(0)
_WEIGHT, _RATE = Within(0, whole=False), Within(0, whole=False, above=True)

# What an option that takes a number takes; here too, some are listed with their command.
LIMITS: dict[str, Within] = {
    **dict.fromkeys(
        ("--n", "--budget", "--events", "--pixels", "--group", "--workers", "--neighbours", "--resolution"), _COUNT
    ),
    **dict.fromkeys(("--trials", "--seeds", "--epochs", "--patience", "--perturbations"), _COUNT),
    **dict.fromkeys(("--seed", "--split-seed", "--warm-up", "--frames", "--landmarks"), _FROM_ZERO),
    **dict.fromkeys(("--weight", "--weight-decay", "--entropy"), _WEIGHT),
    **dict.fromkeys(("--learning-rate", "--extent", "--years"), _RATE),
    "--batch": Within(2),
    "--size": Within(16),
    "--threshold": Within(0, 1, whole=False),
    "sweep --draws": _COUNT,
    "evaluate --draws": _COUNT,
    "distances --draws": Within(99),
}

# Letters for the options that are typed most, the same in every command.
LETTERS = {"--model": "-m", "--data": "-d", "--out": "-o", "--n": "-n", "--seed": "-s"}


def completed(command: click.Command) -> click.Command:
    """Gives every option its short form, and the type that `TAKES` has for it where it takes any text."""
    for option in command.params:
        first = option.opts[0]
        if option.type is click.STRING:
            option.type = TAKES.get(f"{command.name} {first}", TAKES.get(first, option.type))
        elif option.type in (click.INT, click.FLOAT):
            option.type = LIMITS.get(f"{command.name} {first}", LIMITS.get(first, option.type))
        if first in LETTERS and LETTERS[first] not in option.opts:
            option.opts.append(LETTERS[first])
    return command
