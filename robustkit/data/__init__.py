"""Image sets: what they are, how they are read, stretched, split, and simulated."""

from robustkit.data.imageset import ImageSet
from robustkit.data.stretch import (
    STRETCHES,
    ArcsinhStretch,
    IdentityStretch,
    LuptonStretch,
    MeanStdStretch,
    MinMaxStretch,
    Stretch,
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
    "Stretch",
    "stretch_from_json",
]
