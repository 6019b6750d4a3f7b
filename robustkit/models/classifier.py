"""`AuditedClassifier`: any network as features -> latent -> head, split at one named layer and proved to be so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from robustkit.errors import InputError, OutOfMemory, first_line
from robustkit.models.decision import Within
from robustkit.models.fronts.base import flagged, without_class
from robustkit.models.latents import LAST_STEP, MEAN_OF, Place, latent_candidates, place_of, shortened
from robustkit.models.memory import is_out_of_memory
from robustkit.models.outputs import Output, WrongClassCount, check_kind, choose_part
from robustkit.models.probing import OfBatch, Paired, advice_for, batch_taken, in_float32, probed_shape, why_refused

# How far head(embed(x)) may lie from model(x), relative to the size of the logits: float32 rounding and no more.
_SPLIT_TOLERANCE = 1e-4
# Images that go through at once where the code after the latent holds their number.
_COPIES = 64
# Numbers of maps that are made of latents at once.
_NUMBERS = 1 << 24
# How far the same layers may lie apart on the same latents: nothing, but for kernels that add in any order.
_SAME = 1e-6


class AuditedClassifier:
    """A trained network, evaluated in float32 and split at the output of one named layer, or at its input.

    The weights stay where they are: `head` runs the same network with N latents put in the layer's place. A network
    without one layer to split at, as an ensemble, has no latent; only `embed` and `head` are refused then.

    Args:
        module: The network, in evaluation mode.
        latent: Name of the layer whose output is the latent, as in `module.named_modules()`; `input of NAME` for
            what a layer takes; `input of the last affine step`, which may be a function; any of them after `mean of`
            for the mean over a map. By default the module's own `latent` attribute, or else what its last affine
            step takes.
        input_shape: (C, H, W) of the images it takes; by default found by trying.
        class_names: The K classes, in the order of the logits.
        output: Which part of the return value holds the scores, and what they are; by default logits, and of several
            parts the one that has their shape.
        examples: Network input, shape (2, C, H, W), to try it on where it has no finite answer to random values from 0
            to 1, as networks for calibrated values may.
        steps: Whether functions of the code may be where it is split, and not layers alone, as training needs.

    Attributes:
        notes: What was chosen or changed without being asked for, one sentence each.
        latent_name: Where the latent is; `None` where there is no latent.
        why_no_latent: Why it has no latent; empty if it has one.
        example: Network input that it was tried on, one image, or two where it takes no single one.
        magnitude: The largest of the network's own scores for two images, to which rounding is relative; what a
            decision makes of them may be far smaller.

    Raises:
        InputError: If the network is in training mode, the layer is unknown, runs twice or is bypassed, or the
            output is not what `output` says. The message says what to do.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        latent: str | None = None,
        input_shape: Sequence[int] | None = None,
        class_names: Sequence[str] | None = None,
        output: Output | None = None,
        examples: Tensor | None = None,
        steps: bool = True,
    ) -> None:
        if module.training and "eval" not in vars(module):  # an exported graph has no modes
            raise InputError("the network is in training mode, where its output changes; call module.eval() first")
        self.module, self.notes = in_float32(module)
        self.output = output or Output()
        self.shape_found = input_shape is None
        if input_shape is None:
            input_shape, note = probed_shape(module)
            self.notes.append(note)
        self.input_shape = tuple(int(size) for size in input_shape)
        self._examples, self._on_examples = examples, False
        self._network, self.pairs = module, False
        self.latent_name: str | None = None
        self._place: Place | None = None
        self._steps, self._copies, self.why_no_latent, self.magnitude = steps, False, "", 0.0
        logits = self._look(class_names)
        self.classes = logits.shape[1]
        self.class_names = tuple(class_names or (f"class {k}" for k in range(self.classes)))
        if len(self.class_names) != self.classes:
            raise WrongClassCount(self.classes, self.class_names)
        self._choose_latent(latent, logits)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of images.

        Args:
            images: Network input, shape (N, C, H, W), float32, on the network's device.

        Returns:
            Logits, shape (N, K); not a number for images that a front end flags.
        """
        flags = flagged(self._network, images)
        return without_class(self.output.logits(self.module(images)), flags)

    def embed(self, images: Tensor) -> Tensor:
        """Latents of images, shape (N, C, H, W) to (N, D).

        Raises:
            InputError: If there is no latent, or its layer does not run for these images.
        """
        self._require_latent()
        latents, _ = self.embed_and_answer(images)
        if latents is None:
            raise InputError(
                f"the layer {self.latent_name!r} does not run for these images; name another with --latent"
            )
        return latents

    def embed_and_answer(self, images: Tensor) -> tuple[Tensor | None, Tensor]:
        """Latents and logits of images, shape (N, C, H, W), by one pass through the network.

        Returns:
            Latents, shape (N, D), `None` where there is no latent, or its layer does not run for these images; logits,
            shape (N, K).
        """
        if self._place is None:
            return None, self(images)
        seen: list[Tensor] = []
        with self._place.watched(lambda latent: seen.append(latent.clone())):
            logits = self(images)
        return self._place.latents(seen[0][: len(images)]).flatten(1) if seen else None, logits

    def head(self, latents: Tensor) -> Tensor:
        """Logits of latents, shape (N, D) to (N, K), by the network's own layers after the latent.

        Raises:
            InputError: If there is no latent.
        """
        place, count = self._require_latent(), len(latents)
        most = _COPIES if self._copies else max(1, _NUMBERS // math.prod(place.shape)) if place.axes else count
        if count > most:
            return torch.cat([self.head(part) for part in latents.split(most)])
        if self.pairs and count == 1:
            latents = latents.repeat(2, 1)
        example = self.example.clone()
        if self._copies:
            example = example[:1].repeat(len(latents), 1, 1, 1)
        with place.watched(lambda _: place.put(latents)):
            return self.output.logits(self._network(example))[:count]

    def at(self, shape: Sequence[int]) -> AuditedClassifier:
        """The same classifier for images of another shape, where the shape was found and not given."""
        shape = tuple(int(size) for size in shape)
        if not self.shape_found or shape == self.input_shape:
            return self
        made = AuditedClassifier(
            self._network, latent=self.latent_key, input_shape=shape, class_names=self.class_names, output=self.output
        )
        made.shape_found = True
        return made

    def to(self, device: torch.device | str) -> Self:
        """Moves the network to a device."""
        self.module.to(device)
        self.example = self.example.to(device)
        return self

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one image's latent as the layer gives it; `embed` flattens it to (D,)."""
        return self._require_latent().latent_shape

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next((parameter.device for parameter in self.module.parameters()), torch.device("cpu"))

    def __repr__(self) -> str:
        return (
            f"AuditedClassifier({type(self.module).__name__}, latent={self.latent_name!r}, "
            f"input_shape={self.input_shape}, class_names={self.class_names})"
        )

    @property
    def latent_key(self) -> str | None:
        """The latent as `latent` names it, whatever `latent_name` is to the user."""
        return None if self._place is None else self._place.key

    @property
    def place(self) -> Place | None:
        """Where in the network the latent is; `None` without a latent."""
        return self._place

    def _require_latent(self) -> Place:
        if self._place is None:
            raise InputError(f"there is no latent: {self.why_no_latent}")
        return self._place

    def _look(self, class_names: Sequence[str] | None) -> Tensor:
        """Runs two fixed images, and each alone, and checks what comes out; the logits of both."""
        images = self._two_images()
        self.example = images[:1]
        with torch.inference_mode():
            try:
                returned = self.module(images.clone())
            except Exception as error:  # the network's own code, which may raise anything
                if is_out_of_memory(error):
                    raise OutOfMemory(
                        "memory ran out for two images at once; use a device with more, or smaller images"
                    ) from error
                if batch := batch_taken(self._network, images):
                    self.module = self._network = OfBatch(self._network, batch)
                    self.notes.append(f"the network takes batches of {batch} alone, and gets all images in such")
                    return self._look(class_names)
                if self._turn_to_examples("are refused"):
                    return self._look(class_names)
                why = why_refused(self.module, self.input_shape, error, on_random=self._examples is None)
                raise InputError(why) from error
            if self.output.part is None and not isinstance(returned, Tensor):
                choice = choose_part(returned, len(class_names) if class_names else None)
                if choice is not None:
                    self.output = replace(self.output, part=choice.part)
                    self.notes.append(f"the scores are part {choice.part!r} of what the network returns, {choice.why}")
            logits = self.output.logits(returned)
            if len(logits) != len(images):
                raise InputError(
                    f"{len(images)} images gave {len(logits)} rows of scores; the image size "
                    f"{self.input_shape[1:]} is not the one that the network was made for; "
                    f"{advice_for(self.module, self.input_shape)}"
                )
            if not bool(logits.isfinite().all()):
                if self._turn_to_examples("have no finite answer"):
                    return self._look(class_names)
                tried = "the images given" if self._on_examples else "images between 0 and 1"
                raise InputError(
                    f"the network's scores for {tried} are NaN or infinite; its weights may be damaged or "
                    "of another network, or its input is on another scale: see --stretch, --mean and --data"
                )
            self.magnitude = float(self.output.plain_logits(returned).abs().max())
            self.notes += check_kind(self.output, returned)
            self._check_alone(images, logits)
        return logits

    def _turn_to_examples(self, why: str) -> bool:
        """Whether there are real images to try it on instead of random values."""
        if self._examples is None or self._on_examples:
            return False
        self._on_examples = True
        self.notes.append(f"random values from 0 to 1 {why}, so it was tried on two images")
        return True

    def _check_alone(self, images: Tensor, logits: Tensor) -> None:
        """The output for an image must be its own: alone, and beside another."""

        def rows() -> Tensor:
            return torch.cat([self.output.logits(self.module(image[None].clone())) for image in images])

        try:
            alone = rows()
        except Exception:  # the network's own code, at a batch of one
            alone = None
        if alone is None or alone.shape != logits.shape:
            self.module, self.pairs = Paired(self._network), True
            self.example = images
            self.notes.append("the network cannot take one image alone, so a single image goes through it twice")
            alone = rows()
        scale = max(float(logits.abs().max()), self.magnitude) + 1e-6
        if not torch.allclose(alone, logits, rtol=0, atol=_SPLIT_TOLERANCE * scale, equal_nan=True):
            again = self.output.logits(self.module(images.clone()))
            if not torch.allclose(again, logits, rtol=0, atol=_SPLIT_TOLERANCE * scale, equal_nan=True):
                raise InputError(
                    "a second run on the same images gives different output, so it draws random numbers; dropout "
                    "outside of nn.Dropout needs its training argument set to self.training"
                )
            raise InputError(
                "the network's output for an image depends on the other images of its batch; take its softmax and its "
                "norms over each image and not over the batch"
            )

    def about(self, value: float) -> Self:
        """The same network asked about an image with this true value, where it gives a number and no classes."""
        if not isinstance(self.output.decision, Within):
            return self
        made = copy(self)
        made.output = replace(self.output, decision=replace(self.output.decision, value=value))
        return made

    def _choose_latent(self, latent: str | None, logits: Tensor) -> None:
        if isinstance(self.output.decision, Within):
            self._without_latent(
                "each image has a band of its own about its true value, and with it boundaries of its own, so there is "
                "no head that all images share"
            )
            return
        own = getattr(self._network, "latent", None)
        if latent is None and isinstance(own, str):
            latent = own
        if latent is not None:
            place = place_of(self._network, latent.removeprefix(MEAN_OF), self._two_images(), self.output)
            self._split_at(place, logits)
            if latent.startswith(MEAN_OF) and not (self._place and self._place.axes):
                raise InputError(f"the network's output does not follow from the {latent}; name a later layer")
            return
        for candidate in latent_candidates(self._network, self._two_images(), self.output, steps=self._steps):
            try:
                self._split_at(place_of(self._network, candidate, self._two_images(), self.output), logits)
            except InputError:
                continue
            what = "which the scores follow from" if candidate == LAST_STEP else "the last layer before the final one"
            self.notes.append(f"latent: {self.latent_name}, {what}; name another with --latent")
            return
        why = "no layer was found that the answer follows from alone"
        if names := list(dict(self._network.named_modules()))[1:]:
            why += f"; if there is one, name it with --latent, of {shortened(names, 8)}"
        self._without_latent(why)
        self.notes.append(f"latent: none, because {self.why_no_latent}")

    def _without_latent(self, why: str) -> None:
        self.latent_name, self._place, self.why_no_latent = None, None, why

    def _two_images(self) -> Tensor:
        if self._on_examples and self._examples is not None:
            return self._examples.clone().to(self.device)
        generator = torch.Generator().manual_seed(0)
        return torch.rand(2, *self.input_shape, generator=generator).to(self.device)

    def _split_at(self, place: Place, logits: Tensor) -> None:
        """Takes a place as the latent, and checks that head(embed(x)) is what the network says of x.

        Where the place is a map and its mean is enough for the answer, the mean is the latent.
        """
        images, runs = self._two_images(), list[Any]()
        with torch.inference_mode():
            with place.watched(runs.append):
                self.module(images.clone())  # some networks write into what they are given
            if len(runs) != 1:
                times = "does not run" if not runs else f"runs {len(runs)} times"
                raise InputError(
                    f"layer {place.key!r} {times} in one forward pass; name a layer that runs once with --latent"
                )
            if not isinstance(runs[0], Tensor) or len(runs[0]) != len(images):
                raise InputError(
                    f"layer {place.key!r} does not return one latent per image; name another with --latent"
                )
            place = replace(place, shape=tuple(runs[0].shape[1:]))
            self._take(place, logits)
            for mean in place.means if self._steps else ():
                try:
                    self._take(mean, logits)
                    return
                except InputError:
                    self._take(place, logits)

    def _take(self, place: Place, logits: Tensor) -> None:
        self.latent_name, self._place, self.why_no_latent, self._copies = place.key, place, "", False
        try:
            self._compare(logits)
        except _NoRun:
            self._copies = True  # the code after it holds the number of images
            self._compare(logits)

    def _compare(self, logits: Tensor) -> None:
        images = self._two_images()
        try:
            latents = self.embed(images.clone())
            again = self.head(latents)
            if again.shape != logits.shape:
                raise RuntimeError(f"their answer has the shape {tuple(again.shape)}")
            beside = self._beside(images, latents)
        except Exception as error:  # the network's own code on another batch size
            raise _NoRun(
                f"the layers after {self.latent_name!r} cannot run on latents alone "
                f"({first_line(error)}); name a later layer with --latent"
            ) from error
        scale = max(float(logits.abs().max()), self.magnitude) + 1e-6
        same = float((again - logits).abs().max()) <= _SPLIT_TOLERANCE * scale
        if not same or float((again - beside).abs().max()) > _SAME * scale:
            raise InputError(
                f"the network's output does not follow from layer {self.latent_name!r} alone: a path leads around it, "
                "or the output is random; name a later layer with --latent"
            )

    def _beside(self, images: Tensor, latents: Tensor) -> Tensor:
        """Logits of latents while another image goes through the layers before: the same, or a path leads around."""
        example = self.example
        self.example = images.flip(0)[: len(example)]
        try:
            return self.head(latents)
        finally:
            self.example = example


class _NoRun(InputError):
    """The code after the latent does not run on latents of another number than the images."""
