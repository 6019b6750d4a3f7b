"""A Hugging Face folder: its configuration chooses among the classes of a library, and brings no code of its own."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from robustkit.code_gate import refuse_code
from robustkit.data.guard import reading
from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.files import read_json, sha256_file
from robustkit.models.foreign import kinds
from robustkit.models.foreign.architecture import build_network
from robustkit.models.foreign.found import Found
from robustkit.models.foreign.options import ModelOptions
from robustkit.models.foreign.state import find_parts, load_state
from robustkit.models.foreign.weights import read_weights

# Keys by which transformers and timm choose what they run: a plain name is from their own tables.
_CHOOSES = re.compile(r"attn|implementation|kernel|backbone$|^architecture$|^model_type$|^base_model|checkpoint")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def open_folder(path: Path, options: ModelOptions) -> Found:
    """Opens a folder of transformers' `AutoModelForImageClassification`, or of timm.

    Raises:
        InputError: If a file is missing, or the configuration names a class that the library does not have.
        MissingExtra: If transformers or timm is not installed.
    """
    config = read_json(path / "config.json")
    weights = next((path / name for name in WEIGHTS if (path / name).is_file()), None)
    if not isinstance(config, dict) or weights is None:
        raise InputError(f"{path} lacks its weights; expected {' or '.join(WEIGHTS)} beside config.json")
    _refuse_places(path / "config.json", config)
    content = read_weights(weights)
    digest = hashlib.sha256(f"{sha256_file(path / 'config.json')} {content.sha256}".encode()).hexdigest()
    if "model_type" in config:
        network, part = _transformers(path), "logits"
    elif isinstance(config.get("architecture"), str) and re.fullmatch(r"[A-Za-z0-9_.]+", config["architecture"]):
        count = config.get("num_classes")
        said = ModelOptions(
            arch=f"timm:{config['architecture']}", class_count=count if isinstance(count, int) else None
        )
        network, part = build_network(said, find_parts(content))[0], None
    else:
        raise InputError(
            f"{path / 'config.json'} names no model_type and no architecture; expected one of transformers"
        )
    note = f"network: {type(network).__name__}, as config.json says"
    made = Found(network, kinds.FOLDER.name, digest, [note], part=part)
    made.notes += load_state(network, content, key=options.key).notes
    labels = config.get("id2label")
    labels = labels if isinstance(labels, dict) and all(re.fullmatch(r"[0-9]{1,9}", key) for key in labels) else {}
    if labels and not all(str(name).startswith("LABEL_") for name in labels.values()):
        made.class_names = tuple(str(labels[key])[:80] for key in sorted(labels, key=int))
    _preprocessing(path, made)
    return made


def _refuse_places(file: Path, config: Any, name: str = "") -> None:
    """Refuses what a configuration would have a library fetch: kernels, backbones and networks of a hub are code."""
    if isinstance(config, dict):
        for key, item in config.items():
            _refuse_places(file, item, str(key))
    elif isinstance(config, list):
        for item in config:
            _refuse_places(file, item, name)
    elif isinstance(config, str) and _CHOOSES.search(name) and not re.fullmatch(r"[A-Za-z0-9_.]*", config):
        refuse_code(f"{name}: {config}", file=file, option="--arch, from its weights")


def _transformers(path: Path) -> Any:
    library = require("transformers", extra="hf", purpose="open a Hugging Face folder")
    with reading(path / "config.json", "a configuration of transformers"):
        # Local files only, and never the code that a configuration may point to.
        config = library.AutoConfig.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
        return library.AutoModelForImageClassification.from_config(config, trust_remote_code=False).float()


def _preprocessing(path: Path, found: Found) -> None:
    """Mean, std and size, where a file of numbers says them."""
    file = path / "preprocessor_config.json"
    if not file.is_file():
        return
    said = read_json(file)
    mean, std = said.get("image_mean"), said.get("image_std")
    if said.get("do_normalize", True) and _numbers(mean) and _numbers(std):
        found.mean, found.std = tuple(mean), tuple(std)
    size = said.get("size")
    if isinstance(size, dict):
        height, width = size.get("height"), size.get("width")
        if isinstance(height, int) and isinstance(width, int) and found.mean:
            found.input_shape = (len(found.mean), height, width)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, int | float) for item in value)
