"""The settings of a training run: every number that shapes the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import exp
from typing import Any, Literal, get_args

from robustkit.code_gate import read_code
from robustkit.data import STRETCHES
from robustkit.errors import InputError
from robustkit.models import NETWORKS
from robustkit.models.fronts.registry import FRONTS, provided
from robustkit.training.alignment import FisherForm
from robustkit.training.alignment.methods import ADVERSARIAL, ALIGNMENTS, OWN, PLAIN
from robustkit.training.network import BatchNorm
from robustkit.training.tries import tries_of
from robustkit.words import no_such

Kernels = Literal["median", "published"]
Optimiser = Literal["adamw", "adam"]
Precision = Literal["float32", "bf16"]
Schedule = Literal["one-cycle", "constant"]
Select = Literal["information", "source"]
LEARNED = "learned"  # the weight of the penalty, trained with the network


@dataclass(frozen=True)
class Settings:
    """The settings of a training run; its data are arguments of `train`.

    Attributes:
        network: A name in `robustkit.models.NETWORKS`; or any network as `path/to/file.py:Class`,
            `package.module:factory`, `timm:NAME` or `torchvision:NAME`.
        arch_kwargs: What such a network is called with; classes and bands are filled in where it asks for them.
        latent: The layer of such a network whose output is the latent; `None` for its attribute `latent`, or what its
            last affine layer takes.
        method: `source` trains on the source alone; `adabn` then recomputes batch norm's statistics on the target;
            `augment` makes half of the source images as noisy as the target; `mmd`, `dann`, `coral`, `sinkhorn`,
            `mcc` and `cdan` add a penalty, as does your own `Alignment` as `path/to/file.py:Class`; `oracle` trains
            on target labels, as an upper bound.
        epochs: Passes over the longer domain, at least 1.
        batch: Images of each domain in a step; `None` takes 128, or the smaller domain where that has fewer.
        seed: Seed of the weights, the order of the images and their orientations.
        split_seed: Seed of the split, which stays fixed while `seed` changes.
        learning_rate: Peak learning rate of the schedule, above 0.
        schedule: `one-cycle` rises over the first 30% of the steps and falls to almost 0; or `constant`.
        optimiser: `adamw` (decoupled weight decay) or `adam` (an L2 penalty, as in the papers).
        betas: Betas of the optimiser.
        weight_decay: Weight decay of the optimiser, at least 0.
        patience: Epochs without a better checkpoint after which training stops, not before half of the epochs.
        weight: Weight of the penalty, at least 0; for `dann` and `cdan`, of the reversed gradient. `learned` trains it
            with the network, as SIDDA does; not where the penalty is the loss of an opponent.
        warm_up: Epochs in which no term uses the target, fewer than `epochs`.
        ramp: Whether those terms are then switched on smoothly, by 2 / (1 + exp(-10 p)) - 1 for p from 0 to 1.
        kernels: For `mmd`: `median` (unbiased, mean over five) or `published` (biased, sum over 19).
        fisher: Fisher loss around learned centres, `ratio` or `difference`; `None` for none.
        entropy: Weight of the information loss on target predictions, 0 for none.
        batch_norm: `joint` (statistics over both domains) or `separate` (each domain by itself).
        select: Which epoch is kept: `information` (most informative on the target among those within 0.02 of the best
            balanced accuracy on the source), or `source` (most accurate on the source).
        stretch: A name in `robustkit.data.STRETCHES`, fitted on source training images; `None` takes the stretch
            already applied to the images, and otherwise `arcsinh`.
        dihedral: Whether every image is rotated by a random multiple of 90 degrees and mirrored; `None` means yes
            for images in electrons, since the sky has no preferred direction.
        precision: `float32`, or `bf16` for automatic mixed precision.
        pixels: A bad pixel in the source images of each step: `random`, or `worst:K`, the one of K with the largest
            loss; `None` for none. Batch norm's statistics are renewed over clean images.
        pixel_share: Share of the images that get one, in (0, 1]; `None` is one half.
        front: A front end before the network, by name; see `robustkit.models.fronts`.
        init: A checkpoint or state_dict whose weights the network begins with; `None` for random ones.
        compiled: Whether the network goes through `torch.compile`.
    """

    network: str = "convnet"
    arch_kwargs: dict[str, Any] | None = None
    latent: str | None = None
    method: str = "source"
    epochs: int = 60
    batch: int | None = None
    seed: int = 0
    split_seed: int = 0
    learning_rate: float = 1e-3
    schedule: Schedule = "one-cycle"
    optimiser: Optimiser = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    patience: int = 10
    weight: float | Literal["learned"] = 1.0
    warm_up: int = 5
    ramp: bool = True
    kernels: Kernels = "median"
    fisher: FisherForm | None = None
    entropy: float = 0.0
    batch_norm: BatchNorm = "joint"
    select: Select = "information"
    stretch: str | None = None
    dihedral: bool | None = None
    precision: Precision = "float32"
    pixels: str | None = None
    pixel_share: float | None = None
    front: str | None = None
    init: str | None = None
    compiled: bool = False

    def __post_init__(self) -> None:
        open_ended = {"method": (*PLAIN, *ALIGNMENTS), "network": tuple(NETWORKS)}  # both may be added to
        for name, choices in {**CHOICES, **open_ended}.items():
            value = getattr(self, name)
            if value not in choices and not (name in open_ended and ":" in str(value)):
                known = [str(choice) for choice in choices if choice is not None]
                more = {"method": OWN, "network": "any other with --arch path/to/file.py:Class"}.get(name, "")
                raise InputError(no_such(name.replace("_", " "), value, known, more=more))
        for name, least in (("epochs", 1), ("patience", 1), ("seed", 0), ("split_seed", 0), ("warm_up", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("weight", "entropy", "weight_decay"):
            value = getattr(self, name)
            if isinstance(value, str):
                self._check_learned(name, value)
            elif not value >= 0:
                raise InputError(f"{name} must be at least 0, got {value}")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate must be above 0, got {self.learning_rate}")
        if self.batch is not None and self.batch < 2:
            raise InputError(f"batch must be at least 2, got {self.batch}")
        if self.pixels is not None:
            tries_of(self.pixels)
        if self.pixel_share is not None and (self.pixels is None or not 0 < self.pixel_share <= 1):
            what = "needs pixels, random or worst:K" if self.pixels is None else "must be above 0 and at most 1"
            raise InputError(f"pixel_share {what}, got {self.pixel_share}")
        if self.front is not None and not provided(self.front):
            raise InputError(
                f"unknown front {self.front!r} for training; known are {', '.join(FRONTS)}; put one of your own before "
                "the trained network with `robustkit repair`"
            )
        if self.own_network:
            read_code(self.network, "--arch")
        for name in ("arch_kwargs", "latent"):
            if getattr(self, name) is not None and not self.own_network:
                raise InputError(
                    f"{name} describes a network of your own, named with --arch; {self.network} needs none, so omit it"
                )
        if self.uses_target and self.warm_up >= self.epochs:
            raise InputError(
                f"the target is used only after {self.warm_up} epochs of warm-up, and there are {self.epochs} in all; "
                "raise --epochs or lower --warm-up"
            )

    def _check_learned(self, name: str, value: str) -> None:
        if name != "weight" or value != LEARNED:
            also = f", or {LEARNED}" if name == "weight" else ""
            raise InputError(f"{name} must be a number of at least 0{also}; got {value!r}")
        if not self.aligned or self.method in ADVERSARIAL:
            raise InputError(
                f"the weight of the method {self.method} cannot be learned: expected one with a penalty that is no "
                f"opponent's, {', '.join(sorted(set(ALIGNMENTS) - ADVERSARIAL))}"
            )

    @property
    def aligned(self) -> bool:
        """Whether the method has a penalty."""
        return self.method in ALIGNMENTS or self.own_method

    @property
    def own_method(self) -> bool:
        """Whether the method is a class of the user's own, which is imported when training begins."""
        return ":" in self.method

    @property
    def own_network(self) -> bool:
        """Whether the network is none of robustkit's own."""
        return ":" in self.network

    @property
    def network_label(self) -> str:
        """What the network is called in tables and in names of files."""
        return self.network.rpartition(":")[2]

    @property
    def label(self) -> str:
        """What the method is called in tables and in names of files."""
        return self.method.rpartition(":")[2]

    @property
    def title(self) -> str:
        """What a run is called where several are trained at once."""
        return f"{self.network_label}, {self.label}, seed {self.seed}"

    @property
    def uses_target(self) -> bool:
        """Whether every step uses target images."""
        return self.aligned or self.entropy > 0

    @property
    def judged_on_target(self) -> bool:
        """Whether the epoch is chosen by its information on target images."""
        return self.select == "information" and (self.uses_target or self.method == "augment")

    def ramp_at(self, progress: float) -> float:
        """The weight of the terms that use the target.

        Args:
            progress: Epochs so far, with fractions.

        Returns:
            0 in the warm-up, then from 0 to 1.
        """
        if progress < self.warm_up:
            return 0.0
        share = (progress - self.warm_up) / (self.epochs - self.warm_up)
        return 2 / (1 + exp(-10 * share)) - 1 if self.ramp else 1.0

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Differences from another run's `to_json`, as `name: theirs -> ours`."""
        ours = self.to_json()
        names = [field.name for field in fields(self)]
        return [f"{name}: {other.get(name)} -> {ours[name]}" for name in names if other.get(name) != ours[name]]


CHOICES: dict[str, tuple[Any, ...]] = {
    "network": tuple(NETWORKS),
    "optimiser": get_args(Optimiser),
    "schedule": get_args(Schedule),
    "kernels": get_args(Kernels),
    "fisher": (None, *get_args(FisherForm)),
    "batch_norm": get_args(BatchNorm),
    "select": get_args(Select),
    "stretch": (None, "unit", *STRETCHES),
    "precision": get_args(Precision),
}
