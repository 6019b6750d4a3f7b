"""What embeddings cannot answer, in words."""

from __future__ import annotations

import numpy as np

from robustkit.errors import InputError
from robustkit.latent.embeddings import Embeddings


def check_classes(found: Embeddings) -> None:
    """Refuses embeddings that show a single class.

    Raises:
        InputError: If they do.
    """
    present = np.unique(found.true)
    if len(present) < 2:
        names = ", ".join(found.class_names[k] for k in present.tolist()) or "none"
        raise InputError(
            f"the {len(found.ids)} images are of one class ({names}), and there is nothing to set apart; "
            "attack images of at least two classes"
        )
