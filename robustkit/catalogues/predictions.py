"""What a classifier says of every object: the record, and the table that is made of it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from robustkit.catalogues.writing import rows_of
from robustkit.extras import require
from robustkit.records import NOT_FINITE, OUT_OF_MEMORY, Record
from robustkit.report.blocks import Axis, Drawing, Panel, Series
from robustkit.report.palette import Meaning
from robustkit.report.saving import draw_on
from robustkit.runs.result import Result
from robustkit.tables import Writer

# What stands in place of a class.
FLAGGED = -3
NO_CLASS = {NOT_FINITE: "not finite", OUT_OF_MEMORY: "out of memory", FLAGGED: "flagged"}
_BINS = 20


@dataclass(frozen=True, eq=False)
class PredictionRecord(Record):
    """What is predicted of N objects, K classes.

    Attributes:
        rows: Positions of the objects in the image set, shape (N,).
        predicted: Their classes, shape (N,); -1 where a score is not finite, -2 where memory ran out for the image
            alone.
        probabilities: Shape (N, K), float32: the softmax of the scores of what is decided, and for a cut the score that
            is cut; nan where there is no class.
        margin: The score of the class minus the highest other one, shape (N,), float32.
        value: The number that a regression gives, shape (N,), float64; nan for classes.
        class_names: The K classes, or outcomes of a decision.
        numbers: Whether the network gives numbers and no classes.
    """

    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("rows", "predicted", "margin", "value"), "N"), "probabilities": "NK", "class_names": "K",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {"predicted": "K"}

    rows: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    margin: np.ndarray
    value: np.ndarray
    class_names: list[str]
    numbers: bool

    @classmethod
    def join(cls, records: Sequence[Self]) -> Self:
        """One record of parts of a sample."""
        return joined(records)

    def names(self) -> np.ndarray:
        """The class of each object by its name, shape (N,), str."""
        names = np.array([*self.class_names, *NO_CLASS.values()])
        place = {number: len(self.class_names) + k for k, number in enumerate(NO_CLASS)}
        index = self.predicted.copy()
        for number, where in place.items():
            index[self.predicted == number] = where
        return names[index]

    def own_probability(self) -> np.ndarray:
        """The probability of the class of each object, shape (N,), float32; nan without a class."""
        chosen = np.take_along_axis(self.probabilities, self.predicted.clip(0)[:, None], 1)[:, 0]
        return np.where(self.predicted >= 0, chosen, np.nan).astype(np.float32)

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of a table: class, its probability, its margin, and the probability of each class."""
        if self.numbers:
            return {"value": self.value}
        each = {f"p_{name}": self.probabilities[:, k] for k, name in enumerate(self.class_names)}
        return {
            "class": self.names(), "probability": self.own_probability(), "margin": self.margin, **each,
        }  # fmt: skip


def joined(records: Sequence[Any]) -> Any:
    """One record of several: their arrays one after the other, the rest that of the first."""
    first = records[0]
    arrays = [one.name for one in fields(first) if isinstance(getattr(first, one.name), np.ndarray)]
    return replace(first, **{name: np.concatenate([getattr(one, name) for one in records]) for name in arrays})


@dataclass(frozen=True, eq=False, repr=False)
class Objects(Result):
    """A table of objects, joined by id: what `predict` and `flag` hand over.

    Attributes:
        record: The numbers, as they are kept.
        carried: Columns of the user's catalogue.
    """

    carried: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])

    def columns(self) -> dict[str, np.ndarray]:
        """Columns by name, each of shape (N,), the ids first."""
        return {"id": self.sample.ids[self._places()], **self.record.columns(), **self.carried}

    def _places(self) -> np.ndarray:
        """Where the objects of the record stand in the sample; a shard has some of them."""
        return np.searchsorted(self.sample.rows, self.record.rows)

    def table(self) -> str:
        """The table as CSV, with a header."""
        text, columns = io.StringIO(), self.columns()
        writer = Writer(text)
        writer.writerow(columns)
        writer.writerows(rows_of(columns))
        return text.getvalue()

    def to_pandas(self) -> Any:
        """The table as a `pandas.DataFrame`.

        Raises:
            MissingExtra: If pandas is not installed.
        """
        pandas = require("pandas", extra="pandas", purpose="make a DataFrame")
        return pandas.DataFrame(self.columns())


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Objects):
    """What a classifier says of every object."""

    record: PredictionRecord

    @property
    def classes(self) -> np.ndarray:
        """The class of each object by its name, shape (N,), str."""
        return self.record.names()

    @property
    def probabilities(self) -> np.ndarray:
        """Shape (N, K), float32."""
        return self.record.probabilities

    def summary(self) -> dict[str, Any]:
        """How many objects, and how many of each class."""
        record = self.record
        if record.numbers:
            values = record.value[np.isfinite(record.value)]
            spread = {f"percentile_{q}": float(np.percentile(values, q)) for q in (5, 50, 95)} if len(values) else {}
            return {"objects": len(record.rows), "not_finite": len(record.value) - len(values), **spread}
        own = record.own_probability()
        known = own[np.isfinite(own)]
        return {
            "objects": len(record.rows),
            **{word.replace(" ", "_"): int((record.predicted == number).sum()) for number, word in NO_CLASS.items()},
            "classes": {name: int((record.predicted == k).sum()) for k, name in enumerate(record.class_names)},
            "mean_probability": float(known.mean()) if len(known) else None,
            "below_0.9": int((known < 0.9).sum()),
        }

    def describe(self) -> str:
        """The numbers as a few lines."""
        found = self.summary()
        if self.record.numbers:
            return f"{found['objects']} objects; a number for each, {found['not_finite']} not finite"
        counts = ", ".join(f"{count} {name}" for name, count in found["classes"].items())
        lines = [f"{found['objects']} objects: {counts}"]
        for word in NO_CLASS.values():
            if found[word.replace(" ", "_")]:
                lines.append(f"{found[word.replace(' ', '_')]} {word}, without a class")
        lines.append(f"{found['below_0.9']} objects have a class of a probability below 0.9")
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draws how sure the network says it is, for each class.

        Args:
            ax: A Matplotlib axes or figure to draw on; by default a new figure.

        Returns:
            The figure.
        """
        return draw_on(drawing(self.record), ax)


def drawing(record: PredictionRecord) -> Drawing:
    """How many objects of each class have a class of which probability; for numbers, how many have which."""
    if record.numbers:
        values = record.value[np.isfinite(record.value)]
        count, edges = np.histogram(values, _BINS)
        blocks = [Series(edges, np.append(count, count[-1:]), step=True)]
        return Drawing([Panel(blocks, x=Axis("number"), y=Axis("objects"))])
    own, blocks = record.own_probability(), []
    edges = np.linspace(0, 1, _BINS + 1)
    for k, name in enumerate(record.class_names):
        count, _ = np.histogram(own[record.predicted == k], edges)
        blocks.append(Series(edges, np.append(count, count[-1:]), Meaning(label=k), step=True, name=name))
    return Drawing([Panel(blocks, x=Axis("probability of the class", (0, 1)), y=Axis("objects"))])


def about_table(about: Mapping[str, Any], path: Path) -> dict[str, str]:
    """What a table says of how it was made.

    Args:
        about: What a run says of itself.
        path: The run folder.
    """
    inputs = about["inputs"]
    return {
        "robustkit": str(about["versions"]["robustkit"]), "model": Path(about["model"]).name,
        "model sha256": str(inputs["model_sha256"]), "run": path.name,
    }  # fmt: skip
