"""Image sets: what they are, how they are read, stretched, split, and simulated.

`open_images` opens any format as an `ImageSet`: images with their bands, units, ids and provenance. A *stretch* maps
their calibrated values to network input; it is fitted once, on source training images. A `Split` divides the objects
of a set into train, valid and test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustkit.lazy import lazy_names

if TYPE_CHECKING:
    from robustkit.data.imageset import ImageSet, Units
    from robustkit.data.open import open_images, open_pair
    from robustkit.data.split import Split, given_split, split_images
    from robustkit.data.stretch import (
        STRETCHES,
        ArcsinhStretch,
        IdentityStretch,
        LuptonStretch,
        MeanStdStretch,
        MinMaxStretch,
        Stretch,
        fit_stretch,
        stretch_from_json,
    )

__all__ = [
    "STRETCHES",
    "ArcsinhStretch",
    "IdentityStretch",
    "ImageSet",
    "LuptonStretch",
    "MeanStdStretch",
    "MinMaxStretch",
    "Split",
    "Stretch",
    "Units",
    "fit_stretch",
    "given_split",
    "open_images",
    "open_pair",
    "split_images",
    "stretch_from_json",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
