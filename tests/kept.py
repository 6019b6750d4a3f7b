"""What a command leaves in a folder, without what must differ: how long it took, which day it was, and where it lies.

Only these are passed over:

- in JSON, also that in the header of a record: the keys of `TIMES`, among them the day on which an audit was begun, and
  how many groups a run found finished when it was resumed;
- the column `seconds` of an audit's table of steps, in its CSV, its TeX and its page, and the day on that page;
- in the card of a checkpoint, the way from it to its images (`relative`), which depends on where it lies;
- everywhere, the path of the folder itself.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robustkit.findings.registry import FOLDERS

TIMES = ("seconds", "scoring_seconds", "proving_seconds", "candidates_per_second", "begun", "resumed_after")
_STEP = "|".join((*FOLDERS, "isomap"))
_ROW = re.compile(rf'(<tr><td class="short">[^<]*</td><td class="short">(?:{_STEP})</td><td class="short">)[\d.]+(?=<)')
_TEX = re.compile(rf"^([^&]* & (?:{_STEP}) & )[\d.]+(?= &)", re.MULTILINE)
_DAY = re.compile(r"(?<=Audited on )\d{4}-\d\d-\d\d")
_DOWNLOAD = re.compile(r'download="([^"]+)" href="data:[^"]*?;base64,([^"]*)"')


def contents(folder: Path) -> dict[str, Any]:
    """Every file below a folder, by its name; hidden ones too, because nothing unfinished may stay."""
    own = str(folder).encode()
    return {
        str(path.relative_to(folder)): _told(path.name, path.read_bytes(), own)
        for path in sorted(Path(root, name) for root, _, names in os.walk(folder) for name in names)
    }


def _told(name: str, data: bytes, own: bytes) -> Any:
    suffix = Path(name).suffix
    if suffix == ".npz":
        return _arrays(data, own.decode())
    if suffix == ".pt":
        return _checkpoint(data)
    data = data.replace(own, b"HERE")
    if suffix == ".json":
        return _timeless(json.loads(data))
    if name == "steps.csv":
        return [{key: cell for key, cell in row.items() if key != "seconds"} for row in _rows(data)]
    if name == "steps.tex":
        return _TEX.sub(r"\1", data.decode())
    if suffix == ".html":
        text = _DAY.sub("", _ROW.sub(r"\1", data.decode()))
        inside = [(name, _told(name, base64.b64decode(code), own)) for name, code in _DOWNLOAD.findall(text)]
        return _DOWNLOAD.sub("", text), inside
    return data


def _rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _arrays(data: bytes, own: str) -> dict[str, Any]:
    """The arrays of a record as bytes, and its header."""
    found: dict[str, Any] = {}
    with np.load(io.BytesIO(data)) as archive:
        for name in archive.files:
            array = archive[name]
            header = name in ("__record__", "__records__")
            found[name] = (
                _timeless(json.loads(str(array).replace(own, "HERE")))
                if header
                else (str(array.dtype), array.shape, array.tobytes())
            )
    return found


def _checkpoint(data: bytes) -> Any:
    """The tensors of a checkpoint as bytes, and all else that it says."""
    found = torch.load(io.BytesIO(data), weights_only=True)
    tensors = {name: one.numpy().tobytes() for name, one in found.pop("state_dict").items()}
    card = json.loads(found.pop("card"))
    for said in (card["data"], card["data"].get("target") or {}):
        said.pop("relative", None)
    return tensors, card, found
