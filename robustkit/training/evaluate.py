"""`evaluate`: scores trained networks on test images of both domains, over seeds, next to networks not adapted."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from robustkit.data.split import Part
from robustkit.errors import InputError
from robustkit.models import open_checkpoint
from robustkit.progress import progress
from robustkit.records import Record
from robustkit.stats import Estimate, Scores, bootstrap, bootstrap_many, score_classifier
from robustkit.stats.classification import rank_auc
from robustkit.training.domains import make_part
from robustkit.training.network import Trainee, predict
from robustkit.training.recall import recall_domains
from robustkit.training.settings import Settings
from robustkit.words import to_path

_log = logging.getLogger("robustkit.training")

# Columns of a table; ECE is the expected calibration error with 15 bins.
METRICS = (
    "accuracy",
    "balanced_accuracy",
    "precision_weighted",
    "recall_weighted",
    "f1_weighted",
    "precision_macro",
    "f1_macro",
    "auc",
    "brier",
    "ece",
)
BASE = "source"


@dataclass(frozen=True, eq=False)
class Predictions(Record):
    """Predictions of one network for the test images of one domain.

    Attributes:
        model: Path of the checkpoint.
        domain: `source` or `target`.
        class_names: The K classes.
        ids: Image ids, shape (N,).
        labels: True classes, shape (N,).
        probabilities: Shape (N, K), float64.
        unknown: 1 minus the largest probability of each image of a class that the network does not know, shape (U,);
            these images are in no other field.
        trained: The settings of the training but for method and seed, and the hash of the target labels it was given.
    """

    axis_letters: ClassVar[Mapping[str, str]] = {
        "ids": "N", "labels": "N", "probabilities": "NK", "class_names": "K", "unknown": "U",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {"labels": "K"}

    model: str
    network: str
    method: str
    seed: int
    domain: str
    class_names: list[str]
    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    unknown: np.ndarray = field(default_factory=lambda: np.zeros(0))
    trained: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def objects(self) -> np.ndarray:
        """The object that each image shows, shape (N,)."""
        return np.array([image_id.partition("#")[0] for image_id in self.ids.tolist()])


@dataclass(frozen=True, eq=False)
class Row:
    """One method with one network on one domain, over its seeds.

    Attributes:
        method: Name of the method; `source` is not adapted, `oracle` was trained on target labels.
        domain: `source` or `target`.
        predictions: One per seed.
        scores: One per seed.
        mean: Mean of each metric over the seeds.
        sd: Standard deviation of each metric over the seeds, ddof 1; nan for one seed.
        accuracy: Mean accuracy over the seeds, with a bootstrap interval over objects.
        balanced_accuracy: Mean balanced accuracy over the seeds, with its interval.
        gain: Balanced accuracy minus that of `source`, paired by object; `None` without a `source` row.
        unknown_auc: How well 1 minus the largest probability tells images of classes that the network does not know
            from the others: area under the ROC curve, mean over the seeds; `None` where there are none.
    """

    network: str
    method: str
    domain: str
    seeds: tuple[int, ...]
    predictions: tuple[Predictions, ...]
    scores: tuple[Scores, ...]
    mean: dict[str, float]
    sd: dict[str, float]
    accuracy: Estimate
    balanced_accuracy: Estimate
    gain: Estimate | None
    unknown_auc: Estimate | None = None


def predict_test(
    model: str | os.PathLike[str],
    *,
    part: Part = "test",
    device: torch.device | str = "cpu",
    arch: str | None = None,
) -> list[Predictions]:
    """Predictions of a checkpoint for the source and target images that training did not use.

    Args:
        model: The checkpoint; its images must be where they were, unchanged.
        part: `train`, `valid` or `test`.
        device: Device to compute on.
        arch: The network, for one that was trained with `--arch` on code of your own.

    Returns:
        One for each domain that has labels, the source first.

    Raises:
        InputError: If the checkpoint or its images cannot be used.
    """
    path = Path(model)
    checkpoint = open_checkpoint(path, device=device, arch=arch)
    card, settings = checkpoint.card, checkpoint.card.training.get("settings", {})
    classifier = checkpoint.classifier
    network = Trainee(classifier.module, latent=classifier.latent_key, output=classifier.output)
    found = []
    for name, domain in recall_domains(path, card).items():
        if domain.images.labels is None:
            _log.warning(
                "the %s of %s has no labels, so it has no row; `robustkit predict` writes the classes of its images",
                name,
                path,
            )
            continue
        images = make_part(domain, part, checkpoint.stretch, device)
        assert images.labels is not None
        probabilities = torch.softmax(predict(network, images.images).logits.cpu().double(), 1).numpy()
        labels = images.labels.cpu().numpy()
        known = labels < len(card.class_names)
        if not known.all():
            names = ", ".join(domain.images.class_names[len(card.class_names) :])
            _log.warning(
                "%d of the %d images of the %s are of classes that %s was not trained on (%s): no score counts them; "
                "unknown AUC says how well its confidence tells them from the others",
                int((~known).sum()), len(known), name, path, names,
            )  # fmt: skip
        found.append(
            Predictions(
                model=str(path),
                network=card.network,
                method=str(settings.get("method", BASE)).rpartition(":")[2],
                seed=settings.get("seed", 0),
                domain=name,
                class_names=list(card.class_names),
                ids=images.ids[known],
                labels=labels[known],
                probabilities=probabilities[known],
                unknown=1 - probabilities[~known].max(1),
                trained={name: value for name, value in settings.items() if name not in ("method", "seed")}
                | {"target_labels": card.training.get("data", {}).get("target labels")},
            )
        )
    network.release()
    return found


def evaluate(
    models: Iterable[str | os.PathLike[str]],
    *,
    part: Part = "test",
    device: torch.device | str = "cpu",
    seed: int = 0,
    draws: int = 1999,
    arch: str | None = None,
) -> list[Row]:
    """Compares trained networks on test images of both domains.

    Args:
        models: Checkpoints, or folders of them; several seeds of one method and network make one row.
        part: `train`, `valid` or `test`.
        device: Device to compute on.
        seed: Seed of the bootstrap.
        draws: Bootstrap resamples.
        arch: The network, for those that were trained with `--arch` on code of your own.

    Returns:
        The rows, those of `source` first, so that adapted networks stand next to their baseline.

    Raises:
        InputError: If there are no checkpoints, or one cannot be used.
    """
    paths = find_models(models)
    found = [
        each
        for path in progress(paths, label="evaluating", unit="model")
        for each in predict_test(path, part=part, device=device, arch=arch)
    ]
    return compare(found, seed=seed, draws=draws)


def find_models(models: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Paths of checkpoints; a folder stands for those in it.

    Raises:
        InputError: If there are none.
    """
    several = [models] if isinstance(models, str | os.PathLike) else models
    given = [to_path(model, "a checkpoint or of a folder of them") for model in several]
    paths = [path for model in given for path in (sorted(model.glob("*.pt")) if model.is_dir() else [model])]
    if not paths:
        raise InputError(f"no checkpoints (.pt) in {', '.join(map(str, given)) or 'nothing'}; name at least one")
    return paths


def compare(predictions: Sequence[Predictions], *, seed: int = 0, draws: int = 1999) -> list[Row]:
    """Rows from existing predictions; see `evaluate`."""
    groups: dict[tuple[str, str, str], list[Predictions]] = {}
    for each in _named_apart(predictions):
        groups.setdefault((each.network, each.method, each.domain), []).append(each)
    order = sorted(groups, key=lambda key: (key[0], key[1] != BASE, key[1].startswith("oracle"), key[1], key[2]))
    return [
        _row(groups[key], groups.get((key[0], BASE, key[2])) if key[1] != BASE else None, seed=seed, draws=draws)
        for key in order
    ]


def _named_apart(predictions: Sequence[Predictions]) -> list[Predictions]:
    """The same, where one method was trained in several ways with these ways in its name."""
    kinds: dict[tuple[str, str], list[Predictions]] = {}
    for each in predictions:
        kinds.setdefault((each.network, each.method), []).append(each)
    usual: dict[str, Any] = Settings().to_json() | {"target_labels": None}
    named: dict[int, str] = {}
    for group in kinds.values():
        keys = dict.fromkeys(key for each in group for key in each.trained)
        apart = [key for key in keys if any(each.trained.get(key) != group[0].trained.get(key) for each in group)]
        for each in group:
            own = [key for key in apart if each.trained.get(key, usual.get(key)) != usual.get(key)]
            named[id(each)] = ", ".join([each.method, *(_said(key, each.trained.get(key)) for key in own)])
    return [replace(each, method=named[id(each)]) for each in predictions]


def _said(key: str, value: Any) -> str:
    return "target labels" if key == "target_labels" else f"{key.replace('_', ' ')} {value}"


def _row(group: list[Predictions], base: list[Predictions] | None, *, seed: int, draws: int) -> Row:
    first = group[0]
    for each in group:
        if not np.array_equal(each.ids, first.ids):
            raise InputError(
                f"{each.model} and {first.model} have other test images; train all seeds with one --split-seed"
            )
    seen: dict[int, Predictions] = {}
    for each in group:
        twin = seen.setdefault(each.seed, each)
        if twin is not each and np.array_equal(twin.probabilities, each.probabilities):
            raise InputError(
                f"{each.model} and {twin.model} are one training twice (seed {each.seed}); name one of them"
            )
    scores = [_scores(each, seed=seed, draws=draws) for each in group]
    values = {name: np.array([_value(score, name) for score in scores]) for name in METRICS}
    comparable = base is not None and np.array_equal(base[0].ids, first.ids)
    statistic = _seed_means(group, base if comparable else None)
    rng = np.random.default_rng(seed)
    accuracy, balanced, *gain = bootstrap_many(statistic, len(first.ids), clusters=first.objects, draws=draws, rng=rng)
    return Row(
        network=first.network,
        method=first.method,
        domain=first.domain,
        seeds=tuple(each.seed for each in group),
        predictions=tuple(group),
        scores=tuple(scores),
        mean={name: float(value.mean()) for name, value in values.items()},
        sd={name: float(value.std(ddof=1)) if len(value) > 1 else float("nan") for name, value in values.items()},
        accuracy=accuracy,
        balanced_accuracy=balanced,
        gain=gain[0] if gain else None,
        unknown_auc=_unknown_auc(group, draws=draws, rng=np.random.default_rng(seed)),
    )


def _unknown_auc(group: list[Predictions], *, draws: int, rng: np.random.Generator) -> Estimate | None:
    """Area under the ROC curve of unknown classes against known ones; the rows of both are resampled."""
    if not len(group[0].unknown):
        return None
    scores = np.stack([np.concatenate([1 - each.probabilities.max(1), each.unknown]) for each in group], 1)
    unknown = np.arange(len(scores)) >= len(group[0].labels)

    def area(scores: np.ndarray, unknown: np.ndarray) -> float:
        once = np.ones((1, len(unknown)))
        return float(np.mean([rank_auc(one, unknown, once) for one in scores.T]))

    return bootstrap(area, scores, unknown, draws=draws, rng=rng)


def _scores(predictions: Predictions, *, seed: int, draws: int) -> Scores:
    objects = predictions.objects
    repeated = objects if len(set(objects.tolist())) < len(objects) else None
    rng = np.random.default_rng(seed)
    return score_classifier(predictions.probabilities, predictions.labels, clusters=repeated, draws=draws, rng=rng)


def _value(scores: Scores, name: str) -> float:
    return float(scores.calibration.ece if name == "ece" else getattr(scores, name).value)


def _seed_means(group: list[Predictions], base: list[Predictions] | None) -> Callable[[np.ndarray], np.ndarray]:
    """Accuracy, balanced accuracy and gain, means over the seeds, as a statistic of weights (B, N) -> (S, B)."""
    labels = group[0].labels
    onehot = np.eye(int(labels.max()) + 1)[labels]  # (N, K)

    def right(each: list[Predictions]) -> np.ndarray:
        return np.mean([p.probabilities.argmax(1) == p.labels for p in each], axis=0)  # (N,)

    def balanced(weights: np.ndarray, found: np.ndarray) -> np.ndarray:
        counts = weights @ onehot  # (B, K)
        recall = np.divide(weights @ (onehot * found[:, None]), counts, out=np.zeros_like(counts), where=counts > 0)
        return recall.sum(1) / (counts > 0).sum(1)

    ours = right(group)
    theirs = right(base) if base is not None else None

    def statistic(weights: np.ndarray) -> np.ndarray:
        rows: list[Any] = [weights @ ours / weights.sum(1), balanced(weights, ours)]
        if theirs is not None:
            rows.append(rows[1] - balanced(weights, theirs))
        return np.stack(rows)

    return statistic
