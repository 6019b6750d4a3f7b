"""What every finding about latents is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass

from robustkit.errors import InputError
from robustkit.options import option

EMBEDDINGS, NOTES = "embeddings.npz", "notes.json"


@dataclass(frozen=True, kw_only=True)
class LatentRequest:
    """Which latents are looked at.

    Attributes:
        noisy: Where the noisy twins come from; see `robustkit.findings.latents.twins.make_twins`.
        data: The images that were attacked; by default where the run says they are.
        search: Take the flips of this search alone.
        seed: Of all random numbers that are drawn here.
    """

    noisy: str | os.PathLike[str] | None = option(
        None, "Noisy twins: a depth (Y1), an image set, exposure:0.1, none.", shown="the shallowest"
    )
    data: str | os.PathLike[str] | None = option(
        None, "The images that were attacked.", shown="where the run says they are"
    )
    search: str | None = option(
        None, "Take the flips and the queries of this search alone.", shown="of each image the first search that flips"
    )
    seed: int = option(0, "Of noise made here, and of all random numbers.")


@dataclass(frozen=True, kw_only=True)
class PairRequest(LatentRequest):
    """The latents of a model and, if there is a base, of that.

    Attributes:
        base: Another checkpoint to compare with, on the same images.
        base_run: The attack on it.
    """

    base: str | os.PathLike[str] | None = option(None, "Another checkpoint to compare with, on the same images.")
    base_run: str | os.PathLike[str] | None = option(None, "The folder of an attack on it.")

    def __post_init__(self) -> None:
        if (self.base is None) != (self.base_run is None):
            raise InputError("a second model is compared by its own attack: give --base and --base-run, or neither")
