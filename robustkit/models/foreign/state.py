"""Which tensors of a checkpoint are the weights of a network: key search, prefixes, split halves, strict loading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from robustkit.errors import InputError
from robustkit.models.foreign.folded import fold
from robustkit.models.foreign.weights import Content

_DEPTH = 4
_MOST_PARTS = 12
# Buffers that some tools or versions of PyTorch leave out or add; nothing is computed from them.
_OPTIONAL = ("num_batches_tracked",)
_COUNTERS = ("total_ops", "total_params", "num_batches_tracked")
# Names that wrappers put into those of the layers that they wrap: torch.compile, DDP, FSDP, checkpointing, DeepSpeed,
# Opacus, adapters. They may wrap any layer, so they may stand anywhere.
_WRAPPERS = frozenset({"_orig_mod", "module", "_fsdp_wrapped_module", "_fpw_module", "_checkpoint_wrapped_module",
                       "_forward_module", "_module", "_ddp_module", "base_layer"})  # fmt: skip
# What the class alone does not compute with, and how it is got rid of where the network was trained.
_LEFT_IN = {
    "lora_": "merge the adapters into the weights before they are saved, with merge_and_unload()",
    "parametrizations.": "take them out before the weights are saved, with torch.nn.utils.parametrize."
    "remove_parametrizations",
    "_fake_quant": "convert the network after quantization-aware training, and export it to ONNX",
}
# What Lightning modules keep beside the network: losses and running scores.
_SCORES = re.compile(r"(train|valid|val|test)_\w+\..*|(criterion|loss|loss_fn|loss_func|metrics?)\..*")


@dataclass(frozen=True)
class StateDict:
    """A dict of tensors inside a checkpoint.

    Attributes:
        where: Its keys from the outside in; empty for the file itself.
        tensors: Its tensors by name.
        folded: What was computed of split weights, in words.
    """

    where: tuple[str, ...]
    tensors: dict[str, Tensor] = field(repr=False)
    folded: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The part in a sentence."""
        return f"the key {'.'.join(self.where)!r}" if self.where else "the file itself"


@dataclass(frozen=True)
class Match:
    """How a part fits a network: file names less `strip`, with `add` before, are the network's.

    Attributes:
        part: The part.
        strip: A prefix of the names in the file.
        add: A prefix of the names in the network.
        tensors: By the network's names.
        left: Names in the part that are not under the prefix.
        wrappers: Names of wrappers that were taken out wherever they stood.
    """

    part: StateDict
    strip: str
    add: str
    tensors: dict[str, Tensor] = field(repr=False)
    left: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What to call it with --key."""
        return ".".join(filter(None, (".".join(self.part.where), self.strip.rstrip("."))))


@dataclass(frozen=True)
class Loaded:
    """What was loaded into a network.

    Attributes:
        dtypes: Number formats of the tensors, such as `float64`.
        notes: Where the weights were, one sentence each.
    """

    dtypes: tuple[str, ...]
    notes: tuple[str, ...]


def find_parts(content: Content) -> list[StateDict]:
    """The dicts of tensors in a checkpoint, in the order of the file; the state of optimisers is left out."""
    return list(islice(_parts(content.value, (), 0, set()), _MOST_PARTS))


def _parts(value: Any, where: tuple[str, ...], depth: int, seen: set[int]) -> Iterator[StateDict]:
    if isinstance(value, list | tuple):  # [model, epoch], in the order of the file
        value = {str(place): item for place, item in enumerate(value[:_MOST_PARTS]) if not isinstance(item, Tensor)}
    if not isinstance(value, Mapping) or depth > _DEPTH or any(not isinstance(key, str) for key in value):
        return
    if id(value) in seen:  # a file of some kilobytes can refer to one dict as often as it likes
        return
    seen.add(id(value))
    tensors = {key: item for key, item in value.items() if isinstance(item, Tensor)}
    if tensors and len(tensors) >= len(value) / 2:
        yield StateDict(where, tensors)
    for key, item in value.items():
        if not (key.startswith("optim") or key.startswith("lr_sched")):
            yield from _parts(item, (*where, key), depth + 1, seen)


def load_state(module: nn.Module, content: Content, *, key: str | None = None) -> Loaded:
    """Loads weights strictly: every tensor of the network comes from the file, and none of its part is left over.

    Args:
        module: The network; its tensors become float32 where they are of floating point.
        content: The opened file.
        key: Which part, where several fit: a key of the file, or a prefix of names.

    Raises:
        InputError: If nothing fits, with the closest part and what differs, or more than one part fits.
    """
    wanted = {name: tensor for name, tensor in module.state_dict().items() if isinstance(tensor, Tensor)}
    parts = find_parts(content)
    if not parts:
        raise InputError(
            f"{content.path} holds no dict of tensors ({_describe(content.value)}); expected a state_dict, or a dict "
            "with one under a key"
        )
    matches = [match for part in parts for match in _matches(part, wanted)]
    if not matches:
        matches = [match for part in parts for match in _unwrapped(part, wanted)]
    if not matches:
        whole = [(part, *fold(part.tensors)) for part in parts]
        parts_folded = [StateDict(part.where, tensors, words) for part, tensors, words in whole if words]
        matches = [match for part in parts_folded for match in _matches(part, wanted) or _unwrapped(part, wanted)]
    if key is not None:
        known = sorted({match.name or "the file itself, so omit --key" for match in matches})
        matches = [match for match in matches if key in (match.name, match.strip, ".".join(match.part.where))]
        if not matches:
            raise InputError(
                f"nothing under {key!r} in {content.path} fits {type(module).__name__}; what fits is "
                f"{', '.join(known) or 'nothing'}"
            )
    if len(matches) > 1:
        matches = _equal_dropped(matches)
    if len(matches) > 1:
        names = ", ".join(match.name or "the file itself" for match in matches)
        raise InputError(f"several parts of {content.path} fit {type(module).__name__}: {names}; choose with --key")
    chosen = matches or _halves(parts, wanted)
    if not chosen:
        raise _misfit(module, content, parts, wanted)
    merged = {name: tensor for match in chosen for name, tensor in match.tensors.items()}
    dtypes = tuple(sorted({str(t.dtype).removeprefix("torch.") for t in merged.values() if t.is_floating_point()}))
    module.float().load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in merged.items()},
        strict=False,  # the names were compared above; only counters of batches may be missing
    )
    notes = [_where(match, len(chosen)) for match in chosen]
    others = [part for part in parts if all(part is not match.part for match in chosen)]
    if others:
        notes.append(f"left out: {', '.join(part.words for part in others)}")
    if content.skipped:
        notes.append(f"Python objects beside the weights, not opened: {', '.join(content.skipped)}")
    if dtypes != ("float32",):
        notes.append(f"the weights are {' and '.join(dtypes)} and are evaluated in float32")
    return Loaded(dtypes, tuple(notes))


def _matches(part: StateDict, wanted: dict[str, Tensor]) -> list[Match]:
    """Every way in which a part is the whole network, mostly none or one."""
    required = [name for name in wanted if not name.endswith(_OPTIONAL)]
    if not required:
        return []
    found = []
    for strip, add in _prefixes(part, required):
        match = _mapped(part, strip, add, wanted)
        if match is not None and all(name in match.tensors for name in required):
            found.append(match)
    return found


def _unwrapped(part: StateDict, wanted: dict[str, Tensor]) -> list[Match]:
    """Every way in which a part is the whole network, once the names of wrappers are taken out of both."""
    names, mine = ({_bare(name): name for name in names} for names in (part.tensors, wanted))
    if len(names) < len(part.tensors) or len(mine) < len(wanted):
        return []  # two layers would have one name
    bare = StateDict(part.where, {name: part.tensors[whole] for name, whole in names.items()})
    found = _matches(bare, {name: wanted[whole] for name, whole in mine.items()})
    taken = sorted({word for name in part.tensors for word in name.split(".")[:-1] if word in _WRAPPERS})
    return [
        replace(
            match,
            part=part,
            tensors={mine[name]: tensor for name, tensor in match.tensors.items()},
            wrappers=tuple(taken),
        )
        for match in found
    ]


def _bare(name: str) -> str:
    *layers, last = name.split(".")
    return ".".join([*(layer for layer in layers if layer not in _WRAPPERS), last])


def _prefixes(part: StateDict, required: list[str]) -> list[tuple[str, str]]:
    """Pairs of a prefix in the file and one in the network, after which the first names agree."""
    pairs: dict[tuple[str, str], None] = {}
    first = required[0]
    for name in part.tensors:
        if name == first:
            pairs[("", "")] = None
        elif name.endswith("." + first):
            pairs[(name[: -len(first)], "")] = None
        elif first.endswith("." + name):
            pairs[("", first[: -len(name)])] = None
        else:  # encoder.conv.weight in the file, backbone.conv.weight in the network
            mine, theirs = first.partition(".")[2], name.partition(".")[2]
            if mine and mine == theirs:
                pairs[(name[: -len(theirs)], first[: -len(mine)])] = None
    return list(pairs)


def _mapped(part: StateDict, strip: str, add: str, wanted: dict[str, Tensor]) -> Match | None:
    """The part with its prefix changed, or `None` if a name or a shape under the prefix is not the network's."""
    tensors, left = {}, []
    for name, tensor in part.tensors.items():
        target = add + name[len(strip) :]
        extra = name.endswith(_COUNTERS) or _SCORES.fullmatch(name[len(strip) :])
        if not name.startswith(strip) or (extra and target not in wanted):
            left.append(name)
        elif target not in wanted or wanted[target].shape != tensor.shape:
            return None
        else:
            tensors[target] = tensor
    return Match(part, strip, add, tensors, tuple(left)) if tensors else None


def _equal_dropped(matches: list[Match]) -> list[Match]:
    """Without matches whose tensors equal those of an earlier one, such as a layer saved under two names."""
    kept: list[Match] = []
    for match in matches:
        if not any(all(torch.equal(match.tensors[n], o.tensors[n]) for n in match.tensors) for o in kept):
            kept.append(match)
    return kept


def _halves(parts: list[StateDict], wanted: dict[str, Tensor]) -> list[Match]:
    """Parts that are the network together: features in one and classifier in the other, each with a prefix."""
    children = ["", *sorted({name[: i + 1] for name in wanted for i, letter in enumerate(name) if letter == "."})]
    options = [
        match
        for part in parts
        for strip in _common_prefixes(part)
        for add in children
        if (match := _mapped(part, strip, add, wanted)) is not None
    ]
    required = {name for name in wanted if not name.endswith(_OPTIONAL)}
    for i, one in enumerate(options):
        for other in options[i + 1 :]:
            names = one.tensors.keys() | other.tensors.keys()
            if one.part is not other.part and not one.tensors.keys() & other.tensors.keys() and required <= names:
                return [one, other]
    return []


def _common_prefixes(part: StateDict) -> list[str]:
    first = next(iter(part.tensors))
    ends = [i + 1 for i, letter in enumerate(first) if letter == "."]
    return ["", *(first[:end] for end in ends if all(name.startswith(first[:end]) for name in part.tensors))]


def _where(match: Match, parts: int) -> str:
    text = ", ".join([f"weights: {len(match.tensors)} tensors from {match.part.words}", *match.part.folded])
    if match.wrappers:
        text += f", {' and '.join(match.wrappers)} taken out of the names of its layers"
    if match.strip:
        text += f", the prefix {match.strip!r} taken off"
    if match.add:
        text += f", {match.add!r} put before" + (" (one half)" if parts > 1 else "")
    if match.left:
        shown = ", ".join(match.left[:3]) + (f" and {len(match.left) - 3} more" if len(match.left) > 3 else "")
        text += f"; not of this network and left out: {shown}"
    return text


def _misfit(module: nn.Module, content: Content, parts: list[StateDict], wanted: dict[str, Tensor]) -> InputError:
    """What differs between the network and the part that is closest to it."""

    def overlap(pair: tuple[StateDict, str]) -> int:
        return sum(pair[1] + name in pair[0].tensors for name in wanted)

    tried = [(part, prefix) for part in parts for prefix in {"", *_common_prefixes(part), "module.", "model.", "net."}]
    part, prefix = max(tried, key=overlap)
    names = {name[len(prefix) :]: t for name, t in part.tensors.items() if name.startswith(prefix)}
    missing = [name for name in wanted if name not in names and not name.endswith(_OPTIONAL)]
    extra = [name for name in names if name not in wanted]
    shapes = [
        f"{name} is {tuple(names[name].shape)} in the file and {tuple(wanted[name].shape)} in the network"
        for name in wanted
        if name in names and names[name].shape != wanted[name].shape
    ]
    said = [
        f"missing in the file: {_some(missing)}" if missing else "",
        f"not in the network: {_some(extra)}" if extra else "",
        _some(shapes, "; ") if shapes else "",
    ]
    advice = (
        "give what the class was built with by --arch-kwargs" if shapes else "name the class that it was saved from"
    )
    advice = next((better for words, better in _LEFT_IN.items() if any(words in name for name in extra)), advice)
    return InputError(
        f"the weights in {content.path} do not fit {type(module).__name__} ({'; '.join(filter(None, said))}); {advice}"
    )


def _some(names: list[str], between: str = ", ", most: int = 3) -> str:
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _describe(value: Any) -> str:
    if isinstance(value, Mapping) and value and not any(isinstance(item, Tensor | Mapping) for item in value.values()):
        kinds = sorted({type(item).__name__ for item in value.values()} - {"Skipped"})
        return (
            "a dict of objects that are not opened, such as NumPy arrays: save tensors"
            if not kinds
            else (f"a dict of {_some(kinds)} under the keys {_some([str(key)[:40] for key in value], most=6)}")
        )
    if isinstance(value, Mapping):
        return "a dict with the keys " + _some([str(key)[:40] for key in value], most=6) if value else "an empty dict"
    return f"a {type(value).__name__}"
