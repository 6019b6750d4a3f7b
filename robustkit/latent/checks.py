"""What embeddings cannot answer, in words."""

from __future__ import annotations

from collections.abc import Iterable

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


def rows_of(ids: np.ndarray, images: Iterable[str]) -> list[int]:
    """Where the images of these ids are among all, each once, in the order given.

    Raises:
        InputError: If one is not among them.
    """
    place = {str(image_id): i for i, image_id in enumerate(ids)}
    for name in images:
        if name not in place:
            raise InputError(f"image {name!r} is not among the {len(ids)} images of the attack, such as {ids[0]}")
    return [place[name] for name in dict.fromkeys(images)]
