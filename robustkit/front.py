"""The front door in Python: what the commands do, on a live network and arrays, in one call each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustkit.words import no_such

if TYPE_CHECKING:
    from robustkit.auditing.report import Report
    from robustkit.findings.amplitudes.summary import AmplitudeResult
    from robustkit.findings.attack.summary import AttackResult
    from robustkit.findings.certify.summary import CertifyResult
    from robustkit.findings.distances.summary import DistancesResult
    from robustkit.findings.latents.running import LatentFinding
    from robustkit.findings.maps.summary import MapResult
    from robustkit.findings.sweep.summary import SweepResult
    from robustkit.findings.windows.summary import WindowsResult
    from robustkit.runs.arrays import Model
    from robustkit.runs.sample import Sample

# What describes the model and the images, as `sample_of` takes it.
_SAMPLE = ("ids", "class_names", "bands", "latent", "output", "options", "device")
_RUN = ("resume", "shard", "executor", "say")


def attack(
    model: Model,
    images: Any = None,
    labels: Any = None,
    *,
    search: str | Sequence[str] = (),
    values: str | None = None,
    budget: int | None = None,
    targeted: str | None = None,
    pixels: int = 1,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    **more: Any,
) -> AttackResult:
    """Looks for single pixels that change a classifier's decision, and proves each one.

    Args:
        model: A `torch.nn.Module` in evaluation mode, a checkpoint or ONNX file, an `AuditedClassifier`, or a function
            from float32 images, shape (N, C, H, W), to scores, shape (N, K).
        images: What the model takes, shape (N, C, H, W), NumPy or torch; `None` for the images that a checkpoint file
            was trained on.
        labels: True classes, shape (N,): integers, or names in `class_names`.
        search: A search or several, by name; by default `de`, `auto` and `random`.
        values: What a pixel may become: `corners` (default), `paper`, `grid:M`, `hot`, `dead` or `single-band`.
        budget: The most queries per image, for each search and target.
        targeted: `in-turn` or `each` to ask for particular classes; `None` for any other class.
        pixels: How many pixels are changed at once.
        seed: Of all random numbers, at least 0.
        out: A run folder, kept as `robustkit attack` keeps it; by default nothing is written.
        **more: `ids`, `class_names`, `bands`, `latent`, `output`, `options` and `device`, which describe model and
            images (see `robustkit.runs.arrays.sample_of`); `group`, `preset` and `value_range` (see `AttackRequest`);
            and for a run folder `resume`, `shard`, `executor` and `say` (see `robustkit.runs.running`).

    Returns:
        What was found: `flip_rate`, `images()`, `summary()`, `to_pandas()`, `plot()`, `gallery()`, and the `record`.

    Raises:
        InputError: If the model, images, labels or settings do not fit each other.
    """
    from robustkit.findings.attack.measure import Attack
    from robustkit.findings.attack.record import AttackRequest

    asked = {"searches": _names(search), "values": values, "budget": budget, "targeted": targeted, "pixels": pixels}
    return _measure(Attack, AttackRequest, model, images, labels, {**asked, "seed": seed}, out, more)


def certify(
    model: Model,
    images: Any = None,
    labels: Any = None,
    *,
    values: str = "corners",
    budget: int | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    **more: Any,
) -> CertifyResult | AmplitudeResult:
    """Tries every pixel with every value of a declared set: which images can be flipped at all, and where.

    Args:
        model: As for `attack`.
        images: As for `attack`.
        labels: As for `attack`.
        values: What a pixel may become, as for `attack`; or `line`, every value of each band alone, and `line:W,W,...`,
            every value of all bands together.
        budget: The most queries per image, or pixels with lines; too few bound the chance of a flip only.
        seed: Of a sample of the cells, at least 0.
        out: A run folder, as for `attack`.
        **more: As for `attack`; see `CertifyRequest`.

    Returns:
        What was found: `summary()`, `to_pandas()`, `plot()`, and the `record`.

    Raises:
        InputError: If the model, images, labels or settings do not fit each other.
    """
    from robustkit.findings.amplitudes.measure import FollowLines
    from robustkit.findings.certify.measure import Certify
    from robustkit.findings.certify.record import CertifyRequest
    from robustkit.perturb.amplitudes import is_line

    asked = {"values": values, "budget": budget, "seed": seed}
    return _measure(
        FollowLines if is_line(values) else Certify, CertifyRequest, model, images, labels, asked, out, more
    )


def sweep(
    model: Model,
    images: Any = None,
    labels: Any = None,
    perturbations: str | Sequence[str] = (),
    *,
    suite: str | None = None,
    levels: Sequence[float] = (),
    draws: int = 5,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    **more: Any,
) -> SweepResult:
    """Measures what perturbations in physical units do to a classifier.

    Args:
        model: As for `attack`.
        images: As for `attack`.
        labels: As for `attack`.
        perturbations: One or several by name, such as `["gaussian", "rotation"]`.
        suite: `lsst` or `plain`, instead of names.
        levels: Of a single perturbation; by default its five named levels.
        draws: How often random numbers are drawn for each image.
        seed: Of all random numbers, at least 0.
        out: A run folder, as for `attack`.
        **more: As for `attack`; see `SweepRequest`.

    Returns:
        What was found: `summary()`, `to_pandas()`, `plot()`, and the `record`.

    Raises:
        InputError: If the model, images, labels or settings do not fit each other.
    """
    from robustkit.findings.sweep.measure import Sweep
    from robustkit.findings.sweep.record import SweepRequest

    asked = {"perturbations": _names(perturbations), "suite": suite, "levels": tuple(levels), "draws": draws}
    return _measure(Sweep, SweepRequest, model, images, labels, {**asked, "seed": seed}, out, more)


def windows(
    model: Any, images: Any = None, labels: Any = None, *, base: AttackResult | None = None, **more: Any
) -> WindowsResult:
    """Draws the classes around attacked images: church windows along the flip and the noise of each image.

    Args:
        model: What `attack` found, or a model as for `attack`, which is attacked first.
        images: As for `attack`.
        labels: As for `attack`.
        base: What `attack` found on another model: the same images are drawn under both in `out`.
        **more: The fields of `WindowRequest`, such as `noisy`, where the noisy partners of the images come from
            (`exposure:0.1`, or `none`), the axes `x` and `y`, and `seed`; `out`, a new folder, and `say`, which
            receives progress messages; and for a model whatever else `attack` takes.

    Returns:
        The windows: `summary()`, `to_pandas()`, `plot()`, and the `record`.

    Raises:
        InputError: If the network has no latent, or no image has a window.
    """
    from robustkit.findings.windows.measure import WINDOWS

    return _of_latents(WINDOWS, model, images, labels, base, more)


def isomap(
    model: Any, images: Any = None, labels: Any = None, *, base: AttackResult | None = None, **more: Any
) -> MapResult:
    """Maps the latents of clean and noisy images, and places the flips on the map.

    Args:
        model: As for `windows`.
        images: As for `attack`.
        labels: As for `attack`.
        base: What `attack` found on another model, whose map is laid onto the first.
        **more: As for `windows`, with the fields of `IsomapRequest`, such as `neighbours`, and `others` for `tsne` and
            `umap`.

    Returns:
        The map: `summary()`, `to_pandas()`, `plot()`, and the `record`.

    Raises:
        InputError: If the network has no latent, or there are too few images for a map.
    """
    from robustkit.findings.maps.measure import MAPS

    return _of_latents(MAPS, model, images, labels, base, more)


def distances(
    model: Any, images: Any = None, labels: Any = None, *, base: AttackResult | None = None, **more: Any
) -> DistancesResult:
    """Measures how far noise and single pixels move latents.

    Args:
        model: As for `windows`.
        images: As for `attack`.
        labels: As for `attack`.
        base: What `attack` found on another model, to compare with on the same images.
        **more: As for `windows`, with the fields of `DistancesRequest`, such as `draws`.

    Returns:
        The distances: `summary()`, `to_pandas()`, `plot()`, and the `record`.

    Raises:
        InputError: If the network has no latent.
    """
    from robustkit.findings.distances.measure import DISTANCES

    return _of_latents(DISTANCES, model, images, labels, base, more)


def audit(
    model: Model,
    images: Any = None,
    labels: Any = None,
    *,
    base: Model | None = None,
    out: str | os.PathLike[str] = "audit",
    effort: str = "quick",
    seed: int = 0,
    say: Callable[[str], None] = print,
    **more: Any,
) -> Report:
    """Audits a classifier, and a base classifier on the same images, and writes one page.

    Args:
        model: As for `attack`.
        images: As for `attack`.
        labels: As for `attack`.
        base: Another model to compare with, on the same images.
        out: The folder of the audit: a new one, or that of an earlier audit of the same.
        effort: `quick`, `standard` or `full`.
        seed: Of all random numbers, at least 0.
        say: Receives progress messages.
        **more: `ids`, `class_names`, `bands`, `latent`, `output`, `options` and `device`, as for `attack`; and the
            other fields of `AuditRequest`.

    Returns:
        The report: the `page`, the `checks` of the verdict, and the `numbers`.

    Raises:
        InputError: If the models, images, labels or settings do not fit each other.
    """
    from robustkit.auditing.audit import run_audit
    from robustkit.auditing.report import BASE, MODEL
    from robustkit.auditing.request import AuditRequest
    from robustkit.errors import InputError

    about = {name: more.pop(name) for name in _SAMPLE if name in more}
    if images is None:
        if not isinstance(model, str | os.PathLike):
            raise InputError("give images and labels; only a checkpoint file says where its own are")
        names = {"model": os.fspath(model)} | ({} if base is None else {"base": os.fspath(base)})  # pyright: ignore
        request = AuditRequest(effort=effort, seed=seed, **names, **more)
        how = {name: about[name] for name in ("options", "device") if name in about}
        return run_audit(request, out=out, say=say, **how)
    models = {MODEL: model} | ({} if base is None else {BASE: base})
    samples = {name: _sample(one, images, labels, about) for name, one in models.items()}
    named = {"model": str(samples[MODEL].model)} | ({} if base is None else {"base": str(samples[BASE].model)})
    request = AuditRequest(n=len(samples[MODEL]), part="all", effort=effort, seed=seed, take_all=True, **named, **more)
    return run_audit(request, samples=samples, out=out, say=say)


def train(
    *data: str | os.PathLike[str], out: str | os.PathLike[str], preset: str | None = None, **settings: Any
) -> Any:
    """Trains a classifier on one domain, or on a labelled source and an unlabelled target.

    Args:
        *data: One labelled image set or folder of simulated galaxies, or a source and one or more targets.
        out: The checkpoint (.pt), or a folder for several `seeds`.
        preset: The settings of a paper: `ad22` or `da20`.
        **settings: Fields of `robustkit.training.Settings`, and `seeds`, `resume`, `report_oracle`, `device`,
            `target_labels`.

    Returns:
        What was trained; several of them for several seeds.

    Raises:
        InputError: If the images or settings cannot be used.
    """
    from robustkit.errors import InputError
    from robustkit.training import pair_of, train_many
    from robustkit.training import preset as settings_of

    if not data:
        raise InputError("expected one image set, or a source and one or more targets, got none")
    pair = pair_of(data=data[0]) if len(data) == 1 else pair_of(source=data[0], target=data[1:])
    given = ("seeds", "resume", "report_oracle", "device", "target_labels")
    how = {name: settings.pop(name) for name in given if name in settings}
    trained = train_many(*pair, settings=settings_of(preset, **settings), out=out, **how)
    found = list(trained)
    return found[0] if len(found) == 1 else found


def _of_latents(
    kind: LatentFinding, model: Any, images: Any, labels: Any, base: AttackResult | None, more: dict[str, Any]
) -> Any:
    from robustkit.errors import InputError
    from robustkit.findings.attack.summary import AttackResult
    from robustkit.findings.latents.attacked import Attacked
    from robustkit.findings.latents.running import find_in
    from robustkit.progress import quiet
    from robustkit.words import no_such

    out, say, seed = more.pop("out", None), more.pop("say", quiet), more.get("seed", 0)
    attacked = isinstance(model, AttackResult)
    fields = set(kind.request_type.__dataclass_fields__) - {"data", "base", "base_run", "seed"}
    fields -= set() if attacked else {"search"}  # which is that of the attack
    request = kind.request_type(seed=seed, **{name: more.pop(name) for name in fields & set(more)})
    unknown = sorted(set(more) - {"seed"}) if attacked else []
    if unknown:
        raise InputError(no_such("argument", unknown[0], sorted(fields | {"base", "out", "say", "seed"})))
    found = model if attacked else attack(model, images, labels, **more)
    pair = [Attacked(one.sample, one.record, one.folder) for one in (found, base) if one is not None]
    return find_in(kind, pair, request, None if out is None else Path(out), say)


def _measure(
    kind: Any,
    request: Any,
    model: Any,
    images: Any,
    labels: Any,
    asked: dict[str, Any],
    out: str | os.PathLike[str] | None,
    more: dict[str, Any],
) -> Any:
    from robustkit.errors import InputError
    from robustkit.records import settings_from
    from robustkit.runs.running import run_measurement

    about = {name: more.pop(name) for name in _SAMPLE if name in more}
    how = {name: more.pop(name) for name in _RUN if name in more}
    unknown = sorted(set(more) - set(request.__dataclass_fields__))
    if unknown:
        known = sorted({*request.__dataclass_fields__, *_SAMPLE, *_RUN})
        raise InputError(no_such("argument", unknown[0], known))
    if images is None and not isinstance(model, str | os.PathLike):
        raise InputError("give images and labels; only a checkpoint file says where its own are")
    if images is None:
        how |= {name: about[name] for name in ("options", "device") if name in about}
        if out is not None:
            return run_measurement(kind, model, settings_from(request, asked | more), out=out, **how)
        from robustkit.progress import quiet
        from robustkit.runs.measurement import start

        settings = settings_from(request, {**asked, **more, "options": how.get("options")})
        return start(kind, model, settings, how.get("device"), how.get("say", quiet)).found()
    sample = _sample(model, images, labels, about)
    settings = settings_from(request, {"n": len(sample), "part": "all", "take_all": True, **asked, **more})
    if out is not None:
        return run_measurement(kind, sample, settings, out=out, **how)
    opened = kind(sample, settings)
    opened.rehearse()
    return opened.found()


def _sample(model: Any, images: Any, labels: Any, about: dict[str, Any]) -> Sample:
    import torch

    from robustkit.errors import InputError
    from robustkit.runs.arrays import sample_of

    if labels is None:
        raise InputError("the images need labels, their true classes; give them after the images")
    sample = sample_of(model, images, labels, **about)
    classifier, inputs = sample.checkpoint.classifier, sample.inputs
    with torch.inference_mode():
        for start in range(0, len(sample), 64):
            part = slice(start, start + 64)
            if bool((classifier(inputs[part].to(classifier.device)).argmax(1).cpu() == sample.labels[part]).any()):
                return sample
    raise InputError(
        f"none of the {len(sample)} images is classified correctly, so nothing can be flipped; check the order of the "
        "classes, the scale of the images, and the weights"
    )


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)
