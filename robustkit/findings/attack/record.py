"""What an attack is asked for, and what it finds: every image drawn, and every attempt on it, flipped or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from robustkit.errors import InputError
from robustkit.options import option
from robustkit.records import Record
from robustkit.runs.selection import Selection
from robustkit.words import no_such

if TYPE_CHECKING:
    from robustkit.perturb.threats import ValueRange

RECORD = "attack.npz"
PRESETS = ("paper",)
TARGETS = ("in-turn", "each")
# What is counted of each attempt, and the class that it asks for.
COUNTS = ("target", "generations", "queries", "unproved", "not_finite", "stand_in", "gradient", "partial")


@dataclass(frozen=True)
class AttackPart:
    """The one-pixel attack of an audit; empty takes the default of `robustkit attack`."""

    searches: tuple[str, ...] = ()
    values: str = "corners"
    budget: int = 0


@dataclass(frozen=True, kw_only=True)
class AttackRequest(Selection):
    """What an attack is asked for, beside the images; `None` takes the default, or what the preset says.

    Attributes:
        searches: Names of searches, run side by side.
        budget: The most queries per image, for each search and target.
        values: What a pixel may become; see `robustkit.perturb.threats.make_values`.
        value_range: `data` or `paper`.
        preset: `paper` for exactly the published attack: targeted at the wrong classes in turn, a success above
            probability 0.5, 400 candidates, 80 generations, values from 0 to 1.
        targeted: `in-turn` for the wrong classes one after another until one is reached, `each` for every wrong class
            as an attempt of its own, `None` for any other class.
        pixels: How many pixels a candidate overwrites.
        threat: A physical fault whose own parameters are searched instead of pixels; see
            `robustkit.perturb.faults.space.FaultSpace`.
        footprints: Of a fault with a shape, how many shapes a complete pass takes to every place.
    """

    searches: Sequence[str] = option(
        (), "A search; give more for more.", flag="--search", shown="de, auto and random",
        click={"multiple": True},
    )  # fmt: skip
    budget: int | None = option(None, "Most queries per image, for each search and target.", click={"type": int})
    values: str | None = option(
        None, "corners, paper, together[:M], grid:M, hot[:CHARGE] or dead[:LEVEL].", shown="corners",
        aliases=(("--single-band", "single-band", "One band at a time: --values single-band."),),
    )  # fmt: skip
    value_range: ValueRange | None = option(
        None, "Ends of the values: data or paper, [0, 1].", flag="--range", shown="data"
    )
    preset: str | None = option(None, "paper: the published attack, targeted, in [0, 1], p > 0.5.")
    targeted: Literal["in-turn", "each"] | None = option(
        None, "Wrong classes in turn, or `--targeted each`.", click={"is_flag": False, "flag_value": "in-turn"}
    )
    pixels: int = option(1, "Pixels that are changed at once.")
    threat: str | None = option(
        None, "A fault, by its own parameters: cosmic-ray, hot-pixel,level=5:500 ... or your own.",
        shown="pixels", click={"type": str},
    )  # fmt: skip
    footprints: int = option(16, "Shapes of a fault that --search complete takes to every place.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.targeted not in (None, *TARGETS):
            raise InputError(f"unknown targets {self.targeted!r}; --targeted takes in-turn, its default, or each")
        if self.footprints < 1:
            raise InputError(f"--footprints must be at least 1, got {self.footprints}")
        if self.threat is not None:
            given = {"--values": self.values, "--range": self.value_range, "--preset": self.preset}
            given |= {"--targeted": self.targeted, "--pixels": self.pixels != 1}
            if said := [name for name, value in given.items() if value]:
                raise InputError(f"--threat searches the parameters of a fault, not pixels; omit {', '.join(said)}")
        if self.preset is None:
            return
        if self.preset not in PRESETS:
            raise InputError(no_such("preset", self.preset, PRESETS))
        fixed = {"--search": self.searches, "--budget": self.budget, "--values": self.values}
        fixed |= {"--range": self.value_range, "--targeted": self.targeted, "--pixels": self.pixels != 1}
        given = [name for name, value in fixed.items() if value]
        if given:
            raise InputError(f"--preset {self.preset} fixes what {', '.join(given)} would change; omit them")


@dataclass(frozen=True)
class Flip:
    """A proved flip.

    Attributes:
        new_class: The class after the flip.
        row: Rows of the L pixels.
        column: Columns of the L pixels.
        before: The clean pixels, network input, L tuples of C values.
        after: The perturbed pixels, network input, L tuples of C values.
        probabilities: Of the K classes for the perturbed image.
        latent_distance: Euclidean distance in the latent space to the clean image; `None` for a black box.
    """

    new_class: int
    row: tuple[int, ...]
    column: tuple[int, ...]
    before: tuple[tuple[float, ...], ...]
    after: tuple[tuple[float, ...], ...]
    probabilities: tuple[float, ...]
    latent_distance: float | None


@dataclass(frozen=True)
class Attempt:
    """One image under one search, from the first query to the proved flip or to the end.

    Attributes:
        image_id: The image.
        search: The search's name.
        target: The class asked for, or `UNTARGETED`. Wrong classes tried in turn make one attempt, whose target is
            the last one tried.
        generations: How many times the search proposed candidates for that target.
        queries: How many candidates were scored, over all targets tried, the one that flipped included.
        unproved: How many candidates flipped in a batch and not alone.
        flip: The proved flip, or `None`.
        not_finite: How many candidates had output that is not finite: neither flips nor the old class.
        stand_in: Queries of a stand-in image that its cells were ranked by, which all images share.
        gradient: How often the image was sent forward and back besides, once for each class differentiated.
        partial: How often it was sent through the first layers besides.
    """

    image_id: str
    search: str
    target: int
    generations: int
    queries: int
    unproved: int
    flip: Flip | None
    not_finite: int = 0
    stand_in: int = 0
    gradient: int = 0
    partial: int = 0


@dataclass(frozen=True, eq=False)
class AttackRecord(Record):
    """An attack on N images with A attempts; images that were wrong before the attack have no attempt.

    Attributes:
        ids: Image ids, shape (N,), str.
        true: True classes, shape (N,).
        clean_class: Predicted classes before the attack, shape (N,); -1 where the output was not finite, -2 where
            memory ran out for the image alone.
        clean_probabilities: Probabilities before the attack, shape (N, K).
        image: Which image each attempt is on, shape (A,).
        search: Which of `searches` made it, shape (A,).
        target: The class asked for, or -1, shape (A,).
        flipped: Whether a flip was proved, shape (A,), bool. The fields below hold nan, or -1, where it was not.
        generations: How many times the search proposed, shape (A,).
        queries: How many candidates were scored, shape (A,).
        unproved: How many candidates flipped in a batch and not alone, shape (A,).
        not_finite: How many candidates had output that is not finite, shape (A,): neither flips nor the old class.
        stand_in: Queries of a stand-in image that each attempt rests on, shape (A,); all images share them.
        gradient: How often the image was sent forward and back besides, shape (A,).
        partial: How often it was sent through the first layers besides, shape (A,).
        new_class: The class after the flip, shape (A,).
        row: Pixel rows, shape (A, L).
        column: Pixel columns, shape (A, L).
        before: Clean pixels, network input, shape (A, L, C).
        after: Perturbed pixels, network input, shape (A, L, C).
        probabilities: Probabilities after the flip, shape (A, K).
        latent_distance: Euclidean distance in the latent space to the clean image, shape (A,); nan without a
            flip or a latent.
        searches: Names of the searches.
        class_names: The K classes.
        settings: Everything that decides the answer: searches, values, success, targets, budget, pixels, seed.
        costs: Of each search: `seconds` in all, `scoring_seconds` in the evaluator, `proving_seconds`
            in the proofs, `candidates` scored, and the numbers of `Passes`. Empty in the file of a run, whose bytes
            depend on the answer alone; its
            summary holds them.
    """

    version = 3
    axis_letters: ClassVar[Mapping[str, str]] = {
        "ids": "N", "true": "N", "clean_class": "N", "clean_probabilities": "NK", "class_names": "K", "searches": "S",
        **dict.fromkeys(("image", "search", "flipped", *COUNTS, "new_class", "latent_distance"), "A"),
        "row": "AL", "column": "AL", "before": "ALC", "after": "ALC",
        "probabilities": "AK",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {
        "true": "K", "clean_class": "K", "new_class": "K", "target": "K", "image": "N", "search": "S",
    }  # fmt: skip

    ids: np.ndarray
    true: np.ndarray
    clean_class: np.ndarray
    clean_probabilities: np.ndarray
    image: np.ndarray
    search: np.ndarray
    target: np.ndarray
    flipped: np.ndarray
    generations: np.ndarray
    queries: np.ndarray
    unproved: np.ndarray
    not_finite: np.ndarray
    stand_in: np.ndarray
    gradient: np.ndarray
    partial: np.ndarray
    new_class: np.ndarray
    row: np.ndarray
    column: np.ndarray
    before: np.ndarray
    after: np.ndarray
    probabilities: np.ndarray
    latent_distance: np.ndarray
    searches: list[str]
    class_names: list[str]
    settings: dict[str, Any]
    costs: dict[str, dict[str, float]]

    @classmethod
    def join(cls, records: Iterable[Self]) -> Self:
        """One record of several, of different images and the same settings, in the order given."""
        arrays: dict[str, list[np.ndarray]] = {}
        costs: dict[str, dict[str, float]] = {}
        record, images = None, 0
        for record in records:
            for field in fields(cls):
                value = getattr(record, field.name)
                if isinstance(value, np.ndarray):
                    arrays.setdefault(field.name, []).append(value + images if field.name == "image" else value)
            costs = add_costs([costs, record.costs])
            images += len(record.ids)
        if record is None:
            raise ValueError("expected at least one record")
        return replace(record, **{name: np.concatenate(parts) for name, parts in arrays.items()}, costs=costs)

    @property
    def correct(self) -> np.ndarray:
        """Which images were right before the attack, and so attacked, shape (N,), bool."""
        return self.true == self.clean_class

    def of_search(self, name: str) -> np.ndarray:
        """Which attempts a search made, shape (A,), bool."""
        return self.search == self.searches.index(name)

    def flipped_images(self, name: str | None = None) -> np.ndarray:
        """Which images were flipped, to any class, by one search or by any of them, shape (N,), bool."""
        flips = self.flipped if name is None else self.flipped & self.of_search(name)
        images = np.zeros(len(self.ids), dtype=bool)
        images[self.image[flips]] = True
        return images

    def queries_to_flip(self, name: str) -> np.ndarray:
        """The fewest queries with which a search flipped each image, shape (N,); infinite where it never did."""
        fewest = np.full(len(self.ids), np.inf)
        flips = self.flipped & self.of_search(name)
        np.minimum.at(fewest, self.image[flips], self.queries[flips])
        return fewest

    def generations_to_flip(self, name: str) -> np.ndarray:
        """The fewest generations in which one attempt of a search flipped each image, shape (N,); infinite for never.

        Unlike queries, these are of the target that was reached alone: what targets cost that were tried before it
        says in which order classes stand, and nothing of the image.
        """
        fewest = np.full(len(self.ids), np.inf)
        flips = self.flipped & self.of_search(name)
        np.minimum.at(fewest, self.image[flips], self.generations[flips])
        return fewest


def add_costs(costs: Iterable[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The sum of costs, search by search."""
    total: dict[str, dict[str, float]] = {}
    for one in costs:
        for search, cost in one.items():
            before = total.get(search, {})
            total[search] = {name: before.get(name, 0) + value for name, value in cost.items()}
    return total


def attempt_arrays(
    attempts: Iterable[Attempt],
    *,
    ids: Sequence[str],
    searches: Sequence[str],
    pixels: int,
    bands: int,
    classes: int,
) -> dict[str, np.ndarray]:
    """The attempt fields of an `AttackRecord`, in the order of image, search and target whatever the order given.

    Args:
        attempts: The attempts.
        ids: Ids of the N images drawn.
        searches: Names of the searches.
        pixels: L.
        bands: C.
        classes: K.
    """
    image_of = {str(image_id): i for i, image_id in enumerate(ids)}
    search_of = {name: i for i, name in enumerate(searches)}
    # A run that was stopped between two targets of an image makes both again, to the same end.
    once = {(image_of[a.image_id], search_of[a.search], a.target): a for a in attempts}
    found = [once[key] for key in sorted(once)]
    nothing = Flip(
        new_class=-1,
        row=(-1,) * pixels,
        column=(-1,) * pixels,
        before=((np.nan,) * bands,) * pixels,
        after=((np.nan,) * bands,) * pixels,
        probabilities=(np.nan,) * classes,
        latent_distance=np.nan,
    )
    flips = [attempt.flip or nothing for attempt in found]

    def column(rows: Iterable[Any], dtype: type, *shape: int) -> np.ndarray:
        return np.array(list(rows), dtype=dtype).reshape(len(found), *shape)

    return {
        "image": column((image_of[attempt.image_id] for attempt in found), np.int64),
        "search": column((search_of[attempt.search] for attempt in found), np.int64),
        "flipped": column((attempt.flip is not None for attempt in found), np.bool_),
        **{name: column((getattr(attempt, name) for attempt in found), np.int64) for name in COUNTS},
        "new_class": column((flip.new_class for flip in flips), np.int64),
        "row": column((flip.row for flip in flips), np.int64, pixels),
        "column": column((flip.column for flip in flips), np.int64, pixels),
        "before": column((flip.before for flip in flips), np.float32, pixels, bands),
        "after": column((flip.after for flip in flips), np.float32, pixels, bands),
        "probabilities": column((flip.probabilities for flip in flips), np.float32, classes),
        "latent_distance": column((flip.latent_distance for flip in flips), np.float64),
    }
