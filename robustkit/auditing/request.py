"""What an audit is asked to do: options, three efforts, and the file that holds all of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Container, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from robustkit.code_gate import refuse_code, refuse_function_of_file
from robustkit.errors import InputError
from robustkit.files import read_toml, write_text
from robustkit.findings.attack.record import AttackPart
from robustkit.findings.certify.record import CertifyPart
from robustkit.findings.hazard.record import HazardPart
from robustkit.findings.remedy.record import RemedyPart, quick
from robustkit.findings.sweep.record import SweepPart
from robustkit.perturb.faults.registry import refuse_perturbations
from robustkit.perturb.search.registry import refuse_searches
from robustkit.words import no_such

FILE = "audit.toml"
EFFORTS = ("quick", "standard", "full")
# Queries per image of each search under --quick: the first of them that the time allows, or the last.
QUICK_BUDGETS = (4000, 2000, 1000, 500, 250)
SUITES = ("auto", "quick", "lsst", "plain")
# What an audit.toml may say that can name code.
CODE = ("model", "base", "perturbations", "searches", "findings")
# Options of a command line that belong to a part of the request.
_OF_PARTS = ("perturbations", "searches", "remedy", "remedy_models")
_PATHS = ("model", "base", "data", "baseline", "catalogue")


@dataclass(frozen=True)
class Thresholds:
    """What the verdict holds the numbers against.

    Attributes:
        gain: How far from the best constant answer to all right accuracy must be, as a part of the way.
        flip_rate: The most images, of those classified correctly, that one pixel may flip.
        accidents: The most objects that accidents of known rate may give another class, before any is masked.
        random_extreme: The highest mean chance that a random pixel at an extreme value flips an image.
        exposure_loss: The most accuracy that a tenth of the exposure may cost.
        fault_loss: The most accuracy that any perturbation may cost at its third level.
        calibration_error: The largest root mean square difference of confidence and accuracy.
        domain_gap: The most accuracy that may be lost from source to target.
        lost_to_base: The most accuracy that may be lost against the base model where nothing is to be gained.
    """

    gain: float = 0.1
    flip_rate: float = 0.1
    accidents: float = 0.05
    random_extreme: float = 0.05
    exposure_loss: float = 0.05
    fault_loss: float = 0.1
    calibration_error: float = 0.1
    domain_gap: float = 0.05
    lost_to_base: float = 0.05


@dataclass(frozen=True)
class AuditRequest:
    """All that an audit is asked to do.

    Attributes:
        model: The checkpoint.
        base: A checkpoint to compare with, on the same images.
        data: The image set; empty for the one that the model was trained on.
        part: A part of the model's split, or `all`.
        n: How many images to draw.
        seed: Random seed, for drawing images and for everything random.
        take_all: Continue with all images of the part when there are fewer than n.
        effort: `quick`, `standard` or `full`.
        fail_under: Gates such as `flip_rate<=0.9`; `require` in an audit.toml is another name for it.
        catalogue: A table of the objects with their ids; empty for the one that comes with the images.
        baseline: The audit.json of an earlier audit of the same images; a gate fails where this one is worse.
        findings: Findings of your own, as path/to/file.py:Class or package.module:Class.
        attack: The one-pixel attack.
        sweep: The sweeps.
        certify: The complete search.
        hazard: Accidents at random places.
        remedy: What would help.
        thresholds: What the verdict holds the numbers against.
    """

    model: str
    base: str = ""
    data: str = ""
    part: str = "test"
    n: int = 150
    seed: int = 0
    take_all: bool = False
    effort: str = "standard"
    fail_under: tuple[str, ...] = ()
    baseline: str = ""
    catalogue: str = ""
    findings: tuple[str, ...] = ()
    attack: AttackPart = field(default_factory=AttackPart)
    sweep: SweepPart = field(default_factory=SweepPart)
    certify: CertifyPart = field(default_factory=CertifyPart)
    hazard: HazardPart = field(default_factory=HazardPart)
    remedy: RemedyPart = field(default_factory=RemedyPart)
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        if self.effort not in EFFORTS:
            raise InputError(no_such("effort", self.effort, EFFORTS))
        if self.n < 1:
            raise InputError(f"expected at least 1 image, got n = {self.n}")
        if self.sweep.draws < 1:
            raise InputError(f"[sweep] draws must be at least 1, got {self.sweep.draws}")
        if self.sweep.suite not in SUITES:
            raise InputError(no_such("suite", self.sweep.suite, SUITES))
        for gate in self.fail_under:
            read_gate(gate)

    def to_toml(self) -> str:
        """The request as the file that makes it again."""
        values = asdict(self)
        tables = {name: value for name, value in values.items() if isinstance(value, dict)}
        lines = [f"{name} = {_toml(value)}" for name, value in values.items() if name not in tables]
        for name, table in tables.items():
            lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Gate:
    """A number that must stay on one side of another.

    Attributes:
        text: As it was written.
        metric: The name of the number in `audit.json`.
        end: `value`, `low` or `high`: the number itself or an end of its interval.
        sign: `<`, `<=`, `>` or `>=`.
        limit: The other number.
    """

    text: str
    metric: str
    end: str
    sign: str
    limit: float

    def holds(self, value: float) -> bool:
        """Whether a value is on the right side."""
        return {
            "<": value < self.limit,
            "<=": value <= self.limit,
            ">": value > self.limit,
            ">=": value >= self.limit,
        }[self.sign]


def read_gate(text: str) -> Gate:
    """Reads a gate such as `flip_rate<=0.9` or `accuracy.low>0.7`.

    Raises:
        InputError: If it is not one.

    Examples:
        >>> read_gate("accuracy.low > 0.7").end
        'low'
    """
    found = re.fullmatch(
        r"\s*([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*?)(?:\.(value|low|high))?\s*(<=|>=|<|>)\s*(\S+)\s*", text
    )
    try:
        limit = float(found[4]) if found else float("nan")
    except ValueError:
        limit = float("nan")
    if found is None or limit != limit:
        raise InputError(f"expected a gate such as 'flip_rate<=0.9' or 'accuracy.low>=0.7', got {text!r}")
    return Gate(text.strip(), found[1], found[2] or "value", found[3], limit)


def of_effort(request: AuditRequest) -> AuditRequest:
    """The request with what its effort changes, where the request itself says nothing else."""
    plain = AuditRequest(request.model)
    if request.effort == "quick":
        if replace(request.sweep, draws=plain.sweep.draws) == plain.sweep:
            request = replace(request, sweep=replace(request.sweep, suite="quick"))
        if request.certify == plain.certify:
            request = replace(request, certify=CertifyPart(seconds=60.0))
        if request.attack.budget == 0:
            request = replace(request, attack=replace(request.attack, budget=QUICK_BUDGETS[0]))
        request = replace(request, remedy=quick(request.remedy))
    if request.effort == "full":
        request = replace(request, remedy=replace(request.remedy, tried=True))
        if request.certify == plain.certify:
            request = replace(request, certify=CertifyPart(seconds=0.0))
    return request


def read_request(path: str | os.PathLike[str], *, named: Container[str] = ()) -> AuditRequest:
    """Reads an `audit.toml`; paths in it start beside it.

    Args:
        path: The file.
        perturbations: What a person names in place of the perturbations of the file, which never choose code.
        named: Which of `CODE` a person names in place of those of the file, or nobody uses: a file never chooses code.

    Raises:
        InputError: If the file is missing, is not TOML, has a key that is not known, or a value of another kind.
        SecurityError: If it names code to run.
    """
    path = Path(path)
    values = read_toml(path, "an audit file in TOML")
    if not isinstance(values.get("model"), str) or not values["model"]:
        raise InputError(f'{path} names no model; write model = "ckpt.pt"')
    if isinstance(values.get("require"), list):  # another name for the same gates
        values["fail_under"] = [*values.get("fail_under", []), *values.pop("require")]
    request = _fill(AuditRequest, values, str(path))
    if "perturbations" not in named:
        refuse_perturbations(request.sweep.perturbations, file=path)
    if "searches" not in named:
        refuse_searches(request.attack.searches, file=path)
    for name in request.findings:
        if "findings" not in named:
            refuse_code(name, file=path, option="--finding")
    for name in ("model", "base"):
        if name not in named:
            refuse_function_of_file(getattr(request, name), file=path, option=f"--{name}")
    for name in request.remedy.models:
        refuse_function_of_file(name, file=path, option="--remedy-model")
    beside = {name: _beside(path.parent, getattr(request, name)) for name in _PATHS}
    return replace(_with_models(request, partial(_beside, path.parent)), **beside)


def request_of(file: Path | None, given: Mapping[str, Any]) -> AuditRequest:
    """The request of a command line: its file, or its options, or its file with some options changed.

    Args:
        file: An audit.toml, or `None`.
        given: Options by the names of `AuditRequest`; `perturbations`, `searches` and `remedy_models`, which take the
            place of those of the file; and `remedy`, whether remedies are tried.

    Raises:
        InputError: If neither names a model, or the file is refused.
    """
    perturbations, searches = (tuple(given.get(name, ())) for name in ("perturbations", "searches"))
    whole = {name: value for name, value in given.items() if name not in _OF_PARTS}
    if file is not None:
        request = replace(read_request(file, named=given), **whole)
    elif given.get("model"):
        whole.setdefault("take_all", "n" not in whole)
        request = AuditRequest(**whole)
    else:
        raise InputError("name a checkpoint with --model, or give an audit.toml")
    more = tuple(given.get("remedy_models", ()))
    if given.get("remedy") or more:
        models = more or request.remedy.models
        request = replace(request, remedy=replace(request.remedy, tried=True, models=models))
    if perturbations:
        request = replace(request, sweep=SweepPart(perturbations=perturbations))
    return replace(request, attack=replace(request.attack, searches=searches)) if searches else request


def save_request(request: AuditRequest, path: Path) -> None:
    """Writes the request that ran, with paths from the root so that it runs from anywhere."""
    whole = {name: _whole(getattr(request, name)) for name in _PATHS}
    said = replace(_with_models(request, _whole), **whole).to_toml()
    write_text(path, f"# robustkit audit {path.name}\n{said}")


def _with_models(request: AuditRequest, place: Callable[[str], str]) -> AuditRequest:
    """The request with the paths of further models put elsewhere."""
    return replace(request, remedy=replace(request.remedy, models=tuple(map(place, request.remedy.models))))


def command_of(request: AuditRequest, start: Path) -> str:
    """The command line that makes an audit again; what it does not say is in its `audit.toml`.

    Args:
        request: The request.
        start: The folder in which it is to be given: paths beneath it are shortened.
    """
    plain = AuditRequest(request.model)
    words = ["robustkit", "audit"]
    for name in ("model", "base", "data", "part", "n", "seed"):
        value = getattr(request, name)
        if name == "model" or value != getattr(plain, name):
            beneath = name in _PATHS and Path(value).is_relative_to(start)
            words += [f"--{name}", str(Path(value).relative_to(start) if beneath else value)]
    words += ["--all"] if request.take_all else []
    words += [] if request.effort == plain.effort else [f"--{request.effort}"]
    words += ["--remedy"] if request.remedy.tried and request.effort != "full" else []
    for flag, values in (("--perturb", request.sweep.perturbations), ("--search", request.attack.searches),
                         ("--remedy-model", request.remedy.models), ("--finding", request.findings),
                         ("--require", request.fail_under)):  # fmt: skip
        words += [word for value in values for word in (flag, value)]
    return shlex.join(words)


def _beside(folder: Path, name: str) -> str:
    return os.path.normpath(folder / name) if name else ""


def _whole(name: str) -> str:
    return os.path.abspath(name) if name else ""


def _fill(kind: Any, values: Mapping[str, Any], where: str) -> Any:
    """A dataclass from a table, key by key; its defaults say what kind each value is."""
    known = {one.name: one for one in fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InputError(f"{where}: {no_such('key', unknown[0], known)}")
    found: dict[str, Any] = {}
    default = AuditRequest("") if kind is AuditRequest else kind()
    for key, value in values.items():
        like = getattr(default, key)
        found[key] = _as(like, value, f"{where}: {key}")
    return kind(**found)


def _as(like: Any, value: Any, where: str) -> Any:
    if isinstance(like, tuple) and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if hasattr(like, "__dataclass_fields__") and isinstance(value, dict):
        return _fill(type(like), value, where)
    if isinstance(like, float) and isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, float) or abs(value) <= sys.float_info.max:
            return float(value)
        raise InputError(f"{where} is beyond all numbers; expected less than {sys.float_info.max:g}")
    if type(like) is type(value):
        return value
    wanted = "a list of texts" if isinstance(like, tuple) else type(like).__name__
    raise InputError(f"{where} should be {wanted}, got {value!r}")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return repr(value)
