"""An attack record whose numbers are known by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustkit.findings.attack.record import AttackRecord, Attempt, Flip, attempt_arrays


def flip(image: int, search: str, queries: int, new_class: int, **fields: Any) -> Attempt:
    """A proved flip of image `i<image>` at pixel (3, 4), band values 0.2 to 0.8."""
    settings = {"target": -1, "generations": 1, "unproved": 0, **fields}
    proved = Flip(
        new_class=new_class,
        row=(3,),
        column=(4,),
        before=((0.5, 0.5, 0.5),),
        after=((0.2, 0.8, 0.8),),
        probabilities=tuple(0.6 if k == new_class else 0.2 for k in range(3)),
        latent_distance=1.5 + image,
    )
    return Attempt(f"i{image}", search, queries=queries, flip=proved, **settings)


def miss(image: int, search: str, queries: int, **fields: Any) -> Attempt:
    """An image that was not flipped."""
    return Attempt(
        f"i{image}", search, queries=queries, flip=None, **{"target": -1, "generations": 2, "unproved": 0, **fields}
    )


def make_record(attempts: list[Attempt], *, true: list[int], clean: list[int], searches: list[str]) -> AttackRecord:
    """A record of three classes; a class that was predicted has probability 0.8."""
    ids = [f"i{k}" for k in range(len(true))]
    probabilities = np.full((len(true), 3), 0.1, dtype=np.float32)
    for image, predicted in enumerate(clean):
        probabilities[image, predicted] = 0.8
    arrays = attempt_arrays(attempts, ids=ids, searches=searches, pixels=1, bands=3, classes=3)
    return AttackRecord(
        ids=np.array(ids),
        true=np.array(true),
        clean_class=np.array(clean),
        clean_probabilities=probabilities,
        searches=searches,
        class_names=["spiral", "elliptical", "merger"],
        settings={"targeted": None},
        costs={name: {"seconds": 2.0, "scoring_seconds": 1.0, "candidates": 1000} for name in searches},
        **arrays,
    )


def small_record() -> AttackRecord:
    """Six images; the last was wrong before. de flips 0 and 1, random flips 0 and 3."""
    return make_record(
        [
            flip(0, "de", 10, 1),
            flip(1, "de", 30, 2, unproved=2),
            miss(2, "de", 100),
            miss(3, "de", 100),
            miss(4, "de", 100, unproved=1),
            flip(0, "random", 50, 2),
            miss(1, "random", 100),
            miss(2, "random", 100),
            flip(3, "random", 7, 0),
            miss(4, "random", 100),
        ],
        true=[0, 0, 0, 1, 2, 2],
        clean=[0, 0, 0, 1, 2, 0],
        searches=["de", "random"],
    )
