"""A network as it was found in a file, with what the file says about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from robustkit.models.choices import OutputKind


@dataclass(eq=False)
class Found:
    """A network as it was found, before it is split.

    Attributes:
        network: The network, in evaluation mode.
        form: What it was opened from, in words.
        sha256: Of that.
        notes: What was found and chosen.
        class_names: Where the files say them.
        mean: Of each band on [0, 1], where the files say it.
        std: Likewise.
        part: Which part of the return value holds the scores, where the form fixes it.
        output_kind: What the scores are, where that is known.
        latent: The layer to split at, where the form has one.
        latent_name: What that layer is called for the user, where that is another name.
        chosen: Whether the output that was asked for is the only one that the network returns already.
        black_box: Whether nothing inside can be reached, so that there is no latent.
        input_shape: (C, H, W), where the form fixes it.
    """

    network: nn.Module
    form: str
    sha256: str
    notes: list[str] = field(default_factory=list)
    class_names: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    part: int | str | None = None
    output_kind: OutputKind | None = None
    latent: str | None = None
    latent_name: str | None = None
    chosen: bool = False
    black_box: bool = False
    input_shape: tuple[int, int, int] | None = None
