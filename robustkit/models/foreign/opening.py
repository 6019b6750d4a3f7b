"""`open_model`: one door for every checkpoint, which says what it found and refuses what it would have to guess."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from robustkit.code_gate import read_code, say_runs
from robustkit.data import ImageSet, Stretch
from robustkit.errors import WARNING, InputError
from robustkit.files import sha256_file
from robustkit.models.blackbox import BlackBox
from robustkit.models.checkpoint import Card, Checkpoint, Origin, checkpoint_of, is_own
from robustkit.models.classifier import AuditedClassifier
from robustkit.models.decision import Decision
from robustkit.models.endings import cut_ending
from robustkit.models.foreign import kinds
from robustkit.models.foreign.architecture import build_network, code_of
from robustkit.models.foreign.arrange import arrange
from robustkit.models.foreign.found import Found
from robustkit.models.foreign.function import open_function
from robustkit.models.foreign.hugging_face import open_folder
from robustkit.models.foreign.in_front import choose_front
from robustkit.models.foreign.keras_network import open_keras, wrap_keras
from robustkit.models.foreign.kinds import Kind, kind_of
from robustkit.models.foreign.options import ModelOptions, card_beside, read_card
from robustkit.models.foreign.published import build_published, recognise
from robustkit.models.foreign.scaling import input_range, make_stretch
from robustkit.models.foreign.several import NOTHING_TO_COMBINE, open_several
from robustkit.models.foreign.shown import Shown, show
from robustkit.models.foreign.state import StateDict, find_parts, load_state
from robustkit.models.foreign.trusted import check_trust, open_trusted
from robustkit.models.foreign.weights import Content, read_weights
from robustkit.models.fronts.base import FrontEnd, Repaired, behind, in_network
from robustkit.models.latents import MEAN_OF
from robustkit.models.memory import images_in_memory
from robustkit.models.outputs import Output, WrongClassCount, choose_part
from robustkit.models.probing import bands_of
from robustkit.words import to_path


def open_model(
    path: str | os.PathLike[str],
    options: ModelOptions | None = None,
    *,
    images: ImageSet | Callable[[ModelOptions], ImageSet] | None = None,
    device: torch.device | str = "cpu",
    content: Content | None = None,
) -> Checkpoint:
    """Opens any trained classifier; robustkit's own checkpoints need no options.

    Args:
        path: A PyTorch, safetensors, ONNX or Keras file, a Hugging Face folder, or a function as `file.py:function`.
        options: What the user says about it; a card beside the file is read too.
        images: The images that it will be used on, for what nobody has said: names of classes and bands, size, range.
            Or a function that opens them, which is called with all options unless robustkit wrote the checkpoint.
        device: Where to compute.
        content: What `read_weights` gave for this file, where it was read already.

    Returns:
        The classifier with its card; `origin.notes` say what was chosen.

    Raises:
        InputError: If it cannot be opened, or something must be said first; the message says what.
        SecurityError: If opening it would run code that nobody has named.
        MissingExtra: If a package is needed and not installed.
    """
    path = to_path(path, "a model file", "a network in memory goes to rk.attack, rk.audit and the like as it is")
    options = options or ModelOptions()
    if options.members or options.average:
        return open_several(path, options, images, device, _open_member)
    kind = kind_of(path)
    if kind in (kinds.TORCH, kinds.LEGACY, kinds.SAFETENSORS) and options.trust is None:
        content = content or read_weights(path)
        if is_own(content):
            said = [name for name in options.about_network if name not in ("--front", "--arch")]
            if said:
                raise InputError(f"{path} is a robustkit checkpoint and contains its network; omit {', '.join(said)}")
            own = checkpoint_of(content, device=device, front=options.front, arch=options.arch)
            return replace(own, origin=replace(own.origin, options=options.given))
    asked, options = options.front, _with_card(path, replace(options, front=None))
    said, options = options.front, replace(options, front=asked or options.front)
    if callable(images):
        images = images(options)
    if images is not None:
        images = arrange(images, options.class_names, options.bands)
    found = _find(path, kind, content, options, images)
    if not found.black_box:
        found.network.eval()
    found.notes += _without_effect(found, kind, options)
    stretch = None if images is None else make_stretch(found, options, images, images.images.shape[1])
    shape = None if images is None else images.images.shape[1:]
    front = choose_front(asked, said, file=options.card or path, shape=shape)
    classifier = _split(found, options, images, stretch, None if front is None else front[1])
    if stretch is None:
        stretch = make_stretch(found, options, None, classifier.input_shape[0])
    channels, height, width = classifier.input_shape
    card = Card(
        network=options.arch or found.form,
        class_names=classifier.class_names,
        bands=_bands(options, images, classifier.input_shape[0]),
        input_shape=(channels, height, width),
        stretch=stretch.to_json(),
        input_range=input_range(options, images, stretch, classifier.input_shape[0], found.notes),
        latent=classifier.latent_name or "",
        front={} if front is None else front[0],
        data={"split": _given_split(images)} if images is not None and images.meta.get("split") else {},
    )
    code = code_of(options)
    origin = Origin(
        form=found.form,
        sha256=found.sha256,
        options=options.given,
        notes=tuple(dict.fromkeys([*found.notes, *classifier.notes])),
        code_sha256=sha256_file(code) if code is not None and code.is_file() else None,
    )
    return Checkpoint(classifier.to(device), card, stretch, origin)


def _open_member(path: Path, options: ModelOptions, images: ImageSet | None) -> Checkpoint:
    """One of several checkpoints; those of robustkit's know all that the options say of others."""
    own = kind_of(path) is kinds.TORCH and options.trust is None and is_own(read_weights(path))
    return open_model(path, ModelOptions(front=options.front, arch=options.arch) if own else options, images=images)


def _with_card(path: Path, options: ModelOptions) -> ModelOptions:
    if options.card is not None:
        return options.over(read_card(Path(options.card), named=True))
    beside = card_beside(path)
    if beside is None:
        return options
    return options.over(read_card(beside, named=options.arch is not None))


def _find(path: Path, kind: Kind, content: Content | None, options: ModelOptions, images: ImageSet | None) -> Found:
    size = options.input_size or (None if images is None else images.images.shape[2:])
    if options.trust is not None and kind in (kinds.SAFETENSORS, kinds.ONNX, kinds.KERAS_WEIGHTS):
        check_trust(path, options.trust)
        found = _find(path, kind, content, replace(options, trust=None), images)
        found.notes.append(f"--trust-checkpoint has no effect: nothing in {kind.name} is run")
        return found
    if options.trust is not None:
        plain = _without_trust(path, kind, options)
        if plain is None:
            return _trusted(path, kind, options)
        content = plain
    if kind is kinds.ONNX:
        from robustkit.models.foreign.onnx_network import open_onnx  # rarely needed, and not quick to load

        return open_onnx(path, options, lambda: _shown_first(options, images))
    if kind is kinds.FUNCTION:
        return open_function(path)
    if kind is kinds.FOLDER:
        return open_folder(path, options)
    if kind is kinds.KERAS_WEIGHTS:
        return open_keras(path, options)
    if content is None:
        content = read_weights(path)  # which refuses every other kind in words
    if not isinstance(content.value, dict) and not find_parts(content):
        raise InputError(f"{path} holds a {type(content.value).__name__}; expected a state_dict, or a dict with one")
    found = _weights(content, options, size)
    if options.trust is not None:
        found.notes.append("--trust-checkpoint has no effect: with --arch, nothing in this file has to be run")
    return found


def _without_trust(path: Path, kind: Kind, options: ModelOptions) -> Content | None:
    """The weights in a trusted file, where the class is named and they can be read without running anything."""
    assert options.trust is not None
    check_trust(path, options.trust)
    if options.arch is None or kind not in (kinds.TORCH, kinds.LEGACY):
        return None
    try:
        return read_weights(path)
    except InputError:  # it holds objects that are built by code of the file alone, or nothing at all
        return None


def _weights(content: Content, options: ModelOptions, size: Sequence[int] | None) -> Found:
    parts = find_parts(content)
    if options.arch is None:
        raise _no_arch(content, parts)
    found = Found(nn.Identity(), content.kind.name, content.sha256)
    code = read_code(options.arch, "--arch")
    if code.source == "robustkit":
        published = build_published(code.name, parts, (size[0], size[1]) if size else None)
        found.network = published.network
        found.notes.append(published.note)
        found.input_shape = published.input_shape
        content = Content(content.path, content.kind, content.sha256, published.value, content.skipped)
    else:
        found.network, notes = build_network(options, parts)
        found.notes += notes
    found.notes += load_state(found.network, content, key=options.key).notes
    if content.classes:
        found.notes.append(
            f"the file holds a pickled network ({', '.join(content.classes)}), of which the tensors alone were read; "
            f"its code is that of {options.arch}"
        )
    return found


def _trusted(path: Path, kind: Kind, options: ModelOptions) -> Found:
    assert options.trust is not None
    digest = check_trust(path, options.trust)
    say_runs(f"what {path} holds, {kind.name}", "--trust-checkpoint")
    value = open_trusted(path, kind)
    note = f"trusted: {path.name} with SHA-256 {digest} was opened by running code from it, as --trust-checkpoint says"
    if kind is kinds.KERAS:
        return wrap_keras(value, path, options, [note])
    if isinstance(value, nn.Module):
        found = Found(value, kind.name, digest, [note, f"network: {type(value).__name__}, from the file"])
        # Their layers cannot be reached from Python.
        found.black_box = kind in (kinds.TORCHSCRIPT, kinds.EXPORTED)
        return found
    found = _weights(Content(path, kind, digest, value), options, options.input_size)
    found.notes.insert(0, note)
    return found


def _no_arch(content: Content, parts: Sequence[StateDict]) -> InputError:
    if not parts:
        return InputError(f"{content.path} holds no weights; expected a state_dict, or a dict with one under a key")
    known = recognise(parts)
    if content.classes:
        module, _, name = content.classes[0].rpartition(".")
        where = "a script" if module == "__main__" else module
        advice = f"--arch {known}" if known else f"--arch path/to/file.py:{name}"
        return InputError(
            f"{content.path} holds a pickled {name} from {where}: its tensors can be read and its code is not in the "
            f"file; name it with {advice}"
        )
    names = ", ".join(list(parts[0].tensors)[:3])
    advice = (
        f"its layers are those of {known}, so give --arch {known}"
        if known
        else "name the class or factory that they belong to with --arch path/to/file.py:Class"
    )
    return InputError(
        f"{content.path} holds weights ({len(parts[0].tensors)} tensors: {names} ...) and no network; {advice}"
    )


def _without_effect(found: Found, kind: Kind, options: ModelOptions) -> list[str]:
    """What was said and changes nothing, one sentence each."""
    given = {
        "--arch": options.arch is not None,
        "--arch-kwargs": bool(options.arch_kwargs),
        "--key": options.key is not None,
    }
    notes = []
    whole = any(note.startswith("network: ") and note.endswith("from the file") for note in found.notes)
    if kind is kinds.ONNX or found.black_box or whole:
        said = [name for name, value in given.items() if value]
        if said:
            notes.append(f"{WARNING}{' and '.join(said)} has no effect: the network is in the file, {found.form}")
    elif options.arch_kwargs and options.arch is None:
        notes.append(f"{WARNING}--arch-kwargs has no effect without --arch")
    if options.combine is not None:  # an ensemble opens its members without it
        notes.append(NOTHING_TO_COMBINE)
    if found.black_box and options.latent is not None:
        notes.append(f"{WARNING}--latent has no effect: nothing inside of {found.form} can be seen")
    return notes


def _split(
    found: Found, options: ModelOptions, images: ImageSet | None, stretch: Stretch | None, front: FrontEnd | None
) -> AuditedClassifier:
    guess = options.class_names or found.class_names
    if guess is None and images is not None and images.labels is not None and options.tolerance is None:
        guess = images.class_names
        found.notes.append(f"classes: {', '.join(guess)}, in the order of the images, because nobody said --classes")
    shape: Sequence[int] | None = None
    if images is not None:
        shape = images.images.shape[1:]
    elif options.input_size is not None:
        shape = (bands_of(found.network) or 3, *options.input_size)
    elif found.input_shape is not None:
        shape = found.input_shape
    if (decision := options.decision(guess)) is not None:
        found.notes.append(f"decided: {decision.words}")
        guess = decision.names
    part = options.part if options.part is not None and not found.chosen else found.part
    output = Output(part, found.output_kind or options.output_kind or "logits", decision)
    shown = None if images is None or stretch is None else _shown(options, images, stretch)
    # For networks that have no answer to random values.
    examples = None if shown is None else shown.images[[0, len(shown.images) // 2]]
    if found.black_box:
        if shape is None:
            raise InputError(f"{found.form} does not say its input; name images with --data, or give --input-size")
        if front is not None:
            front.check(shape)
            found.network = Repaired(front, found.network)
        return BlackBox(found.network, input_shape=shape, class_names=guess, output=output)
    if found.latent is None and shape is not None:
        output = _scores_of(found, output, options, shown, shape)
    latent, network = found.latent or options.latent, found.network
    if front is not None:
        latent, network = latent and behind(latent), Repaired(front, network)
    numbered = guess is not None and options.class_names is None and guess == tuple(map(str, range(len(guess))))
    make = partial(AuditedClassifier, network, latent=latent, input_shape=shape, output=output, examples=examples)
    try:
        classifier = make(class_names=guess)
    except WrongClassCount as wrong:
        if not numbered or guess is None or wrong.outputs < len(guess):
            raise
        # Labels that are numbers count the outputs, whether or not the images show all of them.
        found.notes.append(f"classes: {wrong.outputs} outputs, of which the labels show {', '.join(guess)}")
        classifier = make(class_names=tuple(map(str, range(wrong.outputs))))
    if front is not None:
        front.check(classifier.input_shape)
        classifier.latent_name = classifier.latent_name and in_network(classifier.latent_name)
        classifier.notes.append(f"repaired by the front end {front.name} before the network")
    if found.latent_name is not None:  # a tensor of a graph
        mean = (classifier.latent_key or "").startswith(MEAN_OF)
        classifier.latent_name = f"{MEAN_OF if mean else ''}{found.latent_name}"
    if decision is not None and decision.threshold is not None and shown is not None:
        _check_reach(classifier, decision, shown)
    return classifier


def _scores_of(
    found: Found, output: Output, options: ModelOptions, shown: Shown | None, shape: Sequence[int]
) -> Output:
    """The part that holds the scores, by the labelled images; and a network without a softmax or sigmoid at its end."""
    images = torch.rand(2, *shape) if shown is None else shown.images
    if output.part is None and shown is not None:
        try:
            with torch.inference_mode():
                returned = found.network(images[:2].clone())
                if not isinstance(returned, torch.Tensor):  # the more images, the surer the choice
                    shown = shown.first(images_in_memory(found.network, images[:2]))
                    returned = found.network(shown.images.clone())
        except Exception:  # the network's own code; what is wrong is said when it is split
            return output
        choice = choose_part(returned, shown.classes, None if output.decision else shown.labels)
        if choice is not None:
            output = replace(output, part=choice.part)
            found.notes.append(f"the scores are part {choice.part!r} of what the network returns, {choice.why}")
    # What a regression ends in is a part of its number.
    ended = None if found.chosen or options.tolerance is not None else cut_ending(found.network, output, images[:2])
    if ended is not None and ended.keeps(options.latent):
        found.network, output = ended.network, replace(output, kind="logits")
        found.notes.append(ended.words)
    return output


def _check_reach(classifier: AuditedClassifier, decision: Decision, shown: Shown) -> None:
    """Refuses a threshold that no score comes to, on either side, where the labels show both outcomes."""
    with torch.inference_mode():
        scores = classifier(shown.images)
    above = scores[:, 1] - scores[:, 0]
    if bool((above > 0).any() and (above <= 0).any()) or shown.labels is None or len(np.unique(shown.labels)) < 2:
        return
    assert decision.threshold is not None
    low, high = torch.sigmoid(above + math.log(decision.threshold / (1 - decision.threshold))).aminmax()
    raise InputError(
        f"the scores of {len(above)} images run from {float(low):.3g} to {float(high):.3g}, so all of them are decided "
        f"as {decision.names[int(above[0] > 0)]!r} at {decision.threshold:g}; give a threshold that the scores reach"
    )


def _shown_first(options: ModelOptions, images: ImageSet | None) -> Shown | None:
    """The same before a network is there; `None` where there are no images."""
    if images is None:
        return None
    return _shown(options, images, make_stretch(Found(nn.Identity(), "", ""), options, images, images.images.shape[1]))


def _shown(options: ModelOptions, images: ImageSet, stretch: Stretch) -> Shown:
    """Some of the images, as the network takes them."""
    classes = None if options.class_names is None else len(options.class_names)
    classes = classes if options.tolerance is None else 1
    return show(images, stretch, classes)


def _bands(options: ModelOptions, images: ImageSet | None, count: int) -> tuple[str, ...]:
    names = options.bands or (images.bands if images is not None else tuple(f"band{i}" for i in range(count)))
    if len(names) != count:
        raise InputError(f"the network takes {count} bands and {len(names)} are named: {', '.join(names)}")
    return names


def _given_split(images: ImageSet) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    for image_id, part in images.meta["split"].items():
        name = "valid" if part in ("val", "validation") else str(part)
        parts.setdefault(name, []).append(image_id)
    return parts
