"""What must hold of a network before anything is measured with it: findings, each with what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from robustkit.errors import InputError, first_line
from robustkit.models.classifier import AuditedClassifier
from robustkit.models.fronts.base import FrontEnd
from robustkit.models.fronts.splitting import flagging, split_front
from robustkit.models.initial import is_initial
from robustkit.models.memory import free_memory, images_in_memory, is_out_of_memory
from robustkit.models.probing import accepts

# Logits that move by less than this between images, alone or beside the gap between classes, hardly move.
_HARDLY = 0.01

Verdict = Literal["ok", "warning", "refusal"]

LARGEST = 64
BATCHES = (1, 7, LARGEST)
# How far logits may lie apart that should be equal, relative to the largest: float32 rounding and no more.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Observation:
    """One thing that was looked at.

    Attributes:
        name: What.
        verdict: `ok`, `warning` (go on, knowing this) or `refusal` (numbers would mean nothing).
        text: What was seen.
        advice: What to do, for a warning or refusal.
    """

    name: str
    verdict: Verdict
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.verdict:8} {self.name}: {self.text}" + (f"; {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Preflight:
    """Findings, in the order in which they were looked at."""

    findings: tuple[Observation, ...]

    def __add__(self, other: Preflight) -> Preflight:
        return Preflight(self.findings + other.findings)

    @property
    def refusals(self) -> tuple[Observation, ...]:
        """The findings for which nothing should be measured."""
        return tuple(finding for finding in self.findings if finding.verdict == "refusal")

    def text(self) -> str:
        """A line for each finding."""
        return "\n".join(map(str, self.findings))

    def to_json(self) -> list[dict[str, str]]:
        """The findings as JSON values."""
        return [asdict(finding) for finding in self.findings]

    def require(self) -> None:
        """Goes on only if nothing is refused.

        Raises:
            InputError: With the first refusal.
        """
        for finding in self.refusals:
            raise InputError(f"{finding.name}: {finding.text}" + (f"; {finding.advice}" if finding.advice else ""))


@torch.inference_mode()
def check_network(
    classifier: AuditedClassifier,
    images: Tensor | None = None,
    *,
    batches: tuple[int, ...] = BATCHES,
    tell: Callable[[Observation], None] | None = None,
) -> Preflight:
    """Looks at what a network does, whatever its classes mean.

    Args:
        classifier: The classifier.
        images: Network input, shape (N, C, H, W); by default random values from 0 to 1.
        batches: Sizes of batches whose answers must agree, the largest last; smaller ones for large networks, and where
            memory runs out.
        tell: Called with each finding as it is made.
    """
    tell = tell or (lambda finding: None)
    parts = split_front(classifier) if flagging(classifier) else None
    if parts is None:
        return Preflight(tuple(_checked(classifier, images, batches, tell)))
    front, behind = parts
    if images is None:
        return Preflight(tuple(_checked(behind, images, batches, tell)))
    found = _flags(front, images)
    tell(found)
    # What is flagged gets no class by design; what is looked at is the network behind.
    return Preflight((found, *_checked(behind, front(images), batches, tell)))


def _flags(front: FrontEnd, images: Tensor) -> Observation:
    """How many images a front end flags as they are."""
    flags, n = int(front.seen(images).flatten(1).any(1).sum()), len(images)
    text = f"{front.name} flags {flags} of {n} images as they are; these get no class"
    return Observation(
        "flags", "warning" if 2 * flags > n else "ok", text, "a higher threshold" if 2 * flags > n else ""
    )


def images_at_once(classifier: AuditedClassifier, most: int) -> int:
    """How many images go through a network in one batch of bounded memory, at least 2."""
    return max(2, min(most, images_in_memory(classifier.module, classifier.example)))


def _checked(
    classifier: AuditedClassifier,
    images: Tensor | None,
    batches: tuple[int, ...],
    tell: Callable[[Observation], None],
) -> list[Observation]:
    try:
        able = images_at_once(classifier, batches[-1])
    except Exception:  # the network's own code, which is run again below
        able = batches[-1]
    if able < batches[-1]:
        batches = (*(size for size in batches if size < able), able)
    most = batches[-1]
    drawn = torch.rand(most, *classifier.input_shape, generator=torch.Generator().manual_seed(0))
    given = drawn if images is None else images
    before = {name: buffer.clone() for name, buffer in classifier.module.named_buffers()}
    while True:
        count = batches[-1]
        images = given[[i % len(given) for i in range(count)]].to(classifier.device)
        findings: list[Observation] = []
        try:
            for finding in _findings(classifier, images, batches, before):
                findings.append(finding)
                tell(finding)
            break
        except Exception as error:  # the network's own code
            if not is_out_of_memory(error):
                text = f"the network fails on a batch of {count}: {first_line(error)}"
                findings.append(Observation("running", "refusal", text, "correct it"))
                tell(findings[-1])
                break
        free_memory()
        if count == 1:
            advice = "use a device with more, or smaller images"
            tell(Observation("memory", "refusal", "memory ran out for a single image", advice))
            return [Observation("memory", "refusal", "memory ran out for a single image", advice)]
        batches = _fewer(batches)
    if count < most:
        text = f"memory ran out for a batch of {most}, so at most {count} were tried at once"
        findings.append(Observation("memory", "warning", text, "a device with more memory is faster"))
        tell(findings[-1])
    return findings


def _fewer(batches: tuple[int, ...]) -> tuple[int, ...]:
    """Smaller batches for a network for which memory ran out, down to one image beside itself."""
    most = batches[-1]
    return batches[:-1] if len(batches) > 2 else (1, 2 if most > 2 else 1)


def _findings(
    classifier: AuditedClassifier, images: Tensor, batches: tuple[int, ...], before: dict[str, Tensor]
) -> Iterator[Observation]:
    clean = images.clone()
    logits = classifier(images)
    yield _size(classifier)
    yield _weights(classifier.module)
    yield _output(classifier, logits)
    yield _repeated(classifier, clean, logits, batches[-2])
    yield _alone(classifier, clean, logits, batches[:-1])
    yield _mode(classifier.module, before)
    yield _input(classifier, images, clean)
    yield _latent(classifier, clean[: batches[-2]], logits[: batches[-2]])
    yield from _trained(classifier, logits, len({image.numpy().tobytes() for image in clean.cpu()}))


def _input(classifier: AuditedClassifier, images: Tensor, clean: Tensor) -> Observation:
    """Whether images are left as they are by the passes made so far, and values far from theirs by one more."""
    advice = "let it work on a copy, x = x.clone()"
    if not torch.equal(images, clean):
        return Observation("input", "refusal", "the network writes into its input", advice)
    low, high = clean.aminmax()
    far = torch.cat([clean[:1] - 2 * (high - low) - 1, clean[:1] + 2 * (high - low) + 1])
    given = far.clone()
    try:
        classifier(given)
    except Exception as error:  # the network's own code, on values that it was not made for
        if is_out_of_memory(error):
            raise
    if not torch.equal(given, far):
        text = "the network writes into its input where values are far from those of the images"
        return Observation("input", "warning", text, advice)
    return Observation("input", "ok", "left as it is")


def _size(classifier: AuditedClassifier) -> Observation:
    bands, height, width = classifier.input_shape
    text = f"{bands} band{'s' * (bands > 1)} of {height}x{width}"
    other = (bands, height + 8, width + 8)
    takes = accepts(classifier.module, other)
    return Observation(
        "size", "ok", f"{text}, {'and other sizes too' if takes else 'and no other size that was tried'}"
    )


def _weights(module: nn.Module) -> Observation:
    count = sum(parameter.numel() for parameter in module.parameters())
    broken = [name for name, tensor in module.state_dict().items() if not bool(torch.isfinite(tensor.float()).all())]
    if broken:
        return Observation("weights", "refusal", f"{broken[0]} holds values that are not finite", "train it again")
    return Observation("weights", "ok", f"{count:,} parameters, all finite" if count else "none that PyTorch finds")


def _output(classifier: AuditedClassifier, logits: Tensor) -> Observation:
    kind, classes = classifier.output.kind, classifier.classes
    text = f"{kind}, {classes} classes: {', '.join(classifier.class_names)}"
    if not bool(logits.isfinite().all()):
        return Observation("output", "refusal", f"{text}; not finite for some images", "look for overflow or 0/0")
    # A softmax of probabilities lies between 1 / (e + K - 1) and e / (e + K - 1).
    most = math.e / (math.e + classes - 1)
    if classifier.output.decision is not None:
        return Observation("output", "ok", f"{text}; decided: {classifier.output.decision.words}")
    if kind == "probabilities" and classes > 1 and float(logits.exp().max()) <= most + 1e-4:
        return Observation(
            "output", "warning", f"{text}, none above {most:.3g}, as after a softmax taken twice",
            "take it once; the classes stay, the margins do not",
        )  # fmt: skip
    column = logits[:, 1] if classes == 2 and not bool(logits[:, 0].any()) else None
    if kind == "logits" and column is not None and bool(((column >= 0) & (column <= 1)).all()):
        if bool(((column == 0) | (column == 1)).all()):
            return Observation(
                "output", "refusal", "every output is 0 or 1, as a predicted class is, and no score",
                "return scores, as predict_proba or decision_function do, or the logits of the network",
            )  # fmt: skip
        return Observation(
            "output", "refusal", "one column between 0 and 1, so class 1 always wins if it is a logit",
            "say --output-kind sigmoid",
        )  # fmt: skip
    return Observation("output", "ok", text)


def _near(classifier: AuditedClassifier, a: Tensor, b: Tensor) -> bool:
    scale = max(float(b.nan_to_num(0, 0, 0).abs().max()), classifier.magnitude) + 1e-6
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=_TOLERANCE * scale, equal_nan=True)


def _repeated(classifier: AuditedClassifier, images: Tensor, logits: Tensor, count: int) -> Observation:
    first, second = (classifier(images[:count].clone()) for _ in range(2))
    if not _near(classifier, first, second):
        return Observation(
            "determinism", "refusal", "a second run on the same images gives different output",
            "switch off dropout and noise in evaluation mode",
        )  # fmt: skip
    return Observation("determinism", "ok", "two runs give identical output")


def _alone(classifier: AuditedClassifier, images: Tensor, logits: Tensor, batches: tuple[int, ...]) -> Observation:
    sizes = f"batches of {', '.join(map(str, batches))} and {len(images)}"
    for size in batches:
        if not _near(classifier, classifier(images[:size].clone()), logits[:size]):
            return Observation(
                "batch", "refusal", f"the output for an image depends on the others in its batch ({sizes} disagree)",
                "take norms and softmax over each image, not over the batch",
            )  # fmt: skip
    found = _among_others(classifier, images)
    if found:
        return Observation(
            "batch", "refusal", f"the answer for a quiet image changes beside {found}, so it depends on its batch",
            "decide for each image by itself: no max(), mean() or if over the whole batch",
        )  # fmt: skip
    if classifier.pairs:
        return Observation(
            "batch", "warning", f"{sizes} agree, but one image alone fails or changes shape",
            "a single image goes through the network twice; squeeze() without dim is the usual cause",
        )  # fmt: skip
    return Observation("batch", "ok", f"{sizes} agree")


def _among_others(classifier: AuditedClassifier, images: Tensor) -> str:
    """Beside what the answers for quiet images change; empty if beside nothing that was tried.

    Ordinary images take the same branch of a network that looks at its whole batch, whatever the size of the batch.
    """
    order = images.flatten(1).amax(1).argsort()
    quiet = images[order[:4]]
    low, high = images.min(), images.max()
    quiet = torch.cat([quiet, low + 0.01 * (quiet - low)])
    far = 10 * (high - low) + 1e-3 * high.abs().maximum(low.abs())
    height, width = images.shape[2:]
    spot = torch.zeros_like(images[:1])
    spot[..., height // 2, width // 2] = 1
    beside = {
        "the brightest one": images[order[-1:]],
        "one with a very bright pixel": torch.where(spot > 0, high + far, quiet[:1]),
        "one with a very dark pixel": torch.where(spot > 0, low - far, quiet[:1]),
        "one that is bright all over": quiet[:1] + far,
    }
    alone = torch.cat([classifier(image[None].clone()) for image in quiet])
    for name, other in beside.items():
        try:
            together = classifier(torch.cat([quiet, other]))[:-1]
        except Exception as error:  # the network's own code, on values that it was not made for
            if is_out_of_memory(error):
                raise
            continue
        if not _near(classifier, together, alone):
            return name
    return ""


def _mode(module: nn.Module, before: dict[str, Tensor]) -> Observation:
    training = [name or "the network" for name, layer in module.named_modules() if layer.training]
    changed = [name for name, buffer in module.named_buffers() if not torch.equal(buffer, before[name])]
    if changed:
        return Observation(
            "mode",
            "refusal",
            f"{changed[0]} changes while the network is only used",
            "call module.eval()",
        )
    if training:
        return Observation("mode", "warning", f"{training[0]} is in training mode", "call module.eval()")
    return Observation("mode", "ok", "evaluation, and no buffer changes")


def _latent(classifier: AuditedClassifier, images: Tensor, logits: Tensor) -> Observation:
    if classifier.latent_name is None:
        return Observation("latent", "warning", f"none: {classifier.why_no_latent}", "what needs latents is left out")
    try:
        latents = classifier.embed(images)
    except InputError as error:
        return Observation("latent", "warning", str(error), "what needs latents may not be measured")
    if not _near(classifier, classifier.head(latents), logits):
        return Observation(
            "latent", "refusal", f"head(embed(x)) at {classifier.latent_name} is not what the network says",
            "name another layer with --latent",
        )  # fmt: skip
    return Observation(
        "latent", "ok", f"{classifier.latent_name}, {latents.shape[1]} numbers; head(embed(x)) is the network"
    )


def _trained(classifier: AuditedClassifier, logits: Tensor, images: int) -> Iterator[Observation]:
    """Whether the network was trained, and says of one image something else than of another."""
    module = classifier.module
    spread = float((logits - logits.mean(0)).abs().max())
    if images > 1 and spread <= 1e-6 * (float(logits.abs().max()) + 1e-6):
        yield Observation("training", "refusal", f"{images} images get the same answer", "the network is constant")
        return
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    fresh = [
        layer
        for layer in norms
        if layer.running_mean is not None
        and layer.running_var is not None
        and not bool(layer.running_mean.any())
        and bool((layer.running_var == 1).all())
    ]
    if norms and len(fresh) == len(norms):
        yield Observation(
            "training", "warning", f"all {len(norms)} batch norms have mean 0 and variance 1, as before any training",
            "look whether the trained weights are in another file, or their statistics were not saved",
        )  # fmt: skip
    elif is_initial(module):
        yield Observation(
            "training", "warning", "every layer has weights as PyTorch draws them before any training",
            "look whether the trained weights are in another file",
        )  # fmt: skip
    else:
        yield Observation("training", "ok", f"logits differ between images by up to {2 * spread:.3g}")
    yield from _answers(logits, images, spread)


def _answers(logits: Tensor, images: int, spread: float) -> Iterator[Observation]:
    """Whether the answers hardly move between images, beside what they differ between classes."""
    first, second = logits.mean(0).topk(2).values.tolist()
    constant = len(logits.argmax(1).unique()) == 1  # small logits that tell images apart are a matter of scale
    if images > 1 and constant and spread < max(_HARDLY, _HARDLY * (first - second)):
        yield Observation(
            "answers", "warning",
            f"the logits of {images} images lie within {2 * spread:.3g}, so its output hardly depends on the image",
            "the network is untrained, or its input is on another scale: check --stretch, --mean and --image-range",
        )  # fmt: skip
