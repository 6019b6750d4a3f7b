"""The settings of the papers, as far as the papers and their code specify them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from robustkit.errors import InputError
from robustkit.training.settings import Settings
from robustkit.words import no_such

# DeepAdversaries, section 3.3. The weight of 0.05 is that of the paper (the published code has 0.01) and multiplies a
# sum of 19 kernels: on the mean of kernels that `Settings.kernels = "median"` takes, it would be 0.95. No mirrorings:
# there the mergers were mirrored before the split. Patience is that of the code.
_AD22 = Settings(
    epochs=100,
    batch=128,
    seed=0,
    learning_rate=1e-5,
    schedule="constant",
    optimiser="adam",
    betas=(0.7, 0.8),
    weight_decay=1e-3,
    patience=10,
    weight=0.05,
    warm_up=0,
    ramp=False,
    kernels="published",
    select="source",
    stretch="arcsinh",
    dihedral=False,
)

# Domain adaptation techniques for improved cross-domain study of galaxy mergers, section 4. The paper fixes Adam,
# one-cycle, early stopping and seed 1; betas, epochs, patience, batch and weight are those of the published code.
_DA20 = replace(
    _AD22,
    epochs=200,
    seed=1,
    learning_rate=1e-3,
    schedule="one-cycle",
    weight_decay=1e-4,
    patience=20,
    weight=1.0,
    stretch="meanstd",
)

PRESETS: dict[str, Settings] = {"ad22": _AD22, "da20": _DA20}


def preset(name: str | None, **changes: Any) -> Settings:
    """The settings of a paper.

    Args:
        name: `ad22` or `da20`; `None` for the defaults of `Settings`.
        changes: Settings to override; with `ad22`, an aligning method also gets the paper's smaller weight decay,
            unless it is given here.

    Raises:
        InputError: If the name is unknown.
    """
    if name is None:
        return Settings(**changes)
    if name not in PRESETS:
        raise InputError(no_such("preset", name, PRESETS))
    if name == "ad22" and Settings(method=changes.get("method", "source")).aligned:
        changes = {"weight_decay": 1e-4, **changes}
    return replace(PRESETS[name], **changes)
