"""The extent of a reproduction: images, epochs, seeds and queries, at three scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from robustkit.errors import InputError
from robustkit.reproduce.papers import PAPERS, Paper
from robustkit.training import Settings
from robustkit.training.presets import preset
from robustkit.words import no_such

SCALES = ("tiny", "small", "paper")
CONTROLS = ("adabn", "augment")  # their gains need no alignment of latents
ALL = ("source", "adabn", "augment", "mmd", "dann", "coral", "sinkhorn", "mcc", "cdan", "oracle")


@dataclass(frozen=True)
class AttackPlan:
    """The attacks on the models of a network.

    Attributes:
        n: Test images drawn.
        seeds: Number of seeds whose models are attacked.
        budget: Queries per image of the published search; `None` for the published search in full.
        complete: Whether all models are also attacked with every pixel and corner value.
    """

    n: int = 150
    seeds: int = 5
    budget: int | None = None
    complete: bool = True


@dataclass(frozen=True)
class NetworkPlan:
    """The extent for one network.

    Attributes:
        galaxies: Number of simulated galaxies; fewer galaxies are the first of more.
        recipe: The paper's settings of training; `None` for robustkit's own.
        changes: Settings that override the recipe.
        seeds: Number of seeds by method.
        attacked: The attacks; `None` where the paper has none.
    """

    network: str
    galaxies: int
    recipe: str | None
    changes: Mapping[str, Any]
    seeds: Mapping[str, int]
    attacked: AttackPlan | None = None

    def settings(self, method: str, seed: int) -> Settings:
        """The training settings of a model."""
        return preset(self.recipe, network=self.network, method=method, seed=seed, **self.changes)


@dataclass(frozen=True)
class PaperPlan:
    """The extent of a reproduction.

    Attributes:
        scale: The name of the scale.
        size: Height and width of the images, pixels.
        shares: Shares of spirals, ellipticals and mergers among the galaxies.
        binary: Whether the classes are merger and non-merger.
        years: Exposure of the source and of the target, years of LSST; the source is the deeper one.
        parts: The extent for each network.
        draws: Resamples and relabellings of intervals and tests.
    """

    paper: Paper
    scale: str
    size: int
    shares: Mapping[str, float]
    parts: tuple[NetworkPlan, ...]
    binary: bool = False
    years: tuple[float, float] = (10.0, 1.0)
    draws: int = 1999
    differences: tuple[str, ...] = ()


# Of the galaxies in the paper, before its mergers were augmented to even numbers; the simulated numbers are even.
_AD22_SHARES = {"spiral": 0.4, "elliptical": 0.3, "merger": 0.3}
_PRISTINE = (1000.0, 1.0)
# 8120 mergers and 7306 others.
_DA20_SHARES = {"spiral": 0.28, "elliptical": 0.19, "merger": 0.53}

_OWN_DATA = (
    "The images are simulated galaxies of robustkit, not those of IllustrisTNG: the numbers can be compared with the "
    "published ones, but cannot confirm or refute them one by one. Claims about what goes up or down can be checked."
)
_OWN_PRISTINE = (
    "The paper's source is free of noise, and its target has that of real images. Here the source is what LSST would "
    "see after a thousand years, with a tenth of the noise of its ten years, and the target is its first year."
)
_OWN_LABELS = (
    "The paper labels galaxies by cuts in the plane of Gini and M20, its Figure 1. Simulated galaxies are what they "
    "were drawn as; where they lie in that plane is measured, and drawn, on the page of robustkit's documentation on "
    "simulated galaxies."
)
_OWN_RECIPE = (
    "Networks are trained by robustkit's own recipe (AdamW with one cycle, a warm-up, unbiased MMD around the median "
    "distance, the epoch chosen without target labels), because the published one, 100 epochs at a learning rate of "
    "0.00001, needs more time than two processor cores have; --scale paper trains by the published one. The stretch is "
    "Lupton's: under the published arcsinh, nearly linear up to the brightest pixel, simulated galaxies of these "
    "magnitudes are as well classified after one year as after ten."
)
_LEARN = {"stretch": "lupton"}


def plan_paper(name: str, scale: str, *, published: bool = False) -> PaperPlan:
    """The plan of a paper.

    Args:
        name: A name in `PAPERS`.
        scale: A name in `SCALES`: `tiny` shows in minutes that everything runs, and its numbers mean nothing; `small`
            is for two processor cores and 100 minutes; `paper` has the numbers of the paper, for a GPU.
        published: Whether the published images are used.

    Raises:
        InputError: If the paper or scale is unknown.
    """
    if name not in PAPERS:
        raise InputError(no_such("paper", name, PAPERS))
    if scale not in SCALES:
        raise InputError(no_such("scale", scale, SCALES))
    paper = PAPERS[name]
    plan = (_ad22 if name == "ad22" else _da20)(paper, scale)
    said = () if published else (_OWN_DATA, _OWN_LABELS if name == "ad22" else _OWN_PRISTINE)
    return replace(plan, differences=(*said, *plan.differences))


def _ad22(paper: Paper, scale: str) -> PaperPlan:
    pair = paper.methods
    if scale == "paper":
        seeds: dict[str, int] = dict.fromkeys(ALL, 5)
        parts = tuple(
            NetworkPlan(network, 35_000, "ad22", {}, seeds, AttackPlan(complete=network == "convnet"))
            for network in paper.networks
        )
        return PaperPlan(paper, scale, 100, _AD22_SHARES, parts, differences=_unlike_ad22(parts))
    if scale == "tiny":
        short = _LEARN | {"epochs": 3, "warm_up": 1, "batch": 32}
        parts = (
            NetworkPlan("convnet", 160, None, short, {"source": 2, "mmd": 2, "adabn": 1}, AttackPlan(16, 2, 400)),
            NetworkPlan("resnet18", 160, None, short, {"source": 1, "mmd": 1}, AttackPlan(6, 1, 40, complete=False)),
        )
        return PaperPlan(
            paper, scale, 32, _AD22_SHARES, parts, draws=199, differences=(_OWN_RECIPE, *_unlike_ad22(parts))
        )
    seeds = {method: 5 if method in pair else 3 for method in ALL}
    parts = (
        NetworkPlan("convnet", 2000, None, _LEARN | {"epochs": 15}, seeds, AttackPlan()),
        NetworkPlan(
            "resnet18",
            800,
            None,
            _LEARN | {"epochs": 6, "warm_up": 1, "batch": 64},
            dict.fromkeys(pair, 3),
            AttackPlan(30, 3, 1000, complete=False),
        ),
    )
    return PaperPlan(paper, scale, 100, _AD22_SHARES, parts, differences=(_OWN_RECIPE, *_unlike_ad22(parts)))


def _da20(paper: Paper, scale: str) -> PaperPlan:
    methods = paper.methods
    if scale == "paper":
        parts = tuple(
            NetworkPlan(network, 15_426, "da20", {}, dict.fromkeys(methods, 10 if network == "deepmerge" else 5))
            for network in paper.networks
        )
        return PaperPlan(paper, scale, 75, _DA20_SHARES, parts, binary=True, years=_PRISTINE)
    if scale == "tiny":
        short = _LEARN | {"epochs": 3, "warm_up": 1, "batch": 32}
        parts = tuple(NetworkPlan(network, 120, None, short, dict.fromkeys(methods, 1)) for network in paper.networks)
        return PaperPlan(
            paper, scale, 32, _DA20_SHARES, parts, binary=True, years=_PRISTINE, draws=199, differences=(_OWN_RECIPE,)
        )
    parts = (
        NetworkPlan(
            "deepmerge", 2000, None, _LEARN | {"epochs": 20}, dict.fromkeys(methods, 5) | dict.fromkeys(CONTROLS, 3)
        ),
        NetworkPlan(
            "resnet18", 600, None, _LEARN | {"epochs": 6, "warm_up": 1, "batch": 64}, dict.fromkeys(methods, 3)
        ),
    )
    return PaperPlan(paper, scale, 75, _DA20_SHARES, parts, binary=True, years=_PRISTINE, differences=(_OWN_RECIPE,))


def _unlike_ad22(parts: tuple[NetworkPlan, ...]) -> tuple[str, ...]:
    """What the attacks omit, one sentence each."""
    said = []
    for part in parts:
        attacked = part.attacked
        if attacked is not None and attacked.budget is not None:
            said.append(
                f"{part.network}: {attacked.n} test images are attacked instead of 150, with {attacked.budget:,} "
                "queries per image and towards any wrong class, instead of 32,000 towards each."
            )
        if attacked is not None and not attacked.complete:
            said.append(
                f"{part.network}: no complete search, because a pass of every pixel and value through this network "
                "takes hours per model; an image that was not flipped proves nothing here."
            )
    return tuple(said)
