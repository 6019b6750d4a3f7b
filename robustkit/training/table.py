"""An evaluation as text, CSV and JSON."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustkit.files import whole_folder, write_json, write_text
from robustkit.stats import Estimate
from robustkit.tables import NamedWriter
from robustkit.training.evaluate import BASE, METRICS, Row

_SHOWN = {"f1_macro": "macro F1", "auc": "AUC", "brier": "Brier", "ece": "ECE"}


def describe(rows: Sequence[Row]) -> str:
    """The rows as a table for the terminal, with notes on how to read it."""
    head = ["method", "network", "domain", "n", "seeds", "accuracy", "balanced accuracy", *_SHOWN.values(), "gain"]
    open_set = any(row.unknown_auc for row in rows)
    head += ["unknown AUC"] if open_set else []
    body = [
        [
            "ORACLE" if row.method == "oracle" else row.method,
            row.network,
            row.domain,
            str(len(row.predictions[0].ids)),
            str(len(row.seeds)),
            _with_interval(row.accuracy),
            _with_interval(row.balanced_accuracy),
            *(_with_sd(row, name) for name in _SHOWN),
            _with_interval(row.gain) if row.gain else "",
            *([_with_interval(row.unknown_auc) if row.unknown_auc else ""] if open_set else []),
        ]
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in [head, *body]]
    return "\n".join([*(line.rstrip() for line in lines), *_notes(rows)])


def save_evaluation(rows: Sequence[Row], out: str | os.PathLike[str]) -> Path:
    """Writes a new folder: evaluation.json, evaluation.csv, the predictions, and three pictures.

    Args:
        rows: What `evaluate` returned.
        out: The folder.

    Raises:
        InputError: If the folder already holds something.
    """
    with whole_folder(out) as folder:
        _save(rows, folder)
    return Path(out)


def _save(rows: Sequence[Row], folder: Path) -> None:
    from robustkit.training.figures import save_figures

    write_json(folder / "evaluation.json", [to_json(row) for row in rows])
    table = io.StringIO()
    lines = [_flat(row) for row in rows]
    writer = NamedWriter(table, list(dict.fromkeys(key for line in lines for key in line)))
    writer.writeheader()
    writer.writerows(lines)
    write_text(folder / "evaluation.csv", table.getvalue())
    (folder / "predictions").mkdir()
    for row in rows:
        for each in row.predictions:
            method = re.sub(r"[^\w:.-]+", "-", each.method)
            each.save(folder / "predictions" / f"{each.network}-{method}-seed{each.seed}-{each.domain}.npz")
    save_figures(rows, folder)


def to_json(row: Row) -> dict[str, Any]:
    """A row as JSON values, with every seed's confusion matrix (true class by predicted class)."""
    return {
        "network": row.network,
        "method": row.method,
        "domain": row.domain,
        "n": len(row.predictions[0].ids),
        "mean": {name: _number(value) for name, value in row.mean.items()},
        "sd": {name: _number(value) for name, value in row.sd.items()},
        "accuracy": _estimate(row.accuracy),
        "balanced_accuracy": _estimate(row.balanced_accuracy),
        "gain": _estimate(row.gain) if row.gain else None,
        "unknown_auc": _estimate(row.unknown_auc) if row.unknown_auc else None,
        "class_names": row.predictions[0].class_names,
        "seeds": [
            {
                "seed": seed,
                "model": predictions.model,
                "confusion": scores.confusion.tolist(),
                "recall": [_estimate(one) for one in scores.recall],
                "precision": [_estimate(one) for one in scores.precision],
                "ece": _number(scores.calibration.ece),
                **{name: _estimate(getattr(scores, name)) for name in METRICS if name != "ece"},
            }
            for seed, predictions, scores in zip(row.seeds, row.predictions, row.scores, strict=True)
        ],
    }


def _flat(row: Row) -> dict[str, Any]:
    flat: dict[str, Any] = {"network": row.network, "method": row.method, "domain": row.domain}
    flat |= {"n": len(row.predictions[0].ids), "seeds": len(row.seeds)}
    for name in METRICS:
        flat |= {name: row.mean[name], f"{name}_sd": row.sd[name]}
    for name in ("accuracy", "balanced_accuracy", "gain", "unknown_auc"):
        estimate = getattr(row, name)
        if estimate is not None:
            flat |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    flat |= {"gain": row.gain.value} if row.gain else {}
    return flat | ({"unknown_auc": row.unknown_auc.value} if row.unknown_auc else {})


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = [
        "",
        "Mean over the seeds; in brackets a 95 % bootstrap interval over objects; after +- the standard deviation over "
        "the seeds.",
        "gain: balanced accuracy minus that of the method `source`, on the same objects.",
    ]
    if not any(row.method == BASE for row in rows):
        notes.append("None of these networks has the method `source`, so the gain from adaptation cannot be seen.")
    if any(row.unknown_auc for row in rows):
        notes.append(
            "unknown AUC: images of classes that the network does not know against the others, by 1 minus the largest "
            "probability; 0.5 is chance. All other scores leave these images out."
        )
    if any(row.method == "oracle" for row in rows):
        notes.append("ORACLE was trained on target labels: it is a bound, not a result.")
    return notes


def _with_interval(estimate: Estimate) -> str:
    if not math.isfinite(estimate.low):
        return f"{estimate.value:.3f} [no interval]"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _with_sd(row: Row, name: str) -> str:
    return f"{row.mean[name]:.3f}" + (f" +- {row.sd[name]:.3f}" if len(row.seeds) > 1 else "")


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"value": _number(estimate.value), "low": _number(estimate.low), "high": _number(estimate.high)}


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
