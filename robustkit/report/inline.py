"""What stands inside a page: its scripts, its numbers, its pictures, and the policy that lets nothing else in."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

# A file of more bytes is linked beside and not embedded; a larger drawing is embedded as a picture.
_EMBEDDED, _LARGE_SVG = 1_000_000, 80_000
_LITE_WIDTH, _LITE_QUALITY = 640, 32  # of a figure in the small page: pixels, and of WebP


def plotly() -> tuple[str, str]:
    """Plotly's script, and the same packed: it is 4.8 MB and 2.0 MB packed, which the page unpacks.

    The script alone is read: importing plotly takes longer than drawing a figure.
    """
    found = find_spec("plotly")
    assert found is not None
    assert found.submodule_search_locations
    path = Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"
    script = path.read_text(encoding="utf-8")
    return script, base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode()


def policy(*scripts: str) -> str:
    """Only the page's own scripts run, and nothing is loaded from anywhere."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    # Plotly writes its own style rules, so styles cannot be held to a hash.
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def safe_json(value: Any) -> Markup:
    """JSON that no name in it can end or open: <, > and & as escapes."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def data_link(name: str, text: str, *, beside: str) -> str:
    """Text as a data: link, or as a link to the file beside the page when it is large."""
    content = text.encode()
    if len(content) > _EMBEDDED:
        return beside
    kind = {"csv": "text/csv", "json": "application/json", "xml": "text/xml"}.get(name.rpartition(".")[2], "text/plain")
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(content).decode()}"


def drawing_link(svg: bytes, png: Path) -> str:
    """A drawing as a data: link: as SVG, or, where that is large, as a WebP picture, three fifths of the PNG."""
    if len(svg) <= _LARGE_SVG:
        return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    with Image.open(png) as drawn:
        return _webp(drawn, 3 * drawn.width // 5, 72)


def small_link(png: Path) -> str:
    """A drawing as a small WebP picture, for a page that is mailed."""
    with Image.open(png) as drawn:
        return _webp(drawn, min(_LITE_WIDTH, drawn.width), _LITE_QUALITY)


def _webp(drawn: Image.Image, width: int, quality: int) -> str:
    picture, size = io.BytesIO(), (width, max(1, round(drawn.height * width / drawn.width)))
    small = drawn.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    small.save(picture, format="WEBP", quality=quality, method=6)
    return f"data:image/webp;base64,{base64.b64encode(picture.getvalue()).decode()}"
