"""One PNG or JPEG picture as an array, through Pillow: nothing is scaled, and nothing is dropped silently."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from robustkit.data.guard import reading
from robustkit.data.readers.single import COLOUR_PICTURE, GREY_PICTURE, SingleImage
from robustkit.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")
_KIND = "a PNG or JPEG picture"
_MOST_SCANS = 100  # of a progressive JPEG; ten are usual
_ORIENTATION = 0x0112  # of EXIF
_GREY, _COLOUR = ("grey",), ("R", "G", "B")
_COLOUR_TYPES_OF_SEVERAL_BANDS = (2, 4, 6)  # of PNG: RGB, grey with alpha, RGB with alpha


def read_picture(data: bytes, name: str) -> SingleImage:
    """Decodes a picture.

    Args:
        data: The bytes of the file.
        name: What to call it in an error.

    Returns:
        The picture, shape (1, H, W) or (3, H, W), uint8 or, for 16-bit grey, uint16.

    Raises:
        InputError: If it is damaged, larger than Pillow's MAX_IMAGE_PIXELS, or of a mode with no plain bands.
    """
    if data[:4] == b"\x89PNG" and data[24:25] == b"\x10" and data[25:26] in map(_byte, _COLOUR_TYPES_OF_SEVERAL_BANDS):
        raise InputError(f"{name} has 16 bits per colour, which Pillow cuts to 8; store it as FITS or .npy")
    if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > _MOST_SCANS:  # bytes of pixels never look like that
        raise InputError(f"{name} has more than {_MOST_SCANS} scans, each of which takes all its time; save it again")
    with reading(name, _KIND), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            opened = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        except UnidentifiedImageError as error:
            raise InputError(f"{name} is not {_KIND}; it is damaged or of another kind") from error
        with opened as image:
            if getattr(image, "n_frames", 1) > 1:
                raise InputError(f"{name} holds {getattr(image, 'n_frames', 1)} pictures; expected one per file")
            image.load()
            return _bands(image, name)


def _byte(number: int) -> bytes:
    return bytes([number])


def _bands(image: Image.Image, name: str) -> SingleImage:
    remark = None
    turned = image.getexif().get(_ORIENTATION, 1)
    if turned != 1:
        remark = f"stored turned (EXIF orientation {turned}) and taken as stored, as torchvision does"
    if image.mode in ("L", "RGB") and "transparency" in image.info:
        # One colour is transparent; whether a pixel has it is seen once it is an alpha channel.
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode == "I;16" and (np.asarray(image) == image.info.get("transparency", -1)).any():
        raise InputError(f"{name} is partly transparent; expected plain pixels, so flatten it on a background")
    if image.mode in ("1", "P"):
        remark = f"mode {image.mode} pictures expanded to plain pixels"
        image = image.convert("L" if image.mode == "1" else "RGBA" if "transparency" in image.info else "RGB")
    if image.mode in ("LA", "RGBA"):
        if image.getchannel("A").getextrema() != (255, 255):
            raise InputError(f"{name} is partly transparent; expected plain pixels, so flatten it on a background")
        remark = "an alpha channel that is opaque everywhere was left out"
        image = image.convert(image.mode[:-1])
    pixels = np.asarray(image)
    if image.mode == "L":
        return SingleImage(pixels[None], _GREY, "display", (0.0, 255.0), GREY_PICTURE, remark)
    if image.mode == "RGB":
        return SingleImage(np.moveaxis(pixels, -1, 0), _COLOUR, "display", (0.0, 255.0), COLOUR_PICTURE, remark)
    if image.mode == "I;16":
        return SingleImage(pixels[None], _GREY, "display", (0.0, 65535.0), "16-bit grey picture", remark)
    raise InputError(f"{name} is a picture of mode {image.mode}; expected grey or RGB, so convert it")
