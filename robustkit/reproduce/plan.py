"""How much of a paper is redone: images, epochs, seeds and queries, for three scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from robustkit.errors import InputError
from robustkit.reproduce.papers import PAPERS, Paper
from robustkit.training import Settings
from robustkit.training.presets import preset

SCALES = ("tiny", "small", "paper")
CONTROLS = ("adabn", "augment")  # what they reach needs no alignment of latents
ALL = ("source", "adabn", "augment", "mmd", "dann", "coral", "sinkhorn", "mcc", "cdan", "oracle")


@dataclass(frozen=True)
class Attacked:
    """The attacks on the models of a network.

    Attributes:
        n: Test images drawn.
        seeds: Of how many seeds the models are attacked.
        budget: Queries of the published search for an image; `None` for all that the paper allows, the search
            exactly as published.
        complete: Whether every pixel is tried with every corner value too, on all models.
    """

    n: int = 150
    seeds: int = 5
    budget: int | None = None
    complete: bool = True


@dataclass(frozen=True)
class Part:
    """What is done with one network.

    Attributes:
        network: The network.
        galaxies: How many galaxies are simulated for it; those of a smaller number are the first of a larger one.
        recipe: The paper's settings of training; `None` for robustkit's own.
        changes: What is otherwise than in the recipe.
        seeds: By method, how many seeds.
        attacked: The attacks; `None` where the paper has none.
    """

    network: str
    galaxies: int
    recipe: str | None
    changes: Mapping[str, Any]
    seeds: Mapping[str, int]
    attacked: Attacked | None = None

    def settings(self, method: str, seed: int) -> Settings:
        """How a model is trained."""
        return preset(self.recipe, network=self.network, method=method, seed=seed, **self.changes)


@dataclass(frozen=True)
class Plan:
    """What is done.

    Attributes:
        paper: The paper.
        scale: The name of the scale.
        size: Height and width of the images, pixels.
        shares: Shares of spirals, ellipticals and mergers among the galaxies.
        binary: Whether the classes are merger and non-merger.
        years: Exposure of the source and of the target, years of LSST; the source is the deeper one.
        parts: What is done with each network.
        draws: Resamples and relabellings of intervals and tests.
    """

    paper: Paper
    scale: str
    size: int
    shares: Mapping[str, float]
    parts: tuple[Part, ...]
    binary: bool = False
    years: tuple[float, float] = (10.0, 1.0)
    draws: int = 1999
    differences: tuple[str, ...] = ()


# Of the galaxies in the paper, before its mergers were augmented to even numbers; here they are simulated even.
_AD22_SHARES = {"spiral": 0.4, "elliptical": 0.3, "merger": 0.3}
_PRISTINE = (1000.0, 1.0)
# 8120 mergers and 7306 others.
_DA20_SHARES = {"spiral": 0.28, "elliptical": 0.19, "merger": 0.53}

_OWN_DATA = (
    "The images are simulated galaxies of robustkit, and not those of IllustrisTNG: their numbers can be set beside "
    "the published ones, and cannot confirm or refute them one by one. Claims of what goes up or down can."
)
_OWN_PRISTINE = (
    "The paper's source is free of noise, and its target has that of real images. Here the source is what LSST would "
    "see after a thousand years, with a tenth of the noise of its ten, and the target is its first year."
)
_OWN_LABELS = (
    "The paper labels galaxies by cuts in the plane of Gini and M20, its Figure 1. Simulated galaxies are what they "
    "were drawn as, so there is no such figure here; the fifth of robustkit's examples measures where they lie in that "
    "plane."
)
_OWN_RECIPE = (
    "Networks are trained by robustkit's own recipe (AdamW with one cycle, a warm-up, unbiased MMD around the median "
    "distance, the epoch chosen without target labels), because the published one, 100 epochs at a learning rate of "
    "0.00001, needs more time than two processor cores have; --scale paper trains by the published one."
)


def make_plan(name: str, scale: str, *, published: bool = False) -> Plan:
    """The plan of a paper.

    Args:
        name: A name in `PAPERS`.
        scale: A name in `SCALES`: `tiny` shows in minutes that all of it runs, and its numbers mean nothing; `small`
            is for two processor cores and 90 minutes; `paper` has the numbers of the paper, for a GPU.
        published: Whether the images are those that the paper published.

    Raises:
        InputError: If there is no such paper or scale.
    """
    if name not in PAPERS:
        raise InputError(f"unknown paper {name!r}; known are {', '.join(PAPERS)}")
    if scale not in SCALES:
        raise InputError(f"unknown scale {scale!r}; known are {', '.join(SCALES)}")
    paper = PAPERS[name]
    plan = (_ad22 if name == "ad22" else _da20)(paper, scale)
    said = () if published else (_OWN_DATA, _OWN_LABELS if name == "ad22" else _OWN_PRISTINE)
    return replace(plan, differences=(*said, *plan.differences))


def _ad22(paper: Paper, scale: str) -> Plan:
    pair = paper.methods
    if scale == "paper":
        seeds: dict[str, int] = dict.fromkeys(ALL, 5)
        parts = tuple(
            Part(network, 35_000, "ad22", {}, seeds, Attacked(complete=network == "convnet"))
            for network in paper.networks
        )
        return Plan(paper, scale, 100, _AD22_SHARES, parts, differences=_unlike_ad22(parts))
    if scale == "tiny":
        short = {"epochs": 3, "warm_up": 1, "batch": 32}
        parts = (
            Part("convnet", 160, None, short, {"source": 2, "mmd": 2, "adabn": 1}, Attacked(16, 2, 400)),
            Part("resnet18", 160, None, short, {"source": 1, "mmd": 1}, Attacked(6, 1, 40, complete=False)),
        )
        return Plan(paper, scale, 32, _AD22_SHARES, parts, draws=199, differences=(_OWN_RECIPE, *_unlike_ad22(parts)))
    seeds = {method: 5 if method in pair else 3 for method in ALL}
    parts = (
        Part("convnet", 4300, None, {"epochs": 20}, seeds, Attacked()),
        Part(
            "resnet18",
            800,
            None,
            {"epochs": 6, "warm_up": 1, "batch": 64},
            dict.fromkeys(pair, 3),
            Attacked(30, 3, 1000, complete=False),
        ),
    )
    return Plan(paper, scale, 100, _AD22_SHARES, parts, differences=(_OWN_RECIPE, *_unlike_ad22(parts)))


def _da20(paper: Paper, scale: str) -> Plan:
    methods = paper.methods
    if scale == "paper":
        parts = tuple(
            Part(network, 15_426, "da20", {}, dict.fromkeys(methods, 10 if network == "deepmerge" else 5))
            for network in paper.networks
        )
        return Plan(paper, scale, 75, _DA20_SHARES, parts, binary=True, years=_PRISTINE)
    if scale == "tiny":
        short = {"epochs": 3, "warm_up": 1, "batch": 32}
        parts = tuple(Part(network, 120, None, short, dict.fromkeys(methods, 1)) for network in paper.networks)
        return Plan(
            paper, scale, 32, _DA20_SHARES, parts, binary=True, years=_PRISTINE, draws=199, differences=(_OWN_RECIPE,)
        )
    parts = (
        Part("deepmerge", 2000, None, {"epochs": 20}, dict.fromkeys(methods, 5) | dict.fromkeys(CONTROLS, 3)),
        Part("resnet18", 600, None, {"epochs": 6, "warm_up": 1, "batch": 64}, dict.fromkeys(methods, 3)),
    )
    return Plan(paper, scale, 75, _DA20_SHARES, parts, binary=True, years=_PRISTINE, differences=(_OWN_RECIPE,))


def _unlike_ad22(parts: tuple[Part, ...]) -> tuple[str, ...]:
    """What the attacks leave out, in words."""
    said = []
    for part in parts:
        attacked = part.attacked
        if attacked is not None and attacked.budget is not None:
            said.append(
                f"{part.network}: {attacked.n} test images are attacked in place of 150, with {attacked.budget:,} "
                "queries an image and towards any wrong class, in place of 32,000 towards each."
            )
        if attacked is not None and not attacked.complete:
            said.append(
                f"{part.network}: no complete search, because a pass of every pixel and value through this network "
                "takes hours for a model; that an image was not flipped proves nothing here."
            )
    return tuple(said)
