"""Random streams: one for every image, so that batching, order, shards and resume never change an answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def stream(seed: int, image_id: str, purpose: str = "") -> np.random.Generator:
    """The random stream of one image.

    Args:
        seed: The run's seed, at least 0.
        image_id: The image's id, unique within its image set.
        purpose: What the stream is for; different purposes draw independent numbers.

    Returns:
        A generator that depends on the three arguments and on nothing else.

    Examples:
        >>> bool(stream(0, "a").random() == stream(0, "a").random())
        True
        >>> bool(stream(0, "a").random() == stream(0, "b").random())
        False
    """
    digest = hashlib.sha256(f"{purpose}\0{image_id}".encode()).digest()
    words = np.frombuffer(digest, dtype="<u4").tolist()
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *words])))


class Streams:
    """The random streams of a batch of images: every draw gives each image its own numbers.

    Args:
        seed: The run's seed, at least 0.
        image_ids: One id per image.
        purpose: What the numbers are for; see `stream`.
    """

    def __init__(self, seed: int, image_ids: Iterable[str], purpose: str = "") -> None:
        self.generators = [stream(seed, image_id, purpose) for image_id in image_ids]

    def __len__(self) -> int:
        return len(self.generators)

    def used_since(self, fresh: Streams) -> bool:
        """Whether numbers were drawn since these streams were as fresh as those; what drew none is not random."""
        pairs = zip(self.generators, fresh.generators, strict=True)
        return any(not _same(one.bit_generator.state, new.bit_generator.state) for one, new in pairs)

    def select(self, indices: Sequence[int] | np.ndarray) -> Streams:
        """The streams of some of the images; they go on from where they are, shared with this object."""
        chosen = Streams(0, ())
        chosen.generators = [self.generators[int(i)] for i in indices]
        return chosen

    def uniform(self, *shape: int) -> np.ndarray:
        """Uniform numbers in [0, 1), shape (N, *shape), float32."""
        out = np.empty((len(self), *shape), dtype=np.float32)
        for i, generator in enumerate(self.generators):
            out[i] = generator.random(shape, dtype=np.float32)
        return out

    def normal(self, *shape: int) -> np.ndarray:
        """Standard normal numbers, shape (N, *shape), float32."""
        out = np.empty((len(self), *shape), dtype=np.float32)
        for i, generator in enumerate(self.generators):
            out[i] = generator.standard_normal(shape, dtype=np.float32)
        return out

    def integers(self, high: int, *shape: int) -> np.ndarray:
        """Integers in [0, high), shape (N, *shape), int64."""
        out = np.empty((len(self), *shape), dtype=np.int64)
        for i, generator in enumerate(self.generators):
            out[i] = generator.integers(high, size=shape)
        return out


def _same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one["state"]["state"], other["state"]["state"]))
