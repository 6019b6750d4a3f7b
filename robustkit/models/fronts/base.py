"""`FrontEnd`, what every front end is; several in a row; and `Repaired`, a front end with the network behind it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustkit.errors import InputError
from robustkit.models.latents import latent_words


class FrontEnd(nn.Module):
    """A repair of images: shape kept, no weights, every pixel by what lies within `radius` of it.

    A front end of your own is a subclass that sets `radius` and `forward`, is made without arguments, and passes
    `robustkit.testing.check_front`. The engine relies on `radius`: it repairs small windows instead of whole images.

    Attributes:
        radius: A pixel of the output follows from the pixels at most this many rows and columns away, and from
            nothing else: not from where it lies, nor from other images.
        name: What it is called with `--front`.
        constants: What it was fitted on, as JSON values.
    """

    radius: int = 1
    name: str = ""

    def __init__(self) -> None:
        super().__init__()
        self.constants: dict[str, Any] = {}
        self.eval()

    def check(self, shape: Sequence[int]) -> None:
        """Refuses images that are too small.

        Args:
            shape: (C, H, W).

        Raises:
            InputError: If the images are not larger than the radius, so that the border cannot be mirrored.
        """
        if min(shape[-2:]) <= self.radius:
            raise InputError(
                f"the front end looks {self.radius} pixels to each side, and the images have {shape[-2]} x "
                f"{shape[-1]}; name a smaller one with --front"
            )

    def hides(self, images: Tensor) -> tuple[Tensor, Tensor] | None:
        """What a pixel may become without being repaired, whatever it was: an ellipsoid around a middle.

        A front end with a threshold overrides this, so that searches also try values just below the threshold.

        Args:
            images: Shape (N, C, H, W).

        Returns:
            The middle and the half axis of each band, (N, C, H, W) each, which must not depend on the pixel itself;
            `None` where there is no threshold.
        """
        del images
        return None

    @property
    def boxed(self) -> bool:
        """Whether `hides` describes a box, of which all bands may be at their ends, and no ellipsoid."""
        return False

    @property
    def flags(self) -> bool:
        """Whether some images get no class."""
        return False

    def seen(self, images: Tensor) -> Tensor:
        """The pixels for which an image gets no class, shape (N, H, W), bool; none unless the front end flags.

        Args:
            images: Shape (N, C, H, W).
        """
        return torch.zeros_like(images[:, 0], dtype=torch.bool)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"radius={self.radius}"


class Clipping(FrontEnd):
    """Clips each pixel, band by band, to ends that follow from its neighbours."""

    def ends(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Between what values a pixel is left as it is.

        Args:
            images: Shape (N, C, H, W).

        Returns:
            Lowest and highest, (N, C, H, W) each, which must not depend on the pixel itself.
        """
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), repaired."""
        low, high = self.ends(images)
        return torch.minimum(torch.maximum(images, low), high)


class Detect(FrontEnd):
    """Changes nothing: an image that another front end would change gets no class, and is flagged instead.

    Args:
        looks: That front end.
    """

    def __init__(self, looks: FrontEnd) -> None:
        super().__init__()
        self.looks, self.radius = looks, looks.radius

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), as they are."""
        return images

    @property
    def flags(self) -> bool:
        """Always."""
        return True

    def seen(self, images: Tensor) -> Tensor:
        """The pixels that the other front end would change, shape (N, H, W), bool."""
        return (self.looks(images) != images).any(1)

    def hides(self, images: Tensor) -> tuple[Tensor, Tensor] | None:
        """What the other front end would leave alone: where it clips, what lies between the ends is not flagged."""
        if not isinstance(self.looks, Clipping):
            return self.looks.hides(images)
        low, high = self.looks.ends(images)
        return (low + high) / 2, (high - low) / 2

    @property
    def boxed(self) -> bool:
        """Where the other front end clips."""
        return isinstance(self.looks, Clipping)

    def check(self, shape: Sequence[int]) -> None:
        """Refuses images that are too small for the other front end."""
        self.looks.check(shape)


class InTurn(FrontEnd):
    """Several front ends, one after the other.

    Args:
        fronts: The first sees the images.
    """

    def __init__(self, fronts: Sequence[FrontEnd]) -> None:
        super().__init__()
        self.fronts = nn.ModuleList(fronts)
        self.radius = sum(front.radius for front in fronts)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), repaired."""
        for front in self.fronts:
            images = front(images)
        return images

    @property
    def flags(self) -> bool:
        """Whether one of them does."""
        return any(isinstance(front, FrontEnd) and front.flags for front in self.fronts)

    def seen(self, images: Tensor) -> Tensor:
        """The pixels that one of them sees, each in what those before it made of the images."""
        found = super().seen(images)
        for front in self.fronts:
            assert isinstance(front, FrontEnd)
            found, images = found | front.seen(images), front(images)
        return found

    def hides(self, images: Tensor) -> tuple[Tensor, Tensor] | None:
        """What passes the first of them that has a threshold, as it sees the images."""
        for front in self.fronts:
            assert isinstance(front, FrontEnd)
            found = front.hides(images)
            if found is not None:
                return found
            images = front(images)
        return None

    @property
    def boxed(self) -> bool:
        """As the first of them that has a threshold says."""
        for front in self.fronts:
            assert isinstance(front, FrontEnd)
            if front.boxed or not (isinstance(front, Detect) or type(front).hides is FrontEnd.hides):
                return front.boxed
        return False

    def check(self, shape: Sequence[int]) -> None:
        """Refuses images that are too small for one of them."""
        for front in self.fronts:
            assert isinstance(front, FrontEnd)
            front.check(shape)


class Repaired(nn.Module):
    """A front end and the network behind it, as one network.

    Args:
        front: The front end.
        network: Any network; its layers keep their names, after `network.`.
    """

    def __init__(self, front: FrontEnd, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(front, FrontEnd):
            raise InputError(f"expected a front end, not a {type(front).__name__}; rk.make_front('across') makes one")
        self.front, self.network = front, network
        self.train(network.training)
        own = getattr(network, "latent", None)
        if isinstance(own, str):
            self.latent = behind(own)

    def forward(self, images: Tensor) -> Any:
        """What the network returns for the repaired images (N, C, H, W)."""
        return self.network(self.front(images))

    def flagged(self, images: Tensor) -> Tensor:
        """Which images get no class, whatever the network says of them, shape (N,), bool."""
        return self.front.seen(images).flatten(1).any(1)

    def changed(self, images: Tensor) -> Tensor:
        """Which pixels the front end changes in some band, shape (N, H, W), bool."""
        return (self.front(images) != images).any(1)


def flagged(network: nn.Module, images: Tensor) -> Tensor | None:
    """Which images a network's front end flags, shape (N,), bool; `None` where it has none that does."""
    for one in (network, getattr(network, "network", None)):  # a network may stand in one that needs two images
        if isinstance(one, Repaired):
            return one.flagged(images) if one.front.flags else None
    return None


def without_class(logits: Tensor, flags: Tensor | None) -> Tensor:
    """Logits (N, K) that are not a number where an image was flagged."""
    return logits if flags is None else logits.masked_fill(flags[:, None], torch.nan)


def behind(layer: str) -> str:
    """The name of a layer of a network once a front end is before it; a latent may be what a layer takes."""
    before, name = latent_words(layer)
    return f"{before}network.{name}" if name else before


def in_network(layer: str) -> str:
    """The name of a layer in the network itself, of one behind a front end."""
    before, name = latent_words(layer)
    return before + name.removeprefix("network.")


def ring(images: Tensor, distance: int = 1) -> list[Tensor]:
    """The pixels around each pixel at a distance, as so many images; the border is mirrored.

    A pixel is never among its own neighbours: at the border they are those on the other side.

    Args:
        images: Shape (N, C, H, W), larger than the distance.
        distance: Rows or columns away, at least 1: 8 pixels at 1, 16 at 2.

    Returns:
        The 8 x distance neighbours, shape (N, C, H, W) each.
    """
    d = distance
    padded = functional.pad(images, (d, d, d, d), mode="reflect")
    steps = range(-d, d + 1)
    places = [(y, x) for y in steps for x in steps if max(abs(y), abs(x)) == d]
    return [padded[:, :, d + y : (y - d) or None, d + x : (x - d) or None] for y, x in places]


def ranked(planes: Sequence[Tensor], wanted: Sequence[int]) -> list[Tensor]:
    """Order statistics of several images, pixel by pixel, by comparisons alone, which every format and device has.

    Args:
        planes: The images, all of one shape.
        wanted: Which: 0 is the smallest.

    Returns:
        One image per rank wanted.

    Examples:
        >>> planes = [torch.tensor([3.0]), torch.tensor([1.0]), torch.tensor([2.0])]
        >>> [float(plane) for plane in ranked(planes, [0, 1, 2])]
        [1.0, 2.0, 3.0]
    """
    row = list(planes)
    for low, high, needs_low, needs_high in _network(len(row), tuple(wanted)):
        a, b = row[low], row[high]
        row[low] = torch.minimum(a, b) if needs_low else a
        row[high] = torch.maximum(a, b) if needs_high else b
    return [row[rank] for rank in wanted]


@functools.cache
def _network(n: int, wanted: tuple[int, ...]) -> list[tuple[int, int, bool, bool]]:
    """Batcher's odd-even merge sort of n numbers, without what the wanted ranks do not need."""
    pairs: list[tuple[int, int]] = []
    p = 1
    while p < n:
        k = p
        while k:
            for j in range(k % p, n - k, 2 * k):
                for i in range(j, min(j + k, n - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        pairs.append((i, i + k))
            k //= 2
        p *= 2
    needed, kept = set(wanted), list[tuple[int, int, bool, bool]]()
    for low, high in reversed(pairs):
        if low in needed or high in needed:
            kept.append((low, high, low in needed, high in needed))
            needed |= {low, high}
    return kept[::-1]
