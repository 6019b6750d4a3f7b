"""What a user says about a model: the options of the command line, and the model card in TOML that holds the same."""

from __future__ import annotations

import json
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from robustkit.code_gate import read_code, refuse_code
from robustkit.data.guard import brief, reading
from robustkit.data.imageset import Units
from robustkit.data.preprocess import parse_steps
from robustkit.data.readers.axes import check_axes
from robustkit.data.readers.found import Channels
from robustkit.errors import InputError
from robustkit.files import MOST_TOML, clear_beside, read_text, read_toml, write_text
from robustkit.models.choices import Average, Combine, OutputKind
from robustkit.models.decision import Decision, band_of, cut_at, labels_of, parse_question
from robustkit.words import no_such, shown

MOST_CLASSES = 100_000  # ImageNet's largest list has 21 841

_DECISIONS = ("threshold", "multi_label", "tolerance", "question")
_ABOUT_IMAGES = ("preprocess", "images", "labels", "channels", "axes", "units", "image_range", "nan")


@dataclass(frozen=True)
class ModelOptions:
    """What is said about a model; what is `None` is found, or taken from the images.

    Attributes:
        arch: `path/to/file.py:Class`, `package.module:factory`, `robustkit:ConvNet`, `timm:NAME`, `torchvision:NAME`.
        arch_kwargs: What the class or factory is called with.
        key: Which part of the checkpoint holds the weights, where several could.
        latent: The layer whose output is the latent.
        classes: Names of the K classes in the order of the outputs.
        class_count: K, where the classes are counted and not named.
        bands: Names of the C bands in the order of the input.
        stretch: `none`, `unit` (the bounds of the images to 0 and 1), another stretch by name, or one with its
            constants as a table.
        mean: Of each band, subtracted after `unit` for pictures.
        std: Of each band.
        bounds: Lowest and highest value of the network's input that can occur.
        input_size: Height and width of the images.
        output_index: Position of the scores in a tuple.
        output_key: Key of the scores in a dict.
        output_kind: What the scores are.
        members: Further checkpoints that answer together with the first.
        combine: `mean` of their probabilities, or `votes`.
        average: Views of the image that each answers for: `flips`, `rotations` or `both`.
        threshold: Score of the second of two classes above which it is decided.
        multi_label: Whether each output is a label of its own.
        tolerance: Half the band about the true number that a regression must stay in; see
            `robustkit.models.decision.band_of`.
        question: Which outputs are answers to which question, see `robustkit.models.decision.parse_question`.
        preprocess: What is done to the images before the stretch, in this order, such as `resize 64 64`; see
            `robustkit.data.preprocess`.
        images: Which array, column of paths or FITS extension holds the images.
        labels: Which array or column holds the labels, or a .npy file with them.
        channels: Where the bands of an image are: `first`, `last` or `none`.
        axes: A letter for each axis of the array of images; see `robustkit.data.open_images`.
        units: Of the images: `electron`, `display` or `unknown`.
        image_range: Lowest and highest value that a pixel of the images can take.
        nan: `refuse` or `fill` pixels that are not finite.
        front: The front end before the network, by name, or with its constants as a table; see
            `robustkit.models.fronts`.
        trust: SHA-256 of a file whose code may run.
        card: Where a card was read from.
    """

    arch: str | None = None
    arch_kwargs: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    latent: str | None = None
    classes: tuple[str, ...] | None = None
    class_count: int | None = None
    bands: tuple[str, ...] | None = None
    stretch: str | dict[str, Any] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    bounds: tuple[float, float] | None = None
    input_size: tuple[int, int] | None = None
    output_index: int | None = None
    output_key: str | None = None
    output_kind: OutputKind | None = None
    members: tuple[str, ...] | None = None
    combine: Combine | None = None
    average: Average | None = None
    threshold: float | None = None
    multi_label: bool | None = None
    tolerance: str | float | None = None
    question: str | None = None
    preprocess: tuple[str, ...] | None = None
    images: str | None = None
    labels: str | None = None
    channels: Channels | None = None
    axes: str | None = None
    units: Units | None = None
    image_range: tuple[float, float] | None = None
    nan: Literal["refuse", "fill"] | None = None
    front: str | dict[str, Any] | None = None
    trust: str | None = None
    card: str | None = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise InputError("--mean and --std belong together; give both")
        if self.mean is not None and self.stretch not in (None, "meanstd"):
            raise InputError("--mean and --std are a stretch of their own; leave --stretch out")
        if self.output_index is not None and self.output_key is not None:
            raise InputError("--output-index is for a tuple and --output-key for a dict; give one of them")
        said = [name for name in _DECISIONS if getattr(self, name) is not None]
        if len(said) > 1:
            names = " and ".join("--" + name.replace("_", "-") for name in said)
            raise InputError(f"{names} each say what is decided; give one of them")
        if self.tolerance is not None:
            self._check_tolerance()
        if self.class_count is not None and not 0 < self.class_count <= MOST_CLASSES:
            raise InputError(f"expected --classes between 1 and {MOST_CLASSES:,}, got {brief(self.class_count, 40)}")
        if self.bounds is not None and not -math.inf < self.bounds[0] < self.bounds[1] < math.inf:
            raise InputError(f"expected --bounds as the lowest and the highest value, got {self.bounds}")
        if self.image_range is not None and not -math.inf < self.image_range[0] < self.image_range[1] < math.inf:
            raise InputError(f"expected --image-range as the lowest and the highest value, got {self.image_range}")
        kinds = {"output_kind": OutputKind, "channels": Channels, "units": Units, "nan": Literal["refuse", "fill"]}
        for name, known in kinds.items():
            if (value := getattr(self, name)) is not None and value not in get_args(known):
                raise InputError(no_such("--" + name.replace("_", "-"), value, get_args(known)))
        check_axes(self.axes)
        parse_steps(self.preprocess or ())

    def _check_tolerance(self) -> None:
        assert self.tolerance is not None
        band_of(self.tolerance)
        others = {
            "--classes": self.classes or self.class_count, "--model A B": self.members, "--combine": self.combine,
            "--average": self.average, "--output-kind": self.output_kind not in (None, "logits"),
        }  # fmt: skip
        said = [name for name, value in others.items() if value]
        if said:
            raise InputError(
                f"--tolerance is for a network of one number, and {', '.join(said)} for one of classes; omit one"
            )

    @property
    def given(self) -> dict[str, Any]:
        """What was said, as JSON values."""
        values = {name: value for name, value in asdict(self).items() if value not in (None, {})}
        return json.loads(json.dumps(values))

    def from_root(self) -> ModelOptions:
        """The same, with the paths of code and card from the root: for a process that stands in another folder."""
        code = None if self.arch is None else read_code(self.arch, "--arch")
        if code is None or code.file is None:
            arch = self.arch
        else:
            arch = f"{os.path.abspath(code.file)}:{code.name}"
        labels = self.labels
        if labels is not None and labels.endswith(".npy"):
            labels = os.path.abspath(labels)
        card = None if self.card is None else os.path.abspath(self.card)
        members = None if self.members is None else tuple(map(os.path.abspath, self.members))
        return replace(self, arch=arch, card=card, labels=labels, members=members)

    @property
    def without_paths(self) -> dict[str, Any]:
        """What was said, as JSON values that do not depend on where the files of code and card lie."""
        code = None if self.arch is None else read_code(self.arch, "--arch")
        given = self.given
        if code is not None and code.file is not None:
            given["arch"] = f"{code.file.name}:{code.name}"
        for name in ("card", "labels"):
            if name in given:
                given[name] = os.path.basename(given[name])
        return given

    @property
    def code_named(self) -> list[str]:
        """The code that a person names with these options, or with the card, which is read."""
        card = None if self.card is None else read_card(Path(self.card), named=True)
        front = self.front.get("name") if isinstance(self.front, dict) else self.front
        return [text for text in (self.arch, card and card.arch, front) if isinstance(text, str)]

    @property
    def about_images(self) -> dict[str, Any]:
        """What was said about the images and not about the network, as arguments of `open_images`."""
        names = {name: name for name in ("images", "labels", "channels", "axes", "units", "nan", "preprocess")}
        names["image_range"] = "bounds"
        return {to: getattr(self, name) for name, to in names.items() if getattr(self, name) is not None}

    @property
    def about_network(self) -> list[str]:
        """What was said about the network, as the command line spells it."""
        mine = set(self.given) - set(_ABOUT_IMAGES)
        return ["--" + name.replace("_", "-") for name in self.given if name in mine]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelOptions:
        """The options from `given`."""
        made: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**_checked(made, "what was said about a model"))

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The K classes, by names or by numbers, or `None`."""
        if self.classes is None and self.class_count:
            return tuple(f"class {k}" for k in range(self.class_count))
        return self.classes

    @property
    def outcomes(self) -> int | None:
        """How many classes the images can have; `None` where nobody said it, or more than an output is decided."""
        if self.question is not None or self.multi_label or self.tolerance is not None:
            return self.class_count
        return len(self.classes) if self.classes else self.class_count

    def decision(self, answers: tuple[str, ...] | None) -> Decision | None:
        """What is decided, where it is not the largest output.

        Args:
            answers: Names of the outputs, where they are known.

        Raises:
            InputError: If it does not fit the outputs, or they have no names.
        """
        if self.threshold is not None:
            return cut_at(self.threshold, answers or ())
        if self.tolerance is not None:
            return band_of(self.tolerance)
        if self.multi_label is None and self.question is None:
            return None
        if self.classes is None:
            raise InputError("--question and --multi-label speak of the outputs; name all of them with --classes")
        return labels_of(self.classes) if self.question is None else parse_question(self.question, self.classes)

    @property
    def part(self) -> int | str | None:
        """Which part of the return value holds the scores."""
        return self.output_index if self.output_index is not None else self.output_key

    def over(self, other: ModelOptions) -> ModelOptions:
        """These options, and where they say nothing the other ones."""
        mine = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) not in (None, {})}
        if "classes" in mine or "class_count" in mine:
            other = replace(other, classes=None, class_count=None)
        if "stretch" in mine or "mean" in mine:
            other = replace(other, stretch=None, mean=None, std=None)
        if set(_DECISIONS) & set(mine):
            other = replace(other, threshold=None, multi_label=None, question=None, tolerance=None)
        if "output_index" in mine or "output_key" in mine:
            other = replace(other, output_index=None, output_key=None)
        return replace(other, **mine)


def parse_bands(text: str) -> tuple[str, ...]:
    """`g,r,i` as names of bands."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or len(set(names)) < len(names):
        raise InputError(f"expected --bands as different names in the order of the input, got {text!r}")
    return names


def parse_classes(text: str) -> dict[str, Any]:
    """`spiral,elliptical` or `3` as fields of `ModelOptions`."""
    names = tuple(shown(name.strip()) for name in text.split(",") if name.strip())
    if len(names) == 1 and names[0].isdecimal():
        return {"class_count": int(names[0][:9])}
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(f"expected --classes as names in the order of the outputs, or their number, got {text!r}")
    return {"classes": names}


def parse_kwargs(text: str) -> dict[str, Any]:
    """`--arch-kwargs`: TOML or JSON, or the path of a file with it.

    Raises:
        InputError: If it is neither.
    """
    path = Path(text)
    if path.suffix in (".toml", ".json"):
        text = read_text(path, "arguments in TOML or JSON", most=MOST_TOML)
    try:
        value = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text.replace(";", "\n"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"--arch-kwargs is neither TOML nor JSON ({brief(error)}); write it as 'width = 32; depth = 2' or "
            '\'{"width": 32, "depth": 2}\''
        ) from error
    if not isinstance(value, dict):
        raise InputError(f"expected --arch-kwargs as names with values, got {value!r}")
    return value


def card_beside(model: Path) -> Path | None:
    """The card that lies beside a checkpoint: `best.toml` beside `best.pth.tar`."""
    stem = model.name
    for suffix in (".tar", ".pth", ".pt", ".ckpt", ".safetensors", ".onnx", ".bin", ".h5", ".weights", ".keras"):
        stem = stem.removesuffix(suffix)
    path = model.parent / f"{stem}.toml"
    return path if path.is_file() else None


def read_card(path: Path, *, named: bool) -> ModelOptions:
    """Reads a model card.

    Args:
        path: The card.
        named: Whether the user named it. A card that merely lies beside a checkpoint must not choose code.

    Raises:
        InputError: If it is missing, no TOML, or says something unknown.
        SecurityError: If it names code and nobody named the card.
    """
    value = read_toml(path, "a model card in TOML")
    known = {f.name for f in fields(ModelOptions)} - {"trust", "card"}
    unknown = sorted(set(value) - known)
    if unknown:
        raise InputError(f"the card {path} has no place for {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    arch = value.get("arch")
    if isinstance(arch, str):
        if not named:
            refuse_code(arch, file=f"the card {path} beside the checkpoint", option=f"--card {path} or --arch")
        code = read_code(arch, f"arch in {path}")
        if code.file is not None:
            value["arch"] = f"{path.parent / code.file}:{code.name}"
    labels = value.get("labels")
    if isinstance(labels, str) and labels.endswith(".npy") and not Path(labels).is_absolute():
        value["labels"] = str(path.parent / labels)
    for name in ("classes", "members", "bands", "mean", "std", "bounds", "input_size", "preprocess", "image_range"):
        if isinstance(value.get(name), list):
            value[name] = tuple(shown(item) if isinstance(item, str) else item for item in value[name])
    if isinstance(value.get("classes"), int):
        value["class_count"] = value.pop("classes")
    with reading(path, "a model card"):
        return ModelOptions(**_checked(value, f"the card {path}"), card=str(path))


def _checked(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    kinds: dict[str, Any] = {
        "arch": str, "key": str, "latent": str, "output_key": str, "output_kind": str, "output_index": int,
        "class_count": int, "trust": str, "card": str,
        "threshold": (int, float), "multi_label": bool, "question": str, "tolerance": (str, int, float),
        "members": tuple, "combine": str, "average": str, "arch_kwargs": dict, "stretch": (str, dict),
        "classes": tuple, "bands": tuple, "mean": tuple, "std": tuple, "bounds": tuple, "input_size": tuple,
        "preprocess": tuple, "images": str, "labels": str, "channels": str, "axes": str, "units": str,
        "image_range": tuple, "nan": str, "front": (str, dict),
    }  # fmt: skip
    for name, item in value.items():
        inside: dict[str, Any] = dict.fromkeys(("classes", "members", "bands", "preprocess"), str)
        inside |= dict.fromkeys(("mean", "std", "bounds", "image_range"), (int, float))
        wrong = (
            name not in kinds
            or not isinstance(item, kinds[name])
            or (isinstance(item, bool) and kinds[name] is not bool)
        )
        if not wrong and isinstance(item, tuple):
            wrong = not all(isinstance(one, inside.get(name, int)) for one in item)
        if wrong or (name in ("bounds", "input_size", "image_range") and isinstance(item, tuple) and len(item) != 2):
            raise InputError(
                f"{where} gives {name} as {brief(repr(item))}; see the example of `robustkit inspect --write`"
            )
    return dict(value)


def write_card(path: Path, options: ModelOptions, notes: tuple[str, ...] = ()) -> None:
    """Writes a model card that `read_card` reads, with remarks as comments."""
    clear_beside(path)
    write_text(path, card_text(options, notes))


def card_text(options: ModelOptions, notes: tuple[str, ...] = ()) -> str:
    """A model card in TOML."""
    remarks = ("A model card of robustkit: what a checkpoint does not say about itself.", *notes)
    lines = [*(f"# {' '.join(remark.split())}" for remark in remarks), ""]
    tables: list[str] = []
    values = {name: value for name, value in options.given.items() if name not in ("trust", "card")}
    for name, value in values.items():
        if isinstance(value, dict):
            tables += ["", f"[{name}]", *(f"{_key(key)} = {_toml(item)}" for key, item in value.items())]
        else:
            lines.append(f"{name} = {_toml(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _toml(value: Any) -> str:
    """A JSON value as TOML; strings and numbers are written alike in both."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=True)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)
