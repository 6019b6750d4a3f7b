"""All small pictures in one, for points under the pointer."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from robustkit.findings.pictures.record import SIDE, Pictures
from robustkit.report.page import Sprite


def sprite_of(pictures: Pictures | None) -> Sprite | None:
    """All small pictures in one, for points under the pointer."""
    if pictures is None or not len(pictures.small):
        return None
    columns = min(25, len(pictures.small))
    rows = -(-len(pictures.small) // columns)
    sheet = np.zeros((rows * columns, SIDE, SIDE, 3), dtype=np.uint8)
    sheet[: len(pictures.small)] = pictures.small
    whole = sheet.reshape(rows, columns, SIDE, SIDE, 3).swapaxes(1, 2).reshape(rows * SIDE, columns * SIDE, 3)
    buffer = io.BytesIO()
    Image.fromarray(whole).save(buffer, format="WEBP", quality=80)
    url = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Sprite(url, SIDE, columns, rows, len(pictures.small))
