"""Two to thirty audits of the same images: one table, and paired tests against the best of each column.

Everything comes from the `audit.json` of each audit, so audits by earlier versions with the same keys can stand beside
new ones, and nothing is computed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from robustkit import __version__
from robustkit.auditing.machine import SCHEMA, csv_text
from robustkit.auditing.recorded import other_images
from robustkit.errors import InputError
from robustkit.files import read_json, reading, whole_folder
from robustkit.report.blocks import NOTHING
from robustkit.report.page import Download, Page, write_page
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.facts import Facts
from robustkit.report.sections.forest import Forest
from robustkit.stats import Estimate, bounded_mean, format_p, holm, p_above

FEWEST, MOST = 2, 30
ALPHA = 0.05
# What `audit.json` counts as bad, said as what is good; other measures are of perturbations.
_GOOD = {"wrong": "accuracy", "wrong or flipped": "correct, and not flipped by one pixel"}
_UNDER, _HIT = "wrong under ", "random extreme pixel"


@dataclass(frozen=True, eq=False)
class Audited:
    """What one audit says of each image.

    Attributes:
        label: The name of the model in the tables.
        folder: Where the audit is.
        ids: The images, in the order of `good`.
        good: By measure, 1 where all is well and 0 where it is not, shape (N,); nan where nothing is known.
        about: `data`, `part`, `seed` and `n` of the audit.
    """

    label: str
    folder: Path
    ids: tuple[str, ...]
    good: dict[str, np.ndarray]
    about: dict[str, Any]


@dataclass(frozen=True)
class Standing:
    """A model in a column.

    Attributes:
        label: The model.
        measure: What was measured.
        value: Its mean, with its interval.
        best: The model with the highest mean.
        behind: How far it lies behind the best, with its interval; `None` for the best itself.
        p: The adjusted p-value against "no worse than the best"; 1 for the best itself.
    """

    label: str
    measure: str
    value: Estimate
    best: str
    behind: Estimate | None
    p: float

    @property
    def said(self) -> str:
        """How far it lies behind the best, as text."""
        return "" if self.behind is None else str(self.behind)


def read_audits(folders: Sequence[str | os.PathLike[str]]) -> list[Audited]:
    """Reads audits that are to be compared.

    Raises:
        InputError: If there are too few or too many, one is no audit, or they are of different images; the message says
            which differ and what to do.
    """
    if not FEWEST <= len(folders) <= MOST:
        raise InputError(f"expected {FEWEST} to {MOST} audits to compare, got {len(folders)}")
    places = [os.path.realpath(folder) for folder in folders]
    twice = [str(folder) for folder, place in zip(folders, places, strict=True) if places.count(place) > 1]
    if twice:
        raise InputError(f"{twice[0]} was named more than once; name each audit once")
    found = [_read(Path(folder)) for folder in folders]
    first = found[0]
    for other in found[1:]:
        if set(other.ids) != set(first.ids):
            raise InputError(_unlike(first, other))
    names = [one.label for one in found]
    if len(set(names)) < len(names):
        names = [one.folder.name for one in found]
    if len(set(names)) < len(names):
        names = [str(one.folder) for one in found]
    order = {one: i for i, one in enumerate(first.ids)}
    audits = []
    for one, name in zip(found, names, strict=True):
        rows = np.argsort([order[image] for image in one.ids])
        good = {measure: values[rows] for measure, values in one.good.items()}
        audits.append(Audited(name, one.folder, first.ids, good, one.about))
    return audits


def standings(audits: Sequence[Audited]) -> list[Standing]:
    """Every model in every column that all audits have.

    The best is chosen by the same images, so it is not compared as if it had been named before: the family of a column
    is every ordered pair of models (Holm). So at most one column in twenty says "worse" of a model that is not.
    """
    shared = [name for name in audits[0].good if all(name in one.good for one in audits)]
    found = []
    for measure in shared:
        values = np.array([one.good[measure] for one in audits])  # (M, N)
        known = np.isfinite(values).all(0)
        if not known.any():
            continue
        values = values[:, known]
        pairs = list(permutations(range(len(audits)), 2))
        ahead = np.array([values[i] - values[j] for i, j in pairs])
        adjusted = dict(zip(pairs, holm(np.asarray(p_above(ahead, 0, low=-1))), strict=True))
        best = int(values.mean(1).argmax())
        for i, one in enumerate(audits):
            behind = None if i == best else bounded_mean(values[best] - values[i], low=-1)
            p = 1.0 if i == best else float(adjusted[best, i])
            found.append(Standing(one.label, measure, bounded_mean(values[i]), audits[best].label, behind, p))
    return found


def compare_many(
    folders: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] = "comparison",
    say: Callable[[str], None] = print,
) -> Path:
    """Writes one page about several audits of the same images, with `comparison.csv` and `comparison.json`.

    Args:
        folders: The folders of the audits, 2 to 30.
        out: A new folder.
        say: Receives what was found.

    Returns:
        The page.

    Raises:
        InputError: If the audits cannot be compared, or `out` is used already.
    """
    audits = read_audits(folders)
    rows = standings(audits)
    if not rows:
        raise InputError("the audits share no measure; audit all of them with the same options")
    table, tests = _table(audits, rows), _tests(rows)
    csv = csv_text(tests.columns, [_numbers(one) for one in rows])
    value = {"schema": "robustkit-comparison-1", "robustkit": __version__, "rows": [_json(one) for one in rows]}
    downloads = [
        Download("comparison.csv", csv, "a line for each model and measure"),
        Download("comparison.json", json.dumps(value, indent=2, sort_keys=True) + "\n", "the same for machines"),
    ]
    about = audits[0].about
    page = Page(
        title=f"{len(audits)} models on the same images",
        lead=f"{len(audits[0].ids)} images of {about['data']}, part {about['part']}, seed {about['seed']}; "
        f"robustkit {__version__}.",
        checks=(),
        verdict_text=_said(audits, rows),
        chapters=[Chapter("models", "All models", sections=(table, *_forests(rows), tests))],
        downloads=downloads,
    )
    with whole_folder(out) as folder:
        path = Path(out) / write_page(page, folder).name
    family = f"worse: p of at most {ALPHA} after Holm's adjustment over all pairs of models, column by column"
    for line in [*_said(audits, rows), family, f"the page is {path}"]:
        say(line)
    return path


def _read(folder: Path) -> Audited:
    path = folder / "audit.json"
    if not path.is_file():
        raise InputError(f"expected the folder of an audit, but there is no audit.json in {folder}")
    kept = read_json(path)
    with reading(path, "the audit.json of an audit"):
        if not isinstance(kept, dict) or kept.get("schema") != SCHEMA:
            raise InputError(f"{path} is of another version; draw it again with robustkit report {folder}")
        one = kept["models"][0]
        ids = tuple(str(image) for image in one["outcomes"]["ids"])
        good: dict[str, np.ndarray] = {}
        outcomes = one["outcomes"]["bad"]
        for name in sorted(
            outcomes, key=lambda name: (name not in _GOOD, name)
        ):  # accuracy, then one pixel, then faults
            bad = outcomes[name]
            values = 1 - np.array([np.nan if each is None else float(each) for each in bad])
            if values.shape != (len(ids),):
                raise InputError(f"{path} does not have one outcome per image; draw it again with robustkit report")
            good[_measure(str(name))] = values
        about = {key: one[key] for key in ("data", "part", "seed", "n", "data_sha256")}
        return Audited(Path(str(one["model"])).stem, folder, ids, good, about)


def _measure(name: str) -> str:
    if name == _HIT:
        return "a random extreme pixel leaves the class"
    return _GOOD.get(name) or f"accuracy under {name.removeprefix(_UNDER)}"


def _unlike(first: Audited, other: Audited) -> str:
    """Why two audits are of other images, and the command that makes them the same."""
    shared = len(set(first.ids) & set(other.ids))
    return f"{other.folder} is of other images than {first.folder} {other_images(first.about, other.about, shared)}"


def _said(audits: Sequence[Audited], rows: Sequence[Standing]) -> list[str]:
    """For each measure, which model is best and which are shown to be worse."""
    said = []
    for measure in dict.fromkeys(row.measure for row in rows):
        column = [row for row in rows if row.measure == measure]
        best = next(row for row in column if row.behind is None)
        worse = [row.label for row in column if row.p <= ALPHA]
        if not worse:
            rest = f"none of the other {len(audits) - 1} is shown to be worse"
        else:
            left = len(audits) - 1 - len(worse)
            rest = f"shown to be worse: {', '.join(worse)}" + (f"; {left} cannot be told apart from it" if left else "")
        said.append(f"{measure}: highest for {best.label}, {best.value}; {rest}")
    return said


def _table(audits: Sequence[Audited], rows: Sequence[Standing]) -> Facts:
    measures = list(dict.fromkeys(row.measure for row in rows))
    cells = {(row.label, row.measure): row for row in rows}
    lines = [[one.label, *(f"{float(cells[one.label, name].value.value):.3f}" for name in measures)] for one in audits]
    lead = measures[min(1, len(measures) - 1)]  # what an adversary leaves, where the audits asked
    lines.sort(key=lambda line: -float(line[1 + measures.index(lead)]))
    return Facts(
        "all-models", "One row for each model",
        f"Rates from 0 to 1, higher is better; sorted by “{lead}”. A heading sorts the rows by its column.",
        ("model", *measures), lines,
    )  # fmt: skip


def _tests(rows: Sequence[Standing]) -> Facts:
    lines = [(row.label, row.measure, str(row.value), row.best, row.said, format_p(row.p)) for row in rows]
    return Facts(
        "against-the-best", "Each model against the best of its column",
        "Paired, image by image. The best was chosen by the same images, so p-values are adjusted for every ordered "
        "pair of models in a column (Holm): at most one column in twenty calls a model worse that is not. "
        f"A model counts as worse at {ALPHA} and below.",
        ("model", "measure", "value", "best", "behind the best", "adjusted p"), lines,
    )  # fmt: skip


def _forests(rows: Sequence[Standing]) -> list[Section]:
    found: list[Section] = []
    for place, measure in enumerate(list(dict.fromkeys(row.measure for row in rows))[:2]):
        column = sorted((row for row in rows if row.measure == measure), key=lambda row: -float(row.value.value))
        title, rows_of = measure[0].upper() + measure[1:], [(row.label, "", row.value) for row in column]
        said = "Mean over the images, with its 95 % interval."
        found.append(Forest(f"models-{place + 1}", title, "rate", rows_of, said, means={"": NOTHING}))
    return found


def _numbers(row: Standing) -> list[Any]:
    behind = "" if row.behind is None else float(row.behind.value)
    return [row.label, row.measure, float(row.value.value), row.best, behind, row.p]


def _json(row: Standing) -> dict[str, Any]:
    def ends(one: Estimate | None) -> dict[str, float | int] | None:
        if one is None:
            return None
        return {"value": float(one.value), "low": float(one.low), "high": float(one.high), "n": int(one.n)}

    return {
        "model": row.label, "measure": row.measure, "value": ends(row.value), "best": row.best,
        "behind_the_best": ends(row.behind), "p_adjusted": row.p,
    }  # fmt: skip
